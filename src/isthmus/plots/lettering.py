"""Text in figures: shown literally, without math text. Characters that a font lacks come from another font, or are escaped."""

from __future__ import annotations

from functools import lru_cache

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.ticker import Formatter, LogFormatter, ScalarFormatter

from isthmus.text import printable

__all__ = ["sanitize_figure", "sanitize_text", "short_name"]

_MAX_LINE = 110  # characters in a line
_MAX_NAME = 32  # characters in a name at an axis or a point, or in a legend
_DEFAULT_FONT, _NO_FONT = "", "nowhere"


def short_name(name: object, max_length: int = _MAX_NAME) -> str:
    """A name for a figure, on one line. Of a long name, only the beginning and the end are kept."""
    return _cut(_drawable(printable(_cut(str(name), 20 * max_length), None)), max_length)


def sanitize_figure(figure: Figure) -> None:
    """Makes all text of a figure safe. Call it before layout and before drawing."""
    numeric_labels = set[int]()
    for axis in figure.findobj(Axis):
        assert isinstance(axis, Axis)
        axis.get_ticklabels()  # sets the text of the ticks
        if _is_numeric(axis.get_major_formatter()):  # its powers of ten are math text of our own
            numeric_labels |= {id(label) for tick in axis.get_major_ticks() for label in (tick.label1, tick.label2)}
        if _is_numeric(axis.get_minor_formatter()):
            numeric_labels |= {id(label) for tick in axis.get_minor_ticks() for label in (tick.label1, tick.label2)}
        numeric_labels.add(id(axis.get_offset_text()))
    legend_texts = {id(text) for legend in figure.findobj(Legend) for text in legend.findobj(Text)}
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if id(text) in numeric_labels:
            text.set_usetex(False)
        else:
            sanitize_text(text, _MAX_NAME if id(text) in legend_texts else _MAX_LINE)


def sanitize_text(text: Text, max_length: int = _MAX_LINE) -> None:
    """Makes one text safe, and shortens each line to max_length characters."""
    text.set_usetex(False)
    text.set_parse_math(False)
    lines = text.get_text().split("\n")
    text.set_text("\n".join(_cut(_drawable(printable(line, None)), max_length) for line in lines))
    default_font = findfont(text.get_fontproperties())
    needed = {_font_family(c) for c in text.get_text() if not c.isascii() and not _has_glyph(default_font, c)} - {
        _DEFAULT_FONT,
        _NO_FONT,
    }
    if new := needed.difference(text.get_fontfamily()):
        text.set_fontfamily([*text.get_fontfamily(), *sorted(new)])


def _is_numeric(formatter: Formatter) -> bool:
    return isinstance(formatter, LogFormatter | ScalarFormatter)


def _cut(text: str, max_length: int) -> str:
    tail = max_length // 3
    return text if len(text) <= max_length else f"{text[: max_length - tail - 3]}...{text[-tail:]}"


def _drawable(text: str) -> str:
    """The text, with characters escaped that no installed font has."""
    return "".join(_ascii(c) if _font_family(c) == _NO_FONT else c for c in text)


def _ascii(character: str) -> str:
    return character.encode("unicode_escape").decode()


@lru_cache(maxsize=10_000)
def _font_family(character: str) -> str:
    """The font family with a glyph for a character: the default one (""), another installed one, or "nowhere"."""
    if character.isascii() or _has_glyph(findfont(FontProperties()), character):
        return _DEFAULT_FONT
    fonts = sorted({(font.name, font.fname) for font in fontManager.ttflist if "last resort" not in font.name.lower()})
    return next((name for name, path in fonts if _has_glyph(path, character)), _NO_FONT)


@lru_cache(maxsize=100_000)
def _has_glyph(path: str, character: str) -> bool:
    """Whether a font has a glyph for a character that Matplotlib can draw."""
    try:
        font = get_font(path)
        if not font.get_char_index(ord(character)):
            return False
        font.load_char(ord(character))
    except (RuntimeError, OSError):  # a bitmap color font, or a font file that was removed
        return False
    return True
