"""Tables as people have them: the bytes of a file, and what is right to read from it, or the sentence that it is refused with."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

NAN = float("nan")


@dataclass(frozen=True)
class Right:
    """What is right: values, names, labels, ids and the lines of the rows where they are given; and words of the notes."""

    values: list[list[float]]
    columns: tuple[str, ...] | None
    notes: tuple[str, ...] = ()
    labels: list[Any] | None = None
    ids: list[str] | None = None
    lines: list[int] | None = None


@dataclass(frozen=True)
class Table:
    """A file, options of reading, and what is right."""

    content: bytes
    right: Right | str
    suffix: str = ".csv"
    options: dict[str, Any] = field(default_factory=dict)


def zipped(files: dict[str, bytes]) -> bytes:
    """An archive of files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def zstd(content: bytes) -> bytes:
    """The content as .zst."""
    return bytes(pa.compress(content, "zstd", asbytes=True))


def _table(content: str | bytes, right: Right | str, suffix: str = ".csv", **options: Any) -> Table:
    return Table(content.encode() if isinstance(content, str) else content, right, suffix, options)


def _rows(n: int, row: Callable[[int], str]) -> str:
    return "".join(f"{row(i)}\n" for i in range(n))


PLAIN = Right([[1, 2], [3, 4]], ("a", "b"), lines=[2, 3])
TWO = Right([[1.5, 2], [3, 4.25]], ("a", "b"), lines=[2, 3])
BARE = Right([[1.5, 2], [3, 4.25]], None, ("has no column names", "line 1 is data", "--header yes"), lines=[1, 2])
FLOATS = [[0.5, 1.25, -2.5, 3.75], [0.75, 0.25, 1.5, -0.5], [1.5, 0.5, 0.25, 9.5]]
FLOAT_LINES = "0.5,1.25,-2.5,3.75\n0.75,0.25,1.5,-0.5\n1.5,0.5,0.25,9.5\n"
WIDE = 20_000
PADDED = "Gauge Kiel;;\n;;\na;b;c\nm;kg;s\n1;2;3\n4;5;6\n"

TABLES: dict[str, Table] = {
    # what stands between the cells
    "commas": _table("a,b\n1.5,2\n3,4.25\n", TWO),
    "semicolons": _table("a;b\n1.5;2\n3;4.25\n", TWO),
    "tabs": _table("a\tb\n1.5\t2\n3\t4.25\n", TWO, ".tsv"),
    "bars": _table("a|b\n1.5|2\n3|4.25\n", TWO),
    "blanks": _table("a b\n1.5  2\n  3 4.25  \n", TWO, ".txt"),
    "blanks and tabs": _table(" a  b\n1.5 \t 2\n3\t4.25\n", TWO, ".dat"),
    "commas and blanks": _table("a, b\n1.5, 2\n3, 4.25\n", TWO),
    "said": _table("a:b\n1.5:2\n3:4.25\n", TWO, delimiter=":"),
    "sep for Excel": _table("sep=;\na;b\n1,5;2\n3;4,25\n", Right(TWO.values, ("a", "b"), lines=[3, 4])),
    "one column": _table("a\n1.5\n2\n", Right([[1.5], [2]], ("a",))),
    "one column, decimal comma": _table("a\n1,5\n2\n3,25\n", Right([[1.5], [2], [3.25]], ("a",), ("decimal comma",))),
    "one column of words with blanks": _table("my column\n1\n2\n", Right([[1], [2]], ("my column",))),
    "no line feed at the end": _table("a,b\n1,2\n3,4", PLAIN),
    "carriage returns": _table("a,b\r1,2\r3,4\r", PLAIN),
    "both": _table("a,b\r\n1,2\r\n3,4\r\n", PLAIN),
    "a delimiter at the end of each line": _table("a,b,\n1,2,\n3,4,\n", Right(PLAIN.values, ("a", "b"), ("is empty",))),
    # numbers
    "decimal comma": _table("a;b\n1,5;2\n3;4,25\n", Right(TWO.values, ("a", "b"), ("decimal comma: a, b",))),
    "decimal comma of three digits": _table(
        "a;b\n1,234;2\n3;4\n", Right([[1.234, 2], [3, 4]], ("a", "b"), ("decimal comma",))
    ),
    "decimal comma, tabs": _table("a\tb\n1,5\t2\n3\t4,25\n", TWO, ".tsv"),
    "decimal comma, quoted": _table('a,b\n"1,5",2\n3,"4,25"\n', TWO),
    "decimal comma and points between thousands": _table(
        "a;b\n1.234,5;2\n-3;1.000.000\n", Right([[1234.5, 2], [-3, 1e6]], ("a", "b"), ("1.234,5 is 1234.5",))
    ),
    "a later cell tells the mark": _table(
        "a,b\n1.234,1\n2.345,2\n" + "3.456,1\n" * 3 + '"3,5",3\n',
        Right([[1234, 1], [2345, 2], *[[3456, 1]] * 3, [3.5, 3]], ("a", "b"), ("decimal comma: a",)),
    ),
    "commas between thousands": _table(
        'a,b\n"1,234",2\n"-12,345",3\n',
        Right([[1234, 2], [-12345, 3]], ("a", "b"), ("between thousands: a (1,234 is 1234)",)),
    ),
    "commas between thousands, points": _table(
        'a,b\n"1,234.5",2\n"1,000,000",3\n', Right([[1234.5, 2], [1e6, 3]], ("a", "b"))
    ),
    "blanks between thousands": _table("a,b\n1 234,2\n2 000 000,3\n", Right([[1234, 2], [2e6, 3]], ("a", "b"))),
    "apostrophes between thousands": _table("a,b\n1'234.5,2\n2'000,3\n", Right([[1234.5, 2], [2000, 3]], ("a", "b"))),
    "points between thousands, as other columns have decimal commas": _table(
        "a;b\n1.234;1,5\n567;2,5\n", Right([[1234, 1.5], [567, 2.5]], ("a", "b"), ("a, b (1.234 is 1234)",))
    ),
    "a later column tells of points": _table(
        "a;b\n1.234;1\n" + "567;2\n" * 3 + "2.345;2,5\n",
        Right([[1234, 1], *[[567, 2]] * 3, [2345, 2.5]], ("a", "b"), ("a, b (1.234 is 1234)",)),
    ),
    "points before three digits, beside whole numbers": _table(
        "a;b\n1.234;2\n567;3\n",
        Right([[1.234, 2], [567, 3]], ("a", "b"), ("with a decimal point: a (1.234 is 1.234)", "--decimal ','")),
    ),
    "points before three digits with commas between": _table(
        "a,b\n1.234,2\n567,3\n", Right([[1.234, 2], [567, 3]], ("a", "b"))
    ),
    "fractions of any length beside decimal commas": _table(
        "a;b\n1.234;1,5\n2.5;2,5\n", Right([[1.234, 1.5], [2.5, 2.5]], ("a", "b"))
    ),
    "thousands as asked": _table("a;b\n1,234;2\n3;4\n", Right([[1234, 2], [3, 4]], ("a", "b")), decimal="."),
    "both marks in a column": _table('a,b\n"1,5",1\n2.25,2\n', "column 'a' holds text .line 2 .*'1,5'"),
    "each column its own mark": _table("a;b\n1,5;2.25\n3;4.5\n", Right([[1.5, 2.25], [3, 4.5]], ("a", "b"))),
    "exponents and signs": _table("a,b\n1e2,+.5\n-1.E-2,5.\n", Right([[100, 0.5], [-0.01, 5]], ("a", "b"))),
    "a typographic minus": _table("a,b\n\u22121.5,2\n3,4\n", Right([[-1.5, 2], [3, 4]], ("a", "b"))),
    "truth": _table("a,b\nTrue,1\nfalse,2\n", Right([[1, 1], [0, 2]], ("a", "b"), ("true as 1",))),
    "zeros in front": _table(
        "a,zip\n1,02134\n2,00501\n", Right([[1, 2134], [2, 501]], ("a", "zip"), ("zeros in front", "02134"))
    ),
    "beyond 2^53": _table(
        "a,b\n9007199254740993,1\n1,2\n", Right([[2.0**53, 1], [1, 2]], ("a", "b"), ("beyond 2^53", "740993"))
    ),
    "underscores": _table("a\n1_000\n", "'1_000'"),
    "dates": _table("day,b\n2020-01-01,1\n2020-01-02,2\n", Right([[18262, 1], [18263, 2]], ("day", "b"), ("1 date",))),
    # missing values
    "marks": _table(
        "a,b\nNA,n/a\n1,-\n#N/A,<NA>\n\\N,.\nnull,?\nn.a.,None\nNaN,\n2,-nan\n",
        Right([[NAN, NAN], [1, NAN], *[[NAN, NAN]] * 5, [2, NAN]], ("a", "b"), ("missing values", "14", "'na'")),
    ),
    "own marks": _table(
        "a,b\n-999,x\n-999.0,2\n3,4\n", Right([[NAN, NAN], [NAN, 2], [3, 4]], ("a", "b")), na_values=("-999", "x")
    ),
    "Excel's errors": _table("a,b\n#DIV/0!,1\n2,#VALUE!\n", Right([[NAN, 1], [2, NAN]], ("a", "b"))),
    # rows and comments
    "empty rows": _table(
        "a,b\n1,2\n\n,\n \n3,4\n\n\n", Right(PLAIN.values, ("a", "b"), ("2 empty rows",), lines=[2, 6])
    ),
    "separators alone, first": _table(
        ",,\n5,1,4\n4,3,2\n", Right([[5, 1, 4], [4, 3, 2]], None, ("1 empty row", "line 2 is data"), lines=[2, 3])
    ),
    "separators alone, above the names": _table(
        ",\na,b\n1,2\n3,4\n", Right(PLAIN.values, ("a", "b"), ("from line 2",), lines=[3, 4])
    ),
    "empty lines first": _table("\n\na,b\n1,2\n3,4\n", Right(PLAIN.values, ("a", "b"), ("from line 3",), lines=[4, 5])),
    "a row of marks is a row": _table("a,b\n1,2\nNA,NA\n", Right([[1, 2], [NAN, NAN]], ("a", "b"))),
    "comments": _table(
        '# by X, "Y\na,b\n1,2\n# later, c\n3,4\n',
        Right(PLAIN.values, ("a", "b"), ("2 comments", "line 1"), lines=[3, 5]),
    ),
    "names in a comment": _table(
        "# a b\n1.5 2\n3 4.25\n", Right(TWO.values, ("a", "b"), ("from a comment: a, b",)), ".txt"
    ),
    "comments of another kind": _table(
        "% by X\na,b\n1,2\n3,4\n", Right(PLAIN.values, ("a", "b"), ("1 comment",)), comment="%"
    ),
    "no comments": _table("a,b\n#1,2\n#3,4\n", Right([[2], [4]], ("b",), ids=["#1", "#3"]), id="a"),
    "cells of several lines": _table(
        'a,kind,b\n1,"x\n\ny",2\n3,z,4\n',
        Right([[1, 2], [3, 4]], ("a", "b"), ("1 row ", "several lines"), labels=["x\n\ny", "z"], lines=[2, 5]),
        labels="kind",
    ),
    "quotes": _table('"a","b ""c"""\n"1.5",2\n"3","4.25"\n', Right(TWO.values, ("a", 'b "c"'))),
    # the first row
    "pandas' names of an array": _table(
        "0,1,2,3\n" + FLOAT_LINES,
        Right(FLOATS, ("0", "1", "2", "3"), ("column names, from line 1", "--header no"), lines=[2, 3, 4]),
    ),
    "pandas' names of whole numbers": _table("0,1,2\n5,7,1\n2,9,4\n", Right([[5, 7, 1], [2, 9, 4]], ("0", "1", "2"))),
    "pandas' names, index and all": _table(
        ",0,1,2\n0,5,7,1\n1,2,9,4\n", Right([[5, 7, 1], [2, 9, 4]], ("0", "1", "2"), ("has no name and counts rows",))
    ),
    "names from 1 on": _table("1,2,3,4\n" + FLOAT_LINES, Right(FLOATS, ("1", "2", "3", "4"))),
    "years": _table(
        "2018,2019,2020\n13.5,14,15\n11,9,8\n",
        Right([[13.5, 14, 15], [11, 9, 8]], ("2018", "2019", "2020"), ("years",)),
    ),
    "years behind an id": _table(
        "country,2019,2020\nFR,13.5,14\nUS,11,9\n",
        Right([[13.5, 14], [11, 9]], ("2019", "2020"), ids=["FR", "US"]),
        id="country",
    ),
    "wavelengths": _table(
        "350.5,351.25,352.5,353,354.75,356\n0.1,0.3,0.2,0.5,0.1,0.2\n0.4,0.2,0.3,0.1,0.3,0.6\n",
        Right(
            [[0.1, 0.3, 0.2, 0.5, 0.1, 0.2], [0.4, 0.2, 0.3, 0.1, 0.3, 0.6]],
            ("350.5", "351.25", "352.5", "353", "354.75", "356"),
        ),
    ),
    "numbers alone": _table("1.5,2\n3,4.25\n", BARE),
    "numbers that go on": _table("0,1,2\n3,4,5\n6,7,8\n", Right([[0, 1, 2], [3, 4, 5], [6, 7, 8]], None)),
    "truth without names": _table("0,1\n1,0\n1,1\n", Right([[0, 1], [1, 0], [1, 1]], None)),
    "a gap in the first row": _table(
        "5.1,-,1.4\n4.9,3,1.5\n", Right([[5.1, NAN, 1.4], [4.9, 3, 1.5]], None, lines=[1, 2])
    ),
    "a word in the first row": _table(
        "5.1,x,1.4\n4.9,y,1.5\n", Right([[5.1, 1.4], [4.9, 1.5]], None, labels=["x", "y"]), labels="1"
    ),
    "names as asked": _table("1.5,2\n3,4.25\n", Right([[3, 4.25]], ("1.5", "2"), lines=[2]), header=True),
    "no names as asked": _table("0,1,2\n5,7,1\n", Right([[0, 1, 2], [5, 7, 1]], None), header=False),
    "words that are data as asked": _table("a,b\n1,2\n", "line 1 of .* has 'a'", header=False),
    # names
    "names with blanks around": _table(" a , b\n1,2\n3,4\n", PLAIN),
    "names twice": _table("a,a,a.1\n1,2,3\n", Right([[1, 2, 3]], ("a", "a.2", "a.1"), ("repeated column names",))),
    "no name": _table("a,,b\n1,2,3\n", Right([[1, 2, 3]], ("a", "Unnamed: 1", "b"), ("without a name",))),
    "pandas' index, saved twice": _table(
        "Unnamed: 0,a,b\n0,1,2\n1,3,4\n", Right(PLAIN.values, ("a", "b"), ("counts rows",))
    ),
    "nameless first column of words": _table(
        ",a\nx,1\ny,2\n", Right([[1], [2]], ("a",), ("another text in every row",))
    ),
    # columns
    "dropped": _table(
        "a,t,b,u\n1,x,2,y\n3,z,4,w\n", Right(PLAIN.values, ("a", "b"), ("2 of 4 columns (t, u)",)), drop="t,u"
    ),
    "patterns": _table("g_1,t,g_2\n1,x,2\n3,y,4\n", Right(PLAIN.values, ("g_1", "g_2")), columns="g_*"),
    "a name with a comma": _table(
        'a,"b, c",d\n1,2,x\n3,4,y\n', Right(PLAIN.values, ("a", "b, c")), columns=("a", "b, c")
    ),
    "several words": _table(
        "a,t,b,u\n1,x,2,y\n", Right([[1, 0, 2, 0]], ("a", "t", "b", "u"), ("2 categories (t: 1, u: 1)",))
    ),
    "several words among numbers": _table("a,t,b,u\n1,x,2,y\n3,4,5,6\n", r"'t' holds text .*; so does u: .*--drop t,u"),
    "words and dates": _table(
        "when,t,b,u,day\n2020-01-02,x,2,y,2021-03-04\n1,2,3,4,5\n",
        r"'when' holds dates .*; so does day; t, u hold text: leave them out .--drop when,t,u,day",
    ),
    "no such column": _table("a,b\n1,2\n", r"no column 'x' \(--drop, drop='x'\); it has a, b", drop="x"),
    "an id that counts": _table(
        "n,b\n" + _rows(12, lambda i: f"{i + 7},{i % 3}"),
        Right([[i + 7, i % 3] for i in range(12)], ("n", "b"), ("n (it counts the rows)", "--id")),
    ),
    "an id unlike any other": _table(
        "n,b\n" + _rows(12, lambda i: f"{i * 7 % 12 * 1000},{i % 3}"),
        Right(
            [[i * 7 % 12 * 1000, i % 3] for i in range(12)], ("n", "b"), ("n is a different whole number in every row",)
        ),
    ),
    "ids stay what they are": _table("id,a\n007,1\n1e2,2\n", Right([[1], [2]], ("a",), ids=["007", "1e2"]), id="id"),
    "labels stay what they are": _table(
        "a,zip\n1,02134\n2,00501\n", Right([[1], [2]], ("a",), labels=["02134", "00501"]), labels="zip"
    ),
    # encodings and packing
    "UTF-8 with its mark": _table("\ufeffé,b\n1,2\n3,4\n", Right(PLAIN.values, ("é", "b"))),
    "UTF-16": _table("é,b\n1,2\n3,4\n".encode("utf-16"), Right(PLAIN.values, ("é", "b"), ("UTF-16",))),
    "UTF-16, the other way round": _table(
        b"\xfe\xff" + "é,b\n1,2\n3,4\n".encode("utf-16-be"), Right(PLAIN.values, ("é", "b"))
    ),
    "UTF-16 without its mark": _table("a,b\n1,2\n".encode("utf-16-le"), "UTF-16 without its mark"),
    "UTF-16 as asked": _table("a,b\n1,2\n3,4\n".encode("utf-16-le"), PLAIN, encoding="utf-16-le"),
    "cp1252": _table("é,€\n1,2\n3,4\n".encode("cp1252"), Right(PLAIN.values, ("é", "€"), ("cp1252",))),
    "cp1252 late": _table(
        b"a,kind\n" + b"1,x\n" * 100_000 + b"2,\xe9\n",
        Right([*[[1.0]] * 100_000, [2]], ("a",), ("cp1252",), labels=["x"] * 100_000 + ["é"]),
        labels="kind",
    ),
    "no such encoding": _table(
        "a,b\n1,2\n", "unknown encoding='utf-9' .--encoding.: expected a name", encoding="utf-9"
    ),
    "gzip": _table(gzip.compress(b"a,b\n1,2\n3,4\n"), PLAIN, ".csv.gz"),
    "bzip2": _table(bz2.compress(b"a,b\n1,2\n3,4\n"), PLAIN, ".csv.bz2"),
    "xz": _table(lzma.compress(b"a,b\n1,2\n3,4\n"), PLAIN, ".csv.xz"),
    "zstd": _table(zstd(b"a,b\n1,2\n3,4\n"), PLAIN, ".csv.zst"),
    "zip": _table(zipped({"__MACOSX/._x": b"?", "x.csv": b"a,b\n1,2\n3,4\n"}), PLAIN, ".zip"),
    "packed without saying so": _table(gzip.compress(b"a,b\n1,2\n3,4\n"), PLAIN),
    "zip of two": _table(zipped({"x.csv": b"a\n1\n", "y.csv": b"a\n1\n"}), "holds 2 files .x.csv, y.csv.", ".csv.zip"),
    "gzip, cut": _table(gzip.compress(b"a,b\n1,2\n" * 999)[:-20], "damaged gzip", ".csv.gz"),
    "zstd, cut": _table(zstd(b"a,b\n1,2\n" * 999)[:-3], "damaged zstd|quotation|cut|cannot be read|cells", ".csv.zst"),
    # what is refused
    "names of R, which lack that of the first column": _table(
        '"mpg" "cyl"\n"Mazda RX4" 21 6\n"Datsun 710" 22.8 4\n"Hornet" 18 8\n',
        Right(
            [[21, 6], [22.8, 4], [18, 8]],
            ("mpg", "cyl"),
            ("one fewer than the rows have cells",),
            ids=["Mazda RX4", "Datsun 710", "Hornet"],
            lines=[2, 3, 4],
        ),
        id="Unnamed: 0",
    ),
    "names of R above a count": _table(
        '"a","b"\n"1",5,2\n"2",3,4\n',
        Right([[5, 2], [3, 4]], ("a", "b"), ("one fewer", "which has no name and counts rows"), lines=[2, 3]),
    ),
    "a title above the names": _table("Report\n\na,b\n1,2\n3,4\n", r"skip_lines='1-2'"),
    "a title, left out": _table(
        "Report\n\na,b\n1,2\n3,4\n",
        Right([[1, 2], [3, 4]], ("a", "b"), ("as requested: line 1", "from line 3"), lines=[4, 5]),
        skip_lines=1,
    ),
    "a title of two lines": _table("Gauge Kiel\nOperator BSH\na;b\n1;2\n3;4\n", r"skip_lines='1-2'"),
    "a title padded with semicolons": _table(
        "Gauge Kiel;;;\na;b;c;d\n1;2;3;4\n5;6;7;8\n", r"'Gauge Kiel' holds text .*--skip-lines 1, skip_lines='1'\)$"
    ),
    "a title padded with commas": _table("Report,,\na,b,c\n1,2,3\n4,5,6\n", r"skip_lines='1'\)$"),
    "a title padded with tabs": _table("Report\t\t\na\tb\tc\n1\t2\t3\n4\t5\t6\n", r"skip_lines='1'\)$"),
    "a title padded, of two columns": _table("Report,\na,b\n1,2\n3,4\n", r"skip_lines='1'\)$"),
    "a title of two padded lines": _table("Report;;\nof May;;\na;b;c\n1;2;3\n", r"skip_lines='1-2'\)$"),
    "a padded title, an empty row, and units": _table(PADDED, r"--skip-lines 1-2, skip_lines='1-2'\)$"),
    "units below a padded title that is left out": _table(
        PADDED, r"--skip-lines 1-2,4, skip_lines='1-2,4'\)$", skip_lines="1-2"
    ),
    "a padded title and units, left out": _table(
        PADDED,
        Right([[1, 2, 3], [4, 5, 6]], ("a", "b", "c"), ("as requested: lines 1, 4", "from line 3"), lines=[5, 6]),
        skip_lines="1,4",
    ),
    "a padded title above years": _table(
        "Gauge;;\n2018;2019;2020\n0,5;1,5;2\n3;4;5\n",
        Right(
            [[2018, 2019, 2020], [0.5, 1.5, 2], [3, 4, 5]],
            ("Gauge", "Unnamed: 1", "Unnamed: 2"),
            ("if this is a title: --skip-lines 1, skip_lines='1'",),
        ),
    ),
    "a title above an id and years": _table(
        "Gauge;;\nstation;2019;2020\nx;1,5;2\ny;4;5\n", r"'Gauge' holds text .line 2 .*skip_lines='1'\)$"
    ),
    "one column and its name": _table("Gauge Kiel\n1\n2\n", Right([[1], [2]], ("Gauge Kiel",), ("from line 1",))),
    "one column of decimal commas and a total": _table("level\n1,5\n2,5\nTotal\n", r"skip_lines='4'\)$"),
    "one name for three columns": _table(
        "a;;\n1;2;3\n4;5;6\n",
        Right([[1, 2, 3], [4, 5, 6]], ("a", "Unnamed: 1", "Unnamed: 2"), ("from line 1: a, (none), (none)",)),
    ),
    "one name, of the labels": _table(
        "kind;;\nx;1;2\ny;3;4\n",
        Right([[1, 2], [3, 4]], ("Unnamed: 1", "Unnamed: 2"), labels=["x", "y"]),
        labels="kind",
    ),
    "a name above words, the index without one": _table(",kind\nx,red\ny,blue\n", r"skip_lines='2'\)$"),
    "units below the names": _table("a,b\nm,kg\n1,2\n3,4\n", r"--skip-lines 2, skip_lines='2'"),
    "units and a total, left out": _table(
        "a,b\nm,kg\n1,2\n3,4\n\nTotal,6\n",
        Right([[1, 2], [3, 4]], ("a", "b"), ("as requested: lines 2, 6",), lines=[3, 4]),
        skip_lines="2,6",
    ),
    "lines to leave out that there are not": _table(
        "a,b\n1,2\n3,4\n", "has 4 lines, and line 9 cannot", skip_lines="2,5-9"
    ),
    "a range of lines, left out": _table(
        "a,b\n1,2\n3,4\n5,6\n7,8\n",
        Right([[1, 2], [7, 8]], ("a", "b"), ("lines 3, 4",), lines=[2, 5]),
        skip_lines="3-4",
    ),
    "too few cells": _table("a,b\n1,2\n\n3\n", "line 4 of .* has 1 cell and the first row 2"),
    "too many cells": _table("a,b\n1,2\n3,4,5\n", "line 3 of .* has 3 cells and the first row 2"),
    "too many cells, behind a long cell": _table('a,b\n"1\n",2\n3,4,5\n', "line 4 of .* has 3 cells"),
    "too many cells in every row": _table("a,b\n" + "1,2,3\n" * 50_000, "line 2 of .* has 3 cells"),
    "a quotation mark": _table('a,b\n1,"2\n3,4\n', "quotation mark"),
    "a quotation mark at the end": _table('a,b\n1,"2', "a quotation mark is not closed"),
    "NUL": _table("a,b\n1,2\n3\0,4\n", "line 3 of .* holds a NUL"),
    "names alone": _table("a,b\n", "has no rows of data"),
    "comments alone": _table("# a\n\n# b\n", "has no rows of data"),
    "blanks alone": _table(" \n\t\n", "has no rows of data"),
    "labels alone": _table("a\n1\n", "no feature column: all its columns are labels or id", labels="a"),
    "labels and id": _table("a,b\n1,2\n", "both labels and id", labels="a", id="a"),
    "a huge cell": _table("a,b\n1,2\n" + "x" * (5 << 20) + ",4\n", "column 'a' holds text .line 3 .*xxx ..."),
    "a huge number": _table("a,b\n" + "1" * 100_000 + ",2\n", Right([[float("inf"), 2]], ("a", "b"))),
    "a huge name": _table("a" * (3 << 20) + ",b\n1,x\n2,3\n", "column 'b' holds text"),
    "many columns": _table(
        ",".join(f"g{i}" for i in range(WIDE)) + "\n" + (",".join(["1.5"] * WIDE) + "\n") * 3,
        Right([[1.5] * WIDE] * 3, tuple(f"g{i}" for i in range(WIDE))),
    ),
    "many columns of words": _table(
        ",".join(f"g{i}" for i in range(5000)) + "\n" + ",".join(["x"] * 5000) + "\n" + ",".join(["1"] * 5000) + "\n",
        "'g0' holds text",
    ),
    "one name for many columns": _table(
        ",".join(["a"] * 999) + "\n" + ",".join(["1"] * 999) + "\n",
        Right([[1.0] * 999], ("a", *(f"a.{i}" for i in range(1, 999)))),
    ),
    "control characters in names": _table("a\x1b[2J,b\nx,1\n1,2\n", r"column 'a\\x1b\[2J' holds text"),
}
