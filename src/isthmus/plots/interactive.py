"""Codes as points that show their examples, as a piece of HTML: point at one, tap it or step to it, and see what it is.

Nothing runs in it and nothing is loaded from elsewhere: one inline SVG, one picture of all thumbnails as a data: address, and CSS.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.colors import to_hex
from PIL import Image

from isthmus.data.labels import ClassLabels, class_labels
from isthmus.errors import NotPossibleError, RecordError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.io.tables import cell
from isthmus.plots.embeddings import UNLABELED, Coloring, coloring, drawn_places, project
from isthmus.plots.grids import Array, as_pictures, first, limits, pictured
from isthmus.text import html_safe, printable

__all__ = ["BYTES", "POINTS", "hover_map"]

POINTS = 600  # that a map shows at most
BYTES = 400_000  # of the whole piece; fewer points where they would take more
_NUMBERS = 1 << 25  # that the examples shown hold together, however large one is
_BLOCK = 1 << 20  # numbers of a table that are read together
_POINT = 130  # bytes of a point beside its name and what it shows
_SIDE = 32  # pixels of a thumbnail at most
_GREYS, _COLORS = 15, 63  # of all thumbnails together, and one more for what is transparent
_ROWS = 4  # numbers of a table's row that are shown
_WIDTH, _HEIGHT, _PANEL = 600, 560, 140  # of the map, and of the panel below it
_EDGE = 16
_NAMES = {"latent": "Map of the codes", "tsne": "t-SNE map of the codes", "umap": "UMAP map of the codes"}

_STYLE = """
.isthmus-map { --ink: #1d2329; --soft: #5b6670; --box: #f2f4f5; --paper: #fdfdfc; max-width: 42rem; margin: 1.5rem 0; color: var(--ink);
 font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; position: relative; }
@media (prefers-color-scheme: dark) { .isthmus-map { --ink: #e4e7ea; --soft: #9ba6af; --box: #1f252a; --paper: #15191d; } }
.isthmus-map svg { display: block; width: 100%; height: auto; }
.isthmus-map text { fill: var(--ink); font-size: 19px; }
.isthmus-map .b { font-size: 24px; font-weight: 600; }
.isthmus-map .hint, .isthmus-map figcaption { fill: var(--soft); color: var(--soft); }
.isthmus-map rect { fill: var(--box); }
.isthmus-map use { image-rendering: pixelated; }
.isthmus-map .p { cursor: pointer; outline: none; }
.isthmus-map circle { fill: var(--c, #4c8fc4); fill-opacity: .85; stroke: transparent; stroke-width: 9; }
.isthmus-map .p:hover circle, .isthmus-map .p:focus circle { fill-opacity: 1; stroke: var(--ink); stroke-width: 3; r: 8px; }
.isthmus-map .p > g { display: none; pointer-events: none; }
.isthmus-map .p:hover > g, .isthmus-map .p:focus > g { display: block; }
.isthmus-map svg:has(.p:hover, .p:focus) .hint, .isthmus-map svg:has(.p:hover) .p:focus:not(:hover) > g { display: none; }
.isthmus-map figcaption { font-size: .9rem; margin-top: .4rem; }
.isthmus-map ul { list-style: none; display: flex; flex-wrap: wrap; gap: .15rem .9rem; padding: 0; margin: .4rem 0; font-size: .9rem; }
.isthmus-map li::before { content: ""; display: inline-block; width: .75em; height: .75em; border-radius: 50%; background: var(--c);
 margin-right: .35em; }
.isthmus-map .bar { display: inline-block; width: 8rem; height: .7em; margin: 0 .5em; }
.isthmus-map .skip { position: absolute; left: -100vw; background: var(--paper); color: var(--ink); }
.isthmus-map .skip:focus { left: 0; top: 0; padding: .3rem .6rem; outline: 2px solid; z-index: 1; }
""".strip()


@takes_autoencoder
def hover_map(
    ae: Autoencoder,
    X: Any,
    y: Any = None,
    *,
    kind: Literal["latent", "tsne", "umap"] = "tsne",
    limit: int = POINTS,
    random_state: int = 0,
) -> str:
    """A map of the codes of X as an HTML fragment, whose points show their example and its reconstruction.

    A figure with an inline SVG, for any page: without a script, in light and dark, as wide as there is room up to 42rem. A point opens
    under the pointer, when tapped, and on keyboard focus. Pictures are shown as thumbnails of at most 32 pixels a side in 15 greys or 63
    colors; of other rows the four numbers that are furthest from their column's mean, in standard deviations.

    Args:
        X, y: examples (n, *shape_) and a label for each, which colors it.
        kind: how the codes come into the plane, as the pictures `latent`, `tsne` and `umap` do it.
        limit: how many points at most, 600 or less; fewer where the fragment would pass 400 kB. They are drawn by random_state.

    Raises:
        DataError, NotPossibleError: as the picture of that kind does.
    """
    if kind not in _NAMES:
        raise RecordError(f"kind={kind!r} is no map: take {', '.join(_NAMES)}")
    examples = first(X)
    labels = None if y is None else class_labels(y, len(examples))
    most = max(4, _NUMBERS // math.prod(examples.shape[1:]))  # fewer make no map
    positions = drawn_places(len(examples), min(limit, POINTS, most), random_state)
    while (shown := _shown(ae, examples, positions, labels)).size > BYTES:
        fewer = int(len(positions) * min(0.95, BYTES / shown.size))
        positions = drawn_places(len(examples), fewer, random_state)
    found = project(ae.transform(examples[positions]), kind, random_state)
    points = _spread(found.points)
    of = f"{len(positions):,} of {len(examples):,}" if len(positions) < len(examples) else f"{len(positions):,}"
    title = f"{_NAMES[kind]} of {of} examples{found.said}".replace("\n", " ")
    color = None if labels is None else coloring(labels[positions])
    mark = "m" + hashlib.sha256(points.tobytes() + shown.sprite.encode()).hexdigest()[:8]
    order = np.argsort(np.zeros(len(positions)) if color is None else color.values, kind="stable").tolist()
    none = np.zeros(len(positions), bool) if labels is None else ~labels[positions].labeled
    groups = [_group(points[i], shown.names[i], shown.card(i, mark), _fill(color, i, none[i])) for i in order]
    return _figure(mark, title, shown, groups, _legend(color, int(none.sum())))


class _Shown(NamedTuple):
    """What the points show: a name, and a thumbnail on one sheet of (width, height) pixels in cells of a size, or lines of text."""

    names: list[str]
    sprite: str = ""
    sheet: tuple[int, int] = (0, 0)
    cell: tuple[int, int] = (0, 0)
    lines: tuple[list[str], ...] = ()

    @property
    def size(self) -> int:
        """The bytes of the whole piece, about."""
        cards = sum(len(self.card(i, "m12345678")) + len(name.encode()) for i, name in enumerate(self.names))
        return len(_STYLE) + len(self.sprite) + cards + _POINT * len(self.names)

    def card(self, i: int, mark: str) -> str:
        """What one point shows in the panel."""
        top = _HEIGHT + 12
        if self.lines:
            lines = [self.names[i], *self.lines[i]]
            return "".join(
                f'<text x="{_EDGE}" y="{top + 27 + 25 * k}">{html_safe(t)}</text>' for k, t in enumerate(lines)
            )
        width, height = self.cell
        factor = min((_PANEL - 20) / height, 400 / width)
        across = self.sheet[0] // width
        view = f"{i % across * width} {i // across * height} {width} {height}"
        place = f'x="{_EDGE}" y="{top + 10}" width="{factor * width:.0f}" height="{factor * height:.0f}"'
        left = round(_EDGE + factor * width + 20)
        who, _, label = self.names[i].partition(", ")
        said = f'<text x="{left}" y="{top + 60}">{who}</text>'
        said += f'<text class="b" x="{left}" y="{top + 92}">{html_safe(label)}</text>' if label else ""
        return f'<svg {place} viewBox="{view}"><use href="#{mark}"/></svg>{said}'


def _shown(ae: Autoencoder, examples: Array, positions: Array, labels: ClassLabels | None) -> _Shown:
    originals = examples[positions]
    names = [f"example {i}" + ("" if labels is None else _labeled(labels, i)) for i in positions]
    back = ae.reconstruct(originals)
    try:
        pictures = [as_pictures(side, pictured(ae)) for side in (originals, back)]
    except NotPossibleError:
        pictures = []
    if not pictures or pictures[0].ndim == 2:
        return _Shown(names, lines=_lines(ae, examples, positions, back))
    low, high = limits(originals, pictured(ae))
    thumbs = [np.round(255 * (np.clip(side, low, high) - low) / (high - low)).astype(np.uint8) for side in pictures]
    return _sprite(names, *(_small(side) for side in thumbs))


def _small(pictures: Array) -> Array:
    """Pictures of bytes with no side longer than a thumbnail's."""
    height, width = pictures.shape[1:3]
    share = _SIDE / max(height, width)
    if share >= 1:
        return pictures
    size = max(1, round(share * width)), max(1, round(share * height))
    return np.stack([np.asarray(Image.fromarray(each).resize(size, Image.Resampling.BOX)) for each in pictures])


def _sprite(names: list[str], originals: Array, back: Array) -> _Shown:
    """All thumbnails on one sheet: in each cell an original, a little air, and its reconstruction."""
    n, height, width = originals.shape[:3]
    air = max(1, width // 10)
    across = max(1, round(math.sqrt(n * height / (2 * width + air))))
    down = -(-n // across)
    cell = np.zeros((across * down, height, 2 * width + air, *originals.shape[3:]), np.uint8)
    cell[:n, :, :width], cell[:n, :, width + air :] = originals, back
    clear = np.ones(cell.shape[:3], bool)
    clear[:n, :, :width], clear[:n, :, width + air :] = False, False
    sheet, blank = (_laid(side, across) for side in (cell, clear))
    if sheet.ndim == 2:
        index = np.round(sheet * ((_GREYS - 1) / 255)).astype(np.uint8)
        palette = np.repeat(np.linspace(0, 255, _GREYS).round().astype(np.uint8), 3)
    else:
        few = Image.fromarray(sheet).quantize(_COLORS, dither=Image.Dither.NONE)
        index, palette = np.array(few), np.asarray(few.getpalette(), np.uint8)
    free = len(palette) // 3
    index[blank] = free
    image = Image.fromarray(index).convert("P") if index.ndim == 2 else Image.fromarray(index)
    image.putpalette([*palette.tolist(), 0, 0, 0])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True, transparency=free, bits=4 if free < 16 else 8)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return _Shown(names, data, (sheet.shape[1], sheet.shape[0]), (2 * width + air, height))


def _laid(cells: Array, across: int) -> Array:
    """Cells (n, h, w, ...) as one picture, so many across."""
    n, h, w = cells.shape[:3]
    rows = cells.reshape(n // across, across, h, w, *cells.shape[3:]).swapaxes(1, 2)
    laid: Array = rows.reshape(n // across * h, across * w, *cells.shape[3:])
    return laid


def _lines(ae: Autoencoder, examples: Array, positions: Array, back: Array) -> tuple[list[str], ...]:
    """Of each example the numbers that are furthest from their mean: the name, the number and what is made of it."""
    mean, deviation = _spreads(examples)
    rows, made = examples[positions].reshape(len(positions), -1).astype(np.float64), back.reshape(len(positions), -1)
    apart = np.abs(rows - mean) / np.where(deviation > 0, deviation, 1)
    names = getattr(ae, "feature_names_in_", [f"column {i}" for i in range(rows.shape[1])])
    top = np.argsort(-apart, axis=1, kind="stable")[:, :_ROWS]
    return tuple(
        [f"{_text(names[j])}: {row[j]:.4g} → {its[j]:.4g}" for j in order]
        for order, row, its in zip(top, rows, made, strict=True)
    )


def _spreads(examples: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each number, a block of the table after the other: it may be as large as memory, or on disk."""
    step = max(1, _BLOCK // math.prod(examples.shape[1:]))
    blocks = [slice(start, start + step) for start in range(0, len(examples), step)]
    mean = sum(_flat(examples[each]).sum(0) for each in blocks) / len(examples)
    variance = sum(((_flat(examples[each]) - mean) ** 2).sum(0) for each in blocks) / len(examples)
    return mean, np.sqrt(variance)


def _flat(examples: Array) -> Array:
    return examples.reshape(len(examples), -1).astype(np.float64)


def _labeled(labels: ClassLabels, i: int) -> str:
    """What a point is called behind its number."""
    label = labels.one(i)
    return ", no label" if label is None else f", label {_text(cell(label))}"


def _text(value: Any) -> str:
    """A name of at most 24 letters."""
    text = printable(" ".join(str(value).split()), 400)
    return text if len(text) <= 24 else f"{text[:23]}…"


def _spread(points: Array) -> Array:
    """Points on the map's pixels, as far apart as there is room; a direction in which nothing varies stays in the middle."""
    low, span = points.min(0), np.ptp(points, axis=0)
    share = np.where(span > 0, (points - low) / np.where(span > 0, span, 1), 0.5)
    share[:, 1] = 1 - share[:, 1]
    pixels: Array = np.round(_EDGE + share * (np.array([_WIDTH, _HEIGHT]) - 2 * _EDGE))
    return pixels


def _fill(color: Coloring | None, i: int, unlabeled: bool) -> str:
    if color is None:
        return ""
    return to_hex(UNLABELED if unlabeled else color.cmap(color.norm(color.values[i])))


def _group(point: Array, name: str, card: str, fill: str) -> str:
    """One point, its name for those who do not see it, and what it shows."""
    style = f' style="--c:{fill}"' if fill else ""
    dot = f'<circle cx="{point[0]:.0f}" cy="{point[1]:.0f}" r="5"/>'
    return f'<g class="p" tabindex="0" role="img"{style}><title>{html_safe(name)}</title>{dot}<g>{card}</g></g>'


def _legend(color: Coloring | None, unlabeled: int) -> str:
    """What the colors mean, and how many points have no label."""
    if color is None:
        return ""
    if color.names:
        hues = [to_hex(color.cmap(color.norm(i))) for i in range(len(color.names))]
        names = [(hue, name) for hue, name in zip(hues, color.names, strict=True)]
        names += [(to_hex(UNLABELED), f"no label ({unlabeled:,})")] if unlabeled else []
        items = (f'<li style="--c:{hue}">{html_safe(name)}</li>' for hue, name in names)
        return f"<ul>{''.join(items)}</ul>"
    stops = ",".join(to_hex(color.cmap(share)) for share in np.linspace(0, 1, 6))
    low, high = float(color.norm.vmin or 0), float(color.norm.vmax or 0)
    bar = f'<span class="bar" style="background:linear-gradient(90deg,{stops})"></span>'
    none = f"; {unlabeled:,} in gray have no label" if unlabeled else ""
    return f"<p>label {low:.4g}{bar}{high:.4g}{none}</p>"


def _figure(mark: str, title: str, shown: _Shown, groups: list[str], legend: str) -> str:
    """The whole piece."""
    sheet = ""
    if shown.sprite:
        sheet = (
            f'<defs><image id="{mark}" width="{shown.sheet[0]}" height="{shown.sheet[1]}" '
            f'href="data:image/png;base64,{shown.sprite}"/></defs>'
        )
        how = "its example and, to the right, its reconstruction"
    else:
        how = "of its numbers those furthest from the mean, and what they are reconstructed as"
    top = _HEIGHT + 12
    hint = (
        f'<text class="hint" x="{_EDGE}" y="{top + 76}">Point at a dot, tap it, or step through them with Tab.</text>'
    )
    return (
        f'<figure class="isthmus-map"><style>{_STYLE}</style>\n'
        f'<a class="skip" href="#{mark}-end">Skip the {len(groups):,} dots of this map</a>\n'
        f'<svg viewBox="0 0 {_WIDTH} {top + _PANEL}" role="group" aria-label="{html_safe(title)}">{sheet}'
        f'<rect y="{top}" width="{_WIDTH}" height="{_PANEL}" rx="6"/>{hint}\n' + "\n".join(groups) + "\n</svg>\n"
        f'{legend}<figcaption id="{mark}-end"><strong>{html_safe(title)}.</strong> A dot shows {how}.</figcaption></figure>\n'
    )
