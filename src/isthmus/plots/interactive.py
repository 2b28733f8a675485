"""Interactive scatter plots of codes, as an HTML fragment: each point shows its example on hover, tap or keyboard focus.

The fragment contains no script and loads no other file. It has one inline SVG, one image of all thumbnails as a data: URL, and CSS.
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

from isthmus.data.context_array import dense
from isthmus.data.labels import ClassLabels, class_labels
from isthmus.errors import NotPossibleError, RecordError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.io.tables import cell
from isthmus.plots.embeddings import UNLABELED, Coloring, color_by_label, project, sample_positions
from isthmus.plots.grids import Array, as_cells, first_examples, limits, model_image_shape
from isthmus.text import html_safe, printable

__all__ = ["BYTES", "POINTS", "hover_map"]

POINTS = 600  # the largest number of points of a map
BYTES = 400_000  # the largest size of the fragment; larger ones are drawn with fewer points
_MAX_VALUES = 1 << 25  # the largest number of values in all examples that are shown
_BLOCK = 1 << 20  # values of a table that are read at once
_POINT_BYTES = 130  # bytes of the markup of a point, without its name and content
_MAX_SIDE = 32  # the longest side of a thumbnail, in pixels
_GRAYS, _COLORS = 15, 63  # palette sizes of the thumbnails, without the transparent entry
_MAX_FEATURES = 4  # features of a row that are shown
_WIDTH, _HEIGHT, _PANEL = 600, 560, 140  # pixels of the map, and the height of the panel below it
_PADDING = 16
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
    """A map of the codes of X as an HTML fragment. Each point shows its example and the reconstruction.

    The fragment is a figure with an inline SVG, without a script, for light and dark pages. Its width is at most 42rem. A point opens on
    hover, tap or keyboard focus. Images are shown as thumbnails of at most 32 x 32 pixels in 15 grays or 63 colors. For other examples,
    the four features furthest from their mean are listed, in standard deviations.

    Args:
        ae: a fitted autoencoder.
        X: examples (n, *shape_), in the units of the data.
        y: one label for each example (n,), which colors its point.
        kind: the projection into two dimensions, as in the figures `latent`, `tsne` and `umap`.
        limit: the largest number of points, at most 600. There are fewer if the fragment would exceed 400 kB.
        random_state: selects the points, and seeds the projection.

    Returns:
        The HTML of the fragment.

    Raises:
        RecordError: an unknown kind.
        DataError, NotPossibleError: as for the figure of that kind.
    """
    if kind not in _NAMES:
        raise RecordError(f"invalid kind={kind!r}: expected one of {', '.join(_NAMES)}")
    examples = first_examples(X)
    labels = None if y is None else class_labels(y, len(examples))
    max_points = max(4, _MAX_VALUES // math.prod(examples.shape[1:]))  # a map needs at least 4
    positions = sample_positions(len(examples), min(limit, POINTS, max_points), random_state)
    while (content := _point_content(ae, examples, positions, labels)).size > BYTES:
        fewer = int(len(positions) * min(0.95, BYTES / content.size))
        positions = sample_positions(len(examples), fewer, random_state)
    projection = project(ae.transform(examples[positions]), kind, random_state)
    points = _spread_apart(projection.points)
    of = f"{len(positions):,} of {len(examples):,}" if len(positions) < len(examples) else f"{len(positions):,}"
    title = f"{_NAMES[kind]} of {of} examples{projection.note}".replace("\n", " ")
    color = None if labels is None else color_by_label(labels[positions])
    mark = "m" + hashlib.sha256(points.tobytes() + content.sprite.encode()).hexdigest()[:8]
    order = np.argsort(np.zeros(len(positions)) if color is None else color.values, kind="stable").tolist()
    unlabeled = np.zeros(len(positions), bool) if labels is None else ~labels[positions].labeled
    groups = [_group(points[i], content.names[i], content.card(i, mark), _fill(color, i, unlabeled[i])) for i in order]
    return _figure(mark, title, content, groups, _legend(color, int(unlabeled.sum())))


class _PointContent(NamedTuple):
    """The content of the points: names, and thumbnails as cells of one sheet (sizes are width, height), or lines of text."""

    names: list[str]
    sprite: str = ""
    sheet: tuple[int, int] = (0, 0)
    cell: tuple[int, int] = (0, 0)
    lines: tuple[list[str], ...] = ()

    @property
    def size(self) -> int:
        """The approximate size of the fragment in bytes."""
        cards = sum(len(self.card(i, "m12345678")) + len(name.encode()) for i, name in enumerate(self.names))
        return len(_STYLE) + len(self.sprite) + cards + _POINT_BYTES * len(self.names)

    def card(self, i: int, mark: str) -> str:
        """The SVG that one point shows in the panel."""
        top = _HEIGHT + 12
        if self.lines:
            lines = [self.names[i], *self.lines[i]]
            return "".join(
                f'<text x="{_PADDING}" y="{top + 27 + 25 * k}">{html_safe(t)}</text>' for k, t in enumerate(lines)
            )
        width, height = self.cell
        factor = min((_PANEL - 20) / height, 400 / width)
        across = self.sheet[0] // width
        view = f"{i % across * width} {i // across * height} {width} {height}"
        place = f'x="{_PADDING}" y="{top + 10}" width="{factor * width:.0f}" height="{factor * height:.0f}"'
        left = round(_PADDING + factor * width + 20)
        name, _, label = self.names[i].partition(", ")
        note = f'<text x="{left}" y="{top + 60}">{name}</text>'
        note += f'<text class="b" x="{left}" y="{top + 92}">{html_safe(label)}</text>' if label else ""
        return f'<svg {place} viewBox="{view}"><use href="#{mark}"/></svg>{note}'


def _point_content(ae: Autoencoder, examples: Array, positions: Array, labels: ClassLabels | None) -> _PointContent:
    originals = examples[positions]
    names = [f"example {i}" + ("" if labels is None else _label_suffix(labels, i)) for i in positions]
    reconstructions = ae.reconstruct(originals)
    try:
        shape = tuple(model_image_shape(ae) or ())  # windows as images
        images = [as_cells(side, shape) for side in (originals, reconstructions)]
    except NotPossibleError:
        images = []
    if not images or images[0].ndim == 2:
        return _PointContent(names, lines=_feature_lines(ae, examples, positions, reconstructions))
    low, high = limits(originals, shape)
    thumbnails = [np.round(255 * (np.clip(side, low, high) - low) / (high - low)).astype(np.uint8) for side in images]
    return _sprite(names, *(_thumbnails(side) for side in thumbnails))


def _thumbnails(images: Array) -> Array:
    """Images of bytes, reduced to the size of a thumbnail."""
    height, width = images.shape[1:3]
    share = _MAX_SIDE / max(height, width)
    if share >= 1:
        return images
    size = max(1, round(share * width)), max(1, round(share * height))
    return np.stack([np.asarray(Image.fromarray(each).resize(size, Image.Resampling.BOX)) for each in images])


def _sprite(names: list[str], originals: Array, reconstructions: Array) -> _PointContent:
    """All thumbnails on one sheet. Each cell has an original, a gap and its reconstruction."""
    n, height, width = originals.shape[:3]
    space = max(1, width // 10)
    across = max(1, round(math.sqrt(n * height / (2 * width + space))))
    down = -(-n // across)
    cell = np.zeros((across * down, height, 2 * width + space, *originals.shape[3:]), np.uint8)
    cell[:n, :, :width], cell[:n, :, width + space :] = originals, reconstructions
    clear = np.ones(cell.shape[:3], bool)
    clear[:n, :, :width], clear[:n, :, width + space :] = False, False
    sheet, gap = (_tile(side, across) for side in (cell, clear))
    if sheet.ndim == 2:
        index = np.round(sheet * ((_GRAYS - 1) / 255)).astype(np.uint8)
        palette = np.repeat(np.linspace(0, 255, _GRAYS).round().astype(np.uint8), 3)
    else:
        quantized = Image.fromarray(sheet).quantize(_COLORS, dither=Image.Dither.NONE)
        index, palette = np.array(quantized), np.asarray(quantized.getpalette(), np.uint8)
    transparent = len(palette) // 3
    index[gap] = transparent
    image = Image.fromarray(index).convert("P") if index.ndim == 2 else Image.fromarray(index)
    image.putpalette([*palette.tolist(), 0, 0, 0])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True, transparency=transparent, bits=4 if transparent < 16 else 8)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return _PointContent(names, data, (sheet.shape[1], sheet.shape[0]), (2 * width + space, height))


def _tile(cells: Array, across: int) -> Array:
    """Cells (n, h, w, ...) as one image, with `across` cells in a row."""
    n, h, w = cells.shape[:3]
    rows = cells.reshape(n // across, across, h, w, *cells.shape[3:]).swapaxes(1, 2)
    tiled: Array = rows.reshape(n // across * h, across * w, *cells.shape[3:])
    return tiled


def _feature_lines(ae: Autoencoder, examples: Array, positions: Array, reconstructions: Array) -> tuple[list[str], ...]:
    """The features of each example that are furthest from their mean: name, value and reconstruction."""
    mean, deviation = _mean_and_std(examples)
    rows, reconstructed = (
        _flat(examples[positions]),
        reconstructions.reshape(len(positions), -1),
    )
    distances = np.abs(rows - mean) / np.where(deviation > 0, deviation, 1)
    names = getattr(ae, "_features", [f"column {i}" for i in range(rows.shape[1])])
    top = np.argsort(-distances, axis=1, kind="stable")[:, :_MAX_FEATURES]
    return tuple(
        [f"{_short_text(names[j])}: {row[j]:.4g} → {reconstruction[j]:.4g}" for j in order]
        for order, row, reconstruction in zip(top, rows, reconstructed, strict=True)
    )


def _mean_and_std(examples: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each feature, computed in blocks because a table may be larger than memory."""
    step = max(1, _BLOCK // math.prod(examples.shape[1:]))
    blocks = [slice(start, start + step) for start in range(0, len(examples), step)]
    mean = sum(_flat(examples[each]).sum(0) for each in blocks) / len(examples)
    variance = sum(((_flat(examples[each]) - mean) ** 2).sum(0) for each in blocks) / len(examples)
    return mean, np.sqrt(variance)


def _flat(examples: Array) -> Array:
    return dense(examples).reshape(len(examples), -1).astype(np.float64)


def _label_suffix(labels: ClassLabels, i: int) -> str:
    """The label of an example, to append to its name."""
    label = labels.label_of(i)
    return ", no label" if label is None else f", label {_short_text(cell(label))}"


def _short_text(value: Any) -> str:
    """A name of at most 24 characters."""
    text = printable(" ".join(str(value).split()), 400)
    return text if len(text) <= 24 else f"{text[:23]}…"


def _spread_apart(points: Array) -> Array:
    """Points (n, 2) scaled to the pixels of the map. A constant coordinate is centered."""
    low, span = points.min(0), np.ptp(points, axis=0)
    share = np.where(span > 0, (points - low) / np.where(span > 0, span, 1), 0.5)
    share[:, 1] = 1 - share[:, 1]
    pixels: Array = np.round(_PADDING + share * (np.array([_WIDTH, _HEIGHT]) - 2 * _PADDING))
    return pixels


def _fill(color: Coloring | None, i: int, unlabeled: bool) -> str:
    if color is None:
        return ""
    return to_hex(UNLABELED if unlabeled else color.cmap(color.norm(color.values[i])))


def _group(point: Array, name: str, card: str, fill: str) -> str:
    """One point, its name for screen readers, and its content."""
    style = f' style="--c:{fill}"' if fill else ""
    dot = f'<circle cx="{point[0]:.0f}" cy="{point[1]:.0f}" r="5"/>'
    return f'<g class="p" tabindex="0" role="img"{style}><title>{html_safe(name)}</title>{dot}<g>{card}</g></g>'


def _legend(color: Coloring | None, unlabeled: int) -> str:
    """The legend of the colors, with the number of points without a label."""
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
    note = f"; {unlabeled:,} in gray have no label" if unlabeled else ""
    return f"<p>label {low:.4g}{bar}{high:.4g}{note}</p>"


def _figure(mark: str, title: str, content: _PointContent, groups: list[str], legend: str) -> str:
    """The HTML of the whole fragment."""
    sheet = ""
    if content.sprite:
        sheet = (
            f'<defs><image id="{mark}" width="{content.sheet[0]}" height="{content.sheet[1]}" '
            f'href="data:image/png;base64,{content.sprite}"/></defs>'
        )
        explanation = "its example and, to the right, its reconstruction"
    else:
        explanation = "the features of its example that are furthest from their mean, and their reconstructions"
    top = _HEIGHT + 12
    hint = f'<text class="hint" x="{_PADDING}" y="{top + 76}">Hover over a dot, tap it, or press Tab.</text>'
    return (
        f'<figure class="isthmus-map"><style>{_STYLE}</style>\n'
        f'<a class="skip" href="#{mark}-end">Skip the {len(groups):,} dots of this map</a>\n'
        f'<svg viewBox="0 0 {_WIDTH} {top + _PANEL}" role="group" aria-label="{html_safe(title)}">{sheet}'
        f'<rect y="{top}" width="{_WIDTH}" height="{_PANEL}" rx="6"/>{hint}\n' + "\n".join(groups) + "\n</svg>\n"
        f'{legend}<figcaption id="{mark}-end"><strong>{html_safe(title)}.</strong> A dot shows {explanation}.</figcaption></figure>\n'
    )
