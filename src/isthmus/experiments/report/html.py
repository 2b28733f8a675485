"""The HTML of a report: style, sections, tables and figures. All text is escaped here."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template

from isthmus.plots.figure_file import read_png
from isthmus.text import html_safe

__all__ = ["FigureFiles", "gallery", "page", "section", "table"]

FigureFiles = Sequence[tuple[str, Path, str]]  # title, PNG file and alt text of each figure

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
.configuration th { width: 9rem; }
.wide { overflow-x: auto; }
.losses th, .losses td { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; font-size: .875rem; }
.losses tr > :first-child { text-align: left; }
details { margin: 1rem 0; }
summary { cursor: pointer; }
summary:hover { color: var(--mark); }
figure { margin: 1.5rem 0 2.25rem; }
figure img { display: block; max-width: 100%; max-height: 44rem; height: auto; }
figure img { background: #fff; border-radius: .4rem; border: 1px solid var(--line); }
.figure { overflow-x: auto; }
figcaption { margin-top: .4rem; font-size: .9rem; }
figcaption strong { color: var(--ink); font-weight: 600; }
footer { margin-top: 3rem; font-size: .85rem; }
.advice { margin: 1.5rem 0 0; padding: .9rem 1.1rem; background: var(--box); border-left: .25rem solid var(--mark); border-radius: .4rem; }
.advice h2 { margin: 0 0 .4rem; padding: 0; border: 0; font-size: 1.05rem; }
.advice ul { margin: 0; padding-left: 1.2rem; }
.advice li { margin: .35rem 0; overflow-wrap: anywhere; }
.comparison thead th { text-align: right; vertical-align: bottom; overflow-wrap: anywhere; }
.comparison tr > :first-child, .comparison thead .unit { text-align: left; }
.comparison .unit { width: 34%; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1.25rem; }
.pair > * { min-width: 0; }
@media (max-width: 40rem) {
  .pair { grid-template-columns: 1fr; gap: 0; }
  .comparison .unit { display: none; }
  .comparison th, .comparison td { padding-right: .6rem; }
  .long img { max-width: max(100%, 40rem); max-height: none; }
  main { padding-top: 1.5rem; }
  h1 { font-size: 1.5rem; }
  .configuration tr, .figures tr { display: block; padding: .45rem 0; border-bottom: 1px solid var(--line); }
  .configuration th, .configuration td, .figures .unit { display: block; width: auto; border: 0; padding: 0; }
  .configuration th { color: var(--soft); font-size: .875rem; }
  .figures th, .figures .value { border: 0; padding: 0; }
  .figures tr { display: grid; grid-template-columns: 1fr auto; column-gap: 1rem; }
  .figures .unit { grid-column: 1 / -1; }
}
@media print { details { display: none; } figure { break-inside: avoid; } }
""".strip()


def page(title: str, summary: str, command: str | None, sections: Sequence[str]) -> str:
    """The whole page as HTML."""
    from isthmus._version import __version__

    return _PAGE.substitute(
        title=html_safe(title),
        style=_STYLE,
        lead=html_safe(summary),
        command="" if command is None else f"<pre><code>{html_safe(command)}</code></pre>",
        sections="\n".join(sections),
        version=html_safe(__version__),
    )


def section(heading: str, content: str) -> str:
    """A section as HTML; empty without content."""
    return f"<section>\n<h2>{heading}</h2>\n{content}\n</section>" if content else ""


def table(kind: str, rows: Iterable[Sequence[str]], header: Sequence[str] = (), units: bool = True) -> str:
    """Rows of a name, values and (with units) a unit, as a table; `kind` is its CSS class."""

    def cells(row: Sequence[str], tag: str) -> str:
        last = len(row) - units
        marks = [
            "" if place == 0 else ' class="value"' if place < last else ' class="unit"' for place in range(len(row))
        ]
        tags = [tag or ("th" if place == 0 else "td") for place in range(len(row))]
        scopes = [(' scope="col"' if tag else ' scope="row"') if name == "th" else "" for name in tags]
        parts = zip(tags, scopes, marks, row, strict=True)
        return "".join(f"<{name}{scope}{mark}>{html_safe(text)}</{name}>" for name, scope, mark, text in parts)

    head = f"<thead><tr>{cells(header, 'th')}</tr></thead>" if header else ""
    body = "\n".join(f"<tr>{cells(row, '')}</tr>" for row in rows)
    return f'<table class="{kind}">{head}<tbody>\n{body}\n</tbody></table>'


def gallery(figure_files: FigureFiles, scaled: bool = False) -> str:
    """The figures, embedded in the page, with title and description. With ``scaled``, wide ones are scaled down and never scrolled."""
    figures = []
    for title, path, alt in figure_files:
        content, _ = read_png(path)
        data = base64.b64encode(content).decode("ascii")
        caption = f"<strong>{html_safe(title[:1].upper() + title[1:])}.</strong> {html_safe(alt)}"
        # on a narrow page, a wide figure is scrolled: scaled down it could not be read
        width, height = struct.unpack(">II", content[16:24])
        kind = "figure long" if width > 2 * height and not scaled else "figure"
        image = f'<div class="{kind}"><img src="data:image/png;base64,{data}" alt="{html_safe(alt)}"></div>'
        figures.append(f"<figure>\n{image}\n<figcaption>{caption}</figcaption>\n</figure>")
    return "\n".join(figures)
