"""All text in figures: every sign as it is, no mathematics; what a font lacks comes from another one, or is escaped."""

from __future__ import annotations

from functools import lru_cache

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.ticker import Formatter, LogFormatter, ScalarFormatter

from isthmus.text import printable

__all__ = ["letter", "lettered", "named"]

_LINE = 110  # characters of a line
_NAME = 32  # and of a name beside an axis or a point, or in a legend
_OWN, _NOWHERE = "", "nowhere"


def named(name: object, most: int = _NAME) -> str:
    """A name that stands in a figure, on one line; of a long one the beginning and the end."""
    return _cut(_drawable(printable(_cut(str(name), 20 * most), None)), most)


def lettered(figure: Figure) -> None:
    """Makes all text of a figure safe to lay out and to draw: called before either."""
    numbers = set[int]()
    for axis in figure.findobj(Axis):
        assert isinstance(axis, Axis)
        axis.get_ticklabels()  # gives the ticks their texts
        if _is_of_numbers(axis.get_major_formatter()):  # whose powers of ten are mathematics, and ours
            numbers |= {id(label) for tick in axis.get_major_ticks() for label in (tick.label1, tick.label2)}
        if _is_of_numbers(axis.get_minor_formatter()):
            numbers |= {id(label) for tick in axis.get_minor_ticks() for label in (tick.label1, tick.label2)}
        numbers.add(id(axis.get_offset_text()))
    listed = {id(text) for legend in figure.findobj(Legend) for text in legend.findobj(Text)}
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if id(text) in numbers:
            text.set_usetex(False)
        else:
            letter(text, _NAME if id(text) in listed else _LINE)


def letter(text: Text, most: int = _LINE) -> None:
    """Makes one text safe to lay out and to draw, each of its lines of so many characters at most."""
    text.set_usetex(False)
    text.set_parse_math(False)
    lines = text.get_text().split("\n")
    text.set_text("\n".join(_cut(_drawable(printable(line, None)), most) for line in lines))
    own = findfont(text.get_fontproperties())
    more = {_family(c) for c in text.get_text() if not c.isascii() and not _has(own, c)} - {_OWN, _NOWHERE}
    if new := more.difference(text.get_fontfamily()):
        text.set_fontfamily([*text.get_fontfamily(), *sorted(new)])


def _is_of_numbers(formatter: Formatter) -> bool:
    return isinstance(formatter, LogFormatter | ScalarFormatter)


def _cut(text: str, most: int) -> str:
    last = most // 3
    return text if len(text) <= most else f"{text[: most - last - 3]}...{text[-last:]}"


def _drawable(text: str) -> str:
    """The text, with what no font on this machine has a sign for escaped."""
    return "".join(_ascii(c) if _family(c) == _NOWHERE else c for c in text)


def _ascii(character: str) -> str:
    return character.encode("unicode_escape").decode()


@lru_cache(maxsize=10_000)
def _family(character: str) -> str:
    """The font that has a sign for a character: the usual one (""), another that is installed, or nowhere."""
    if character.isascii() or _has(findfont(FontProperties()), character):
        return _OWN
    fonts = sorted({(font.name, font.fname) for font in fontManager.ttflist if "last resort" not in font.name.lower()})
    return next((name for name, path in fonts if _has(path, character)), _NOWHERE)


@lru_cache(maxsize=100_000)
def _has(path: str, character: str) -> bool:
    """Whether a font has a sign that Matplotlib can draw."""
    try:
        font = get_font(path)
        if not font.get_char_index(ord(character)):
            return False
        font.load_char(ord(character))
    except (RuntimeError, OSError):  # a font of colored pixels, or one that was removed
        return False
    return True
