"""The page of a run: one HTML file that holds everything it shows, runs nothing and asks nobody for anything."""

from __future__ import annotations

import base64
import html
import os
import platform
import shlex
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template

from isthmus.architectures import Modules
from isthmus.estimator import Autoencoder
from isthmus.evaluation import Evaluation
from isthmus.training import Report
from isthmus.writing import replace_file

__all__ = ["write_report"]

Pictures = Sequence[tuple[str, Path, str]]
_EPOCHS = 1000  # as many lines the table of losses has at most

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>
$style
</style>
</head>
<body>
<main>
<header>
<h1>$title</h1>
<p class="lead">$lead</p>
$command
</header>
$sections
<footer>Written by isthmus $version.</footer>
</main>
</body>
</html>
""")

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2329; --soft: #5b6670; --line: #dde2e6; --paper: #fdfdfc; --box: #f2f4f5; --mark: #0b6e78; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ea; --soft: #9ba6af; --line: #333b42; --paper: #15191d; --box: #1f252a; --mark: #5cc3cd; }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.55 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 58rem; margin: 0 auto; padding: 2.5rem 1.25rem 3rem; }
h1 { font-size: 1.9rem; line-height: 1.2; letter-spacing: -.01em; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.75rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 .4rem; }
p { margin: .5rem 0; }
.lead { font-size: 1.1rem; }
figcaption, .unit, footer, summary { color: var(--soft); }
code, pre { font: .875rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre { margin: .5rem 0; padding: .75rem .9rem; background: var(--box); border-radius: .4rem; }
pre code { white-space: pre-wrap; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .38rem 1rem .38rem 0; text-align: left; vertical-align: baseline; border-bottom: 1px solid var(--line); }
th { font-weight: 500; }
thead th { color: var(--soft); font-size: .875rem; }
td code { overflow-wrap: anywhere; }
.value { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; font-weight: 600; }
.unit { font-size: .9rem; width: 50%; }
.choices th { width: 9rem; }
.wide { overflow-x: auto; }
.losses th, .losses td { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; font-size: .875rem; }
.losses tr > :first-child { text-align: left; }
details { margin: 1rem 0; }
summary { cursor: pointer; }
summary:hover { color: var(--mark); }
figure { margin: 1.5rem 0 2.25rem; }
figure img { display: block; max-width: 100%; max-height: 44rem; height: auto; }
figure img { background: #fff; border-radius: .4rem; border: 1px solid var(--line); }
.picture { overflow-x: auto; }
figcaption { margin-top: .4rem; font-size: .9rem; }
figcaption strong { color: var(--ink); font-weight: 600; }
footer { margin-top: 3rem; font-size: .85rem; }
@media (max-width: 40rem) {
  .long img { max-width: max(100%, 40rem); max-height: none; }
  main { padding-top: 1.5rem; }
  h1 { font-size: 1.5rem; }
  .choices tr, .figures tr { display: block; padding: .45rem 0; border-bottom: 1px solid var(--line); }
  .choices th, .choices td, .figures .unit { display: block; width: auto; border: 0; padding: 0; }
  .choices th { color: var(--soft); font-size: .875rem; }
  .figures th, .figures .value { border: 0; padding: 0; }
  .figures tr { display: grid; grid-template-columns: 1fr auto; column-gap: 1rem; }
  .figures .unit { grid-column: 1 / -1; }
}
@media print { details { display: none; } figure { break-inside: avoid; } }
""".strip()


def write_report(
    folder: str | os.PathLike[str],
    ae: Autoencoder,
    evaluation: Evaluation,
    pictures: Pictures,
    title: str,
    command: str | None = None,
) -> Path:
    """Writes ``report.html`` into a folder and returns where; a reader meets the old page or the whole new one.

    Args:
        folder: the folder of a run, in which the model lies.
        ae: the autoencoder that was trained.
        evaluation: its figures.
        pictures: title, PNG file and description (alt text) of each; ``losses.png`` stands with the training, the others follow.
        title: what was trained on what, in any words: all text is escaped.
        command: what a person typed to train it, if so.

    Raises:
        OSError: the folder or a picture is not there (`FileNotFoundError`), or cannot be read or written.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder} to write report.html into; make it first")
    curves = [picture for picture in pictures if picture[1].stem == "losses"]
    others = [picture for picture in pictures if picture[1].stem != "losses"]
    sections = [
        _section("How well", _figures(evaluation)),
        _section("What was trained", _trained(ae)),
        _section("How training went", _training(ae.history_) + _gallery(curves)),
        _section("Pictures", _gallery(others)),
        _section("Use it", _use(folder, ae)),
    ]
    page = _page(title, _lead(ae, evaluation), command, sections)
    replace_file(folder / "report.html", page.encode("utf-8", "replace"))  # a name of a file may not be Unicode
    return folder / "report.html"


def _page(title: str, lead: str, command: str | None, sections: Sequence[str]) -> str:
    from isthmus import __version__

    return _PAGE.substitute(
        title=html.escape(title),
        style=_STYLE,
        lead=html.escape(lead),
        command="" if command is None else f"<pre><code>{html.escape(command)}</code></pre>",
        sections="\n".join(sections),
        version=html.escape(__version__),
    )


def _section(heading: str, content: str) -> str:
    return f"<section>\n<h2>{heading}</h2>\n{content}\n</section>" if content else ""


def _lead(ae: Autoencoder, evaluation: Evaluation) -> str:
    """The result in a sentence or two."""
    shape = " by ".join(str(side) for side in ae.shape_)
    code = " by ".join(str(side) for side in ae.code_shape_)
    text = f"Each example ({shape} number{'s' * (ae.shape_ != (1,))}) goes through a code of {code}"
    ours, theirs = evaluation.mse_scaled or evaluation.mse, evaluation.pca_mse_scaled or evaluation.pca_mse
    if theirs is None:
        return text + "."
    if not theirs or not ours:
        return f"{text}; PCA of equal width leaves a squared error of {theirs:.4g}, this {ours:.4g}."
    ratio = f"{ours / theirs:.0%} of" if ours < 2 * theirs else f"{ours / theirs:.1f} times"
    return f"{text} and comes back with {ratio} the squared error that PCA of equal width leaves."


def _figures(evaluation: Evaluation) -> str:
    lines = (
        f'<tr><th scope="row">{html.escape(name)}</th><td class="value">{html.escape(value)}</td>'
        f'<td class="unit">{html.escape(unit)}</td></tr>'
        for name, value, unit in evaluation.rows()
    )
    return '<table class="figures"><tbody>\n' + "\n".join(lines) + "\n</tbody></table>"


def _trained(ae: Autoencoder) -> str:
    """The choices as one writes them, and on what."""
    import torch

    from isthmus import __version__

    names = ("corruption", "architecture", "bottleneck", "likelihood", "scaling", "optimizer")
    rows = [(name.capitalize(), f"<code>{html.escape(repr(getattr(ae, f'{name}_')))}</code>") for name in names]
    rows += [
        ("Parameters", f"{ae.n_parameters_:,}"),
        ("Epochs", f"{len(ae.history_):,}, in {ae.seconds_:,.1f} seconds"),
        ("Precision", html.escape(f"{ae.precision_}, on {ae.model_.shift.device}")),
        ("Versions", f"isthmus {__version__}, PyTorch {torch.__version__}, Python {platform.python_version()}"),
    ]
    lines = (f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' for name, value in rows)
    return '<table class="choices"><tbody>\n' + "\n".join(lines) + "\n</tbody></table>"


def _training(history: Sequence[Report]) -> str:
    """The losses in a sentence, and all of them folded away."""
    if not history:
        return "<p>There is no history: nothing was trained here.</p>"
    first, last = history[0], history[-1]
    went = f"The loss was {last.loss:.4g} nats per example"
    if len(history) > 1:
        went = f"The loss went from {first.loss:.4g} in the first epoch to {last.loss:.4g} nats per example in the last"
    went += f"; on the validation examples it is {last.valid:.4g}." if last.valid is not None else "."
    stride = -(-len(history) // _EPOCHS)
    shown = [*history[:-1:stride], last]
    summary = "Losses of each epoch" if stride == 1 else f"Losses of one epoch in {stride}"
    table = _losses(shown, any(r.penalty for r in history), any(r.valid is not None for r in history))
    return f"<p>{went}</p>\n<details><summary>{summary}, in nats per example</summary>\n{table}\n</details>\n"


def _losses(reports: Iterable[Report], parts: bool, valid: bool) -> str:
    """A table with the parts of the loss where it has two, and with the validation loss where there is one."""
    names = ["epoch", "loss"] + ["nll", "penalty"] * parts + ["validation"] * valid + ["learning rate", "seconds"]
    lines = []
    for r in reports:
        cells = [f"{r.epoch:,}", f"{r.loss:.6g}"]
        cells += [f"{r.nll:.6g}", f"{r.penalty:.6g}"] * parts
        cells += ["" if r.valid is None else f"{r.valid:.6g}"] * valid
        cells += [f"{r.lr:.3g}", f"{r.seconds:,.1f}"]
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "\n".join(lines)
    return (
        f'<div class="wide"><table class="losses"><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
    )


def _gallery(pictures: Pictures) -> str:
    """Each picture, inside the page, with its title and description."""
    figures = []
    for title, path, alt in pictures:
        content = path.read_bytes()
        data = base64.b64encode(content).decode("ascii")
        named = f"<strong>{html.escape(title[:1].upper() + title[1:])}.</strong> {html.escape(alt)}"
        # a picture that is much wider than high is scrolled on a narrow page, and not made too small to read
        width, height = struct.unpack(">II", content[16:24])
        kind = "picture long" if width > 2 * height else "picture"
        image = f'<div class="{kind}"><img src="data:image/png;base64,{data}" alt="{html.escape(alt)}"></div>'
        figures.append(f"<figure>\n{image}\n<figcaption>{named}</figcaption>\n</figure>")
    return "\n".join(figures)


def _use(folder: Path, ae: Autoencoder) -> str:
    """Three lines of Python and three of shell."""
    run = shlex.quote(str(folder))
    own = isinstance(ae.architecture_, Modules)
    shape = ", ".join(("n", *map(str, ae.shape_)))
    python = [
        "import isthmus",
        f"ae = isthmus.load({str(folder)!r}{', architecture=Modules(encoder, decoder)' * own})",
        f"codes, back = ae.encode(X), ae.reconstruct(X)  # X: an array ({shape})",
    ]
    shell = [f"isthmus evaluate {run}", f"isthmus encode {run} --data mine.npy", f"isthmus plot {run} latent"]
    blocks = [("In Python", python)] + [("On the command line", shell)] * (not own)
    return "\n".join(
        f"<h3>{heading}</h3>\n<pre><code>{html.escape(chr(10).join(lines))}</code></pre>" for heading, lines in blocks
    )
