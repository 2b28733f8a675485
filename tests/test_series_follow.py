"""A file that grows has the scores and alarms of the complete file, and what cannot be followed is said."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pytest
from test_cli import Done, run
from test_series_files import log

from isthmus.data.growing_series import GrowingSeries
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.tables.growing import GrowingFile
from isthmus.errors import DataError

OPTIONS = ReadOptions(window=16, step=4, time="when", by="unit")
REUSED = Reused(OPTIONS, ("heat", "load"), (16, 2), missing=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a detector of logs, and a new log with its scores."""
    folder = tmp_path_factory.mktemp("follow")
    log(500).to_csv(folder / "log.csv", index=False)
    words = ("--time", "when", "--by", "unit", "--window", "16", "--step", "4", "--out", "run")
    small = ("epochs=4", "architecture.hidden=16", "bottleneck.size=4")
    assert run("train", "--data", "log.csv", *words, *small, cwd=folder).returncode == 0
    frame = log(150, state=1, planted=False)
    frame.loc[120:150, "heat"] += 30
    frame["anomaly"] = ((frame.index >= 120) & (frame.index <= 150)).astype(int)
    frame.drop(columns="anomaly").to_csv(folder / "new.csv", index=False)
    frame.assign(level=2).to_csv(folder / "labeled.csv", index=False)
    saved = ("--false-alarm-rate", "0.15", "--gap", "15", "--out", "whole.csv", "--save", "det.safetensors")
    done = run("detect", "run", "--data", "new.csv", *saved, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "whole.json").write_text(done.stdout)
    return folder


def followed(folder: Path, *words: str) -> Done:
    """The command that follows a file, with the options of the run."""
    series = ("--time", "when", "--by", "unit", "--step", "4")
    return run("detect", "det.safetensors", "--follow", *series, *words, cwd=folder)


def assert_same_files(folder: Path, name: str) -> None:
    """The scores and alarms of a followed file are those of the complete one, but for their order and the numbers of alarms."""
    whole, own = (pandas.read_csv(folder / f"{each}.csv", dtype=str) for each in ("whole", name))
    assert list(own) == [name for name in whole if name != "trained_on"]  # which a file of a detector does not know
    own = own.assign(number=own.row.astype(int)).sort_values("number", ignore_index=True)
    for column in ("row", "machine", "time", "score"):
        np.testing.assert_array_equal(own[column], whole[column])
    np.testing.assert_array_equal(own.alarm != "0", whole.alarm != "0")
    alarms = [pandas.read_csv(folder / f"{each}-alarms.csv", dtype=str) for each in ("whole", name)]
    a, b = (each.drop(columns="alarm").sort_values("first_row", ignore_index=True) for each in alarms)
    assert len(a) > 1
    pandas.testing.assert_frame_equal(a, b)


def test_a_complete_file_that_is_followed(folder: Path) -> None:
    done = followed(folder, "--data", "new.csv", "--gap", "15", "--idle", "0", "--out", "own.csv", "--json")
    assert done.returncode == 0, done.stderr
    assert_same_files(folder, "own")
    alarms, whole = (
        [json.loads(line) for line in done.stdout.splitlines()],
        json.loads((folder / "whole.json").read_text()),
    )
    strip = [{name: value for name, value in alarm.items() if name != "alarm"} for alarm in alarms]
    assert sorted(strip, key=lambda each: each["first_row"]) == sorted(
        whole["alarms"], key=lambda each: each["first_row"]
    )


def test_rows_that_were_trained_on_are_said_as_in_one_go(folder: Path) -> None:
    frame = pandas.read_csv(folder / "log.csv")[7:].iloc[:-31]  # cut elsewhere, with rows of the test part
    frame.to_csv(folder / "again.csv", index=False)
    words = ("detect", "run", "--data", "again.csv", "--gap", "15", "--false-alarm-rate", "0.2", "--step", "3")
    done = run(*words, "--out", "together.csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    growing = run(*words, "--out", "apart.csv", "--follow", "--idle", "0", cwd=folder)
    assert growing.returncode == 0, growing.stderr
    together, apart = (pandas.read_csv(folder / f"{name}.csv") for name in ("together", "apart"))
    assert list(together) == list(apart)
    marks = apart.sort_values("row").trained_on.to_numpy()
    np.testing.assert_array_equal(marks, together.trained_on)
    note = f"{(marks == 'yes').sum():,} of {len(frame):,} time steps are in windows that the run was trained on"
    assert 0 < (marks == "yes").sum() < len(frame)
    assert all(note in " ".join(each.stdout.split()) for each in (done, growing))


def grow(path: Path, pieces: list[bytes], after: Callable[[], None] = lambda: None) -> threading.Thread:
    """A thread that appends to a file."""

    def append() -> None:
        for piece in pieces:
            time.sleep(0.02)
            with path.open("ab") as file:
                file.write(piece)
        after()

    return threading.Thread(target=append)


def test_a_file_that_grows_while_it_is_followed(folder: Path) -> None:
    """Lines are cut within a cell, the first time within the names; the gap is taken from the first rows."""
    text = (folder / "new.csv").read_bytes()
    edges = [0, 9, 800, 815, 3000, 3001, len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
    (folder / "grown.csv").write_bytes(pieces[0])
    writer = grow(folder / "grown.csv", pieces[1:])
    writer.start()
    done = followed(folder, "--data", "grown.csv", "--idle", "0.25", "--out", "grown-scores.csv")
    writer.join()
    assert done.returncode == 0, done.stderr
    assert_same_files(folder, "grown-scores")
    assert "intervals over 15 are gaps: 1.5 times the median interval of the first" in done.stdout
    assert "gap of pump from 2026-01-01" in done.stdout
    assert "alarm 1 of fan: 2026-01-01T" in done.stdout
    assert "written: grown-scores-alarms.csv" in done.stdout


def test_an_interrupt_ends_it_with_all_rows_scored(folder: Path) -> None:
    (folder / "open.csv").write_bytes((folder / "new.csv").read_bytes() + b"2026-01-01 01:00:00,fan,5")

    def interrupt_later() -> None:  # once rows have been written
        end = time.monotonic() + 30
        while not (folder / "open-scores.csv").exists() and time.monotonic() < end:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    stopper = threading.Thread(target=interrupt_later)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background process ignores it
    try:
        stopper.start()
        done = followed(folder, "--data", "open.csv", "--gap", "15", "--idle", "60", "--out", "open-scores.csv")
        stopper.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.returncode == 128 + signal.SIGINT
    assert "stopped: all rows so far have their scores" in done.stderr
    assert "the last one, is not complete, and is left out" in done.stdout
    assert_same_files(folder, "open-scores")


@pytest.mark.parametrize(
    ("words", "code", "match"),
    [
        (("--idle", "1"), 2, "--idle is for --follow"),
        (("--follow", "--labels", "anomaly"), 2, "leave out --labels or --follow"),
        (("--follow", "--data", "gone.csv"), 1, "gone.csv"),
        (("--follow", "--data", "det.safetensors"), 1, "unknown file format"),
        (("--follow", "--data", "rows.npy"), 1, "only a text file can"),
    ],
)
def test_what_cannot_be_followed_is_said(folder: Path, words: tuple[str, ...], code: int, match: str) -> None:
    np.save(folder / "rows.npy", np.zeros((30, 2)))
    given = () if "--data" in words else ("--data", "labeled.csv")
    done = run("detect", "det.safetensors", *given, *words, "--out", "none.csv", cwd=folder)
    assert (done.returncode, done.stdout) == (code, "")
    assert match in done.stderr
    assert not (folder / "none.csv").exists()


def test_other_runs_are_not_followed(folder: Path) -> None:
    table = pandas.DataFrame(np.random.default_rng(0).normal(size=(80, 3)), columns=["a", "b", "c"])
    table.to_csv(folder / "table.csv", index=False)
    assert run("train", "--data", "table.csv", "--out", "other", "epochs=1", cwd=folder).returncode == 0
    done = run("detect", "other", "--data", "table.csv", "--follow", cwd=folder)
    assert done.returncode == 2
    assert "--follow is for runs on series" in done.stderr


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (
            ("--data", "own-data.csv", "--out", "./own-data.csv"),
            "--out own-data.csv would overwrite --data own-data.csv",
        ),
        (("--data", "own-data.csv", "--out", "own-data.csv", "--follow"), "would overwrite --data"),
        (("--data", "x-alarms.csv", "--out", "x.csv"), "would overwrite --data x-alarms.csv"),
        (("--data", "new.csv", "--normal", "own-data.csv", "--out", "own-data.csv"), "would overwrite --normal"),
        (
            ("--data", "own-data.csv", "--out", "y.csv", "--save", "own-data.csv"),
            "--save own-data.csv would overwrite --data",
        ),
        (("--data", "new.csv", "--out", "y.csv", "--save", "y-alarms.csv"), "would overwrite a file of --out y.csv"),
        (
            ("--data", "new.csv", "--out", "own-data.csv", "--follow"),
            "own-data.csv exists, and --follow would replace it",
        ),
        (("--data", "new.csv", "--out", "x.csv", "--follow"), "x-alarms.csv exists"),
    ],
)
def test_files_of_the_user_are_not_overwritten(folder: Path, words: tuple[str, ...], match: str) -> None:
    text = (folder / "new.csv").read_bytes()
    for name in ("own-data.csv", "x-alarms.csv"):
        (folder / name).write_bytes(text)
    done = run("detect", "run", *words, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert match in done.stderr
    assert (folder / "own-data.csv").read_bytes() == (folder / "x-alarms.csv").read_bytes() == text
    assert not (folder / "y.csv").exists()


def test_labels_give_metrics(folder: Path) -> None:
    words = (
        "--time",
        "when",
        "--by",
        "unit",
        "--gap",
        "15",
        "--step",
        "4",
        "--labels",
        "anomaly",
        "--out",
        "labeled-scores.csv",
    )
    done = run("detect", "det.safetensors", "--data", "labeled.csv", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "VUS-PR, buffers up to 16 steps" in done.stdout
    metrics = json.loads((folder / "labeled-scores-metrics.json").read_text())
    assert (metrics["anomalous_steps"], metrics["intervals"]) == (31, 2)  # of each machine, one
    assert metrics["vus_roc"] > 0.8
    np.testing.assert_array_equal(
        pandas.read_csv(folder / "labeled-scores.csv").score, pandas.read_csv(folder / "whole.csv").score
    )
    told = run("detect", "det.safetensors", "--data", "labeled.csv", *words, "--json", cwd=folder)
    assert json.loads(told.stdout)["metrics"] == metrics
    wrong = (*words[:-3], "level", *words[-2:])
    done = run("detect", "det.safetensors", "--data", "labeled.csv", *wrong, cwd=folder)
    assert done.returncode == 1
    assert "column level is '2' in line 2 of labeled.csv" in done.stderr


@pytest.mark.parametrize(
    ("label", "match"),
    [("", "column anomaly is empty in line 8 of labels.csv"), ("0", "all 295 time steps are normal")],
)
def test_labels_are_checked_before_the_detection(folder: Path, label: str, match: str) -> None:
    frame = pandas.read_csv(folder / "new.csv", dtype=str).assign(anomaly="0")
    frame.loc[6, "anomaly"] = label
    frame.to_csv(folder / "labels.csv", index=False)
    words = ("--time", "when", "--by", "unit", "--gap", "15", "--labels", "anomaly", "--save", "labels-det.safetensors")
    done = run("detect", "run", "--data", "labels.csv", *words, "--out", "labels-scores.csv", cwd=folder)
    assert done.returncode == 1
    assert match in done.stderr
    assert not (folder / "labels-det.safetensors").exists()


def growing(path: Path, text: str, **options: object) -> GrowingSeries:
    path.write_text(text)
    return GrowingSeries(str(path), OPTIONS.replace(**options), REUSED)


HEAD = "when,unit,heat,load\n"
ROW = "2026-01-01 00:00:{:02},fan,{},1.5\n"


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_names_and_half_lines_are_waited_for(tmp_path: Path) -> None:
    series = growing(path := tmp_path / "x.csv", "# made by a logger\n" + HEAD[:7])
    assert series.read() is None
    append(path, HEAD[7:] + ROW.format(1, 20) + ROW.format(2, 21)[:-3])
    part = series.read()
    assert part is not None
    assert part.values.tolist() == [[20, 1.5]]
    assert series.read() is None
    append(path, ".5\n# a comment\n\n" + ROW.format(3, 22))
    part = series.read()
    assert part is not None
    assert part.values.tolist() == [[21, 1.5], [22, 1.5]]
    assert part.by.tolist() == ["fan", "fan"]
    assert series.rest() == ""
    append(path, ROW.format(4, 23).rstrip())
    assert series.read() is None
    assert series.rest() == f"line 8 of {path}, the last one, is not complete"
    append(path, "\n")
    part = series.read()
    assert part is not None
    assert part.values.tolist() == [[23, 1.5]]
    assert part.time.tolist() == [np.datetime64("2026-01-01T00:00:04", "us").item()]


def test_the_format_of_the_first_lines_holds_for_later_ones(tmp_path: Path) -> None:
    """Decimal commas, and a machine in quotation marks over two lines."""
    head, row = HEAD.replace(",", ";"), '2026-01-01 00:00:{:02};"fan";{};1,5\n'
    series = growing(path := tmp_path / "x.csv", head + row.format(1, "2,25"))
    assert (part := series.read()) is not None
    assert part.values.tolist() == [[2.25, 1.5]]
    append(path, row.format(2, "3") + '2026-01-01 00:00:03;"a\n')
    assert (part := series.read()) is not None
    assert part.values.tolist() == [[3, 1.5]]
    assert series.read() is None
    append(path, 'b";4;1,5\n')
    assert (part := series.read()) is not None
    assert part.values.tolist() == [[4, 1.5]]
    assert part.by.tolist() == ["a\nb"]
    append(
        path, row.format(4, "1.234").replace("1,5", "2")
    )  # a point between thousands, where a comma is the decimal mark
    assert (part := series.read()) is not None
    assert part.values.tolist() == [[1234, 2]]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda path: path.write_text(HEAD), "has become shorter while it was followed"),
        (lambda path: path.write_text(HEAD + ROW.format(9, 9) * 9), "was overwritten while it was followed"),
        (lambda path: path.unlink(), "was removed while it was followed"),
        (lambda path: append(path, ROW.format(2, "")), r"NaN: line 3 of .*x\.csv, column 'heat'"),
        (lambda path: append(path, "\n" + ROW.format(2, "hot")), r"line 4"),
        (lambda path: append(path, "1,2,3\n"), r"line 3 of .*x\.csv has 3 cells"),
        (
            lambda path: append(path, ROW.format(2, 20).replace(",fan", "+02:00,fan")),
            r"the times from line 3 of .*x\.csv on have a time zone, and those before none",
        ),
        (lambda path: append(path, ",fan,1,2\n"), "has no time|no times"),
    ],
)
def test_changes_of_the_file_are_errors(tmp_path: Path, change: Callable[[Path], object], match: str) -> None:
    series = growing(path := tmp_path / "x.csv", HEAD + ROW.format(1, 20))
    assert series.read() is not None
    change(path)
    with pytest.raises(DataError, match=match):
        series.read()


def test_a_new_file_of_the_same_name_is_an_error(tmp_path: Path) -> None:
    series = growing(path := tmp_path / "x.csv", HEAD + ROW.format(1, 20))
    assert series.read() is not None
    (tmp_path / "y.csv").write_text(HEAD + ROW.format(1, 20) + ROW.format(2, 20))
    (tmp_path / "y.csv").rename(path)
    with pytest.raises(DataError, match="was replaced by another file"):
        series.read()


def test_titles_may_be_left_out(tmp_path: Path) -> None:
    series = growing(path := tmp_path / "x.csv", "A log\n" + HEAD + ROW.format(1, 20), skip_lines=("1",))
    assert series.read() is not None
    append(path, ROW.format(2, 21))
    assert (part := series.read()) is not None
    assert part.values.tolist() == [[21, 1.5]]


def test_any_lines_may_be_left_out(tmp_path: Path) -> None:
    """Also of a later part, and a part with nothing but such lines, comments and empty lines has no rows."""
    text = "A log\n" + HEAD + ROW.format(1, 20) + "units,,,\n" + ROW.format(2, 21)
    series = growing(path := tmp_path / "x.csv", text, skip_lines=("1", "4", "7-8", "100"))
    assert (part := series.read()) is not None
    assert part.values.tolist() == [[20, 1.5], [21, 1.5]]
    append(path, ROW.format(3, 22) + "total\n")
    assert (part := series.read()) is not None
    assert part.values.tolist() == [[22, 1.5]]
    append(path, "1,2,3\n")
    assert series.read() is None
    append(path, "# a comment\n")
    assert series.read() is None
    append(path, ROW.format(4, 23) + "one,two\n")
    with pytest.raises(DataError, match=r"line 11 of .*x\.csv has 2 cells"):
        series.read()


def test_quotation_marks_open_a_cell_only_where_it_begins(tmp_path: Path) -> None:
    series = growing(path := tmp_path / "x.csv", HEAD + '2026-01-01 00:00:01,fan 5",20,1.5\n')
    assert (part := series.read()) is not None
    assert part.by.tolist() == ['fan 5"']
    append(path, '# a 5" fan, "loud\n# , "\n' + ROW.format(2, 21))
    assert (part := series.read()) is not None
    assert part.values.tolist() == [[21, 1.5]]
    append(path, '2026-01-01 00:00:03,"a ""\nb",22,1.5\n' + ROW.format(4, 23) + '2026-01-01 00:00:05,"fan\n')
    assert (part := series.read()) is not None
    assert part.values.tolist() == [[22, 1.5], [23, 1.5]]
    assert part.by.tolist() == ['a "\nb', "fan"]
    assert series.read() is None
    assert series.rest() == f"the row from line 9 of {path} is not complete: a quotation mark may not be closed"


def test_other_line_ends_are_said(tmp_path: Path) -> None:
    series = growing(tmp_path / "x.csv", (HEAD + ROW.format(1, 20)).replace("\n", "\r"))
    assert series.read() is None
    assert "its lines must end with a line feed" in series.rest()


def test_a_large_part_ends_with_a_row(tmp_path: Path) -> None:
    """A row in quotation marks crosses the largest size of a part, 16 MiB."""
    head, row = b"# " + b"x" * 125 + b"\n", b'1,"a\nb"\n'
    (path := tmp_path / "x.csv").write_bytes(b"a,b\n0,0\n" + head * 131_072 + row * 20)
    file = GrowingFile(path)
    assert (first := file.read()) is not None
    assert first.lines.endswith((b'b"\n', b"x\n"))
    assert (second := file.read()) is not None
    assert second.lines.count(b'"') % 2 == 0
    assert first.lines + second.lines == path.read_bytes()
    (path := tmp_path / "y.csv").write_bytes((b"a,b\n" + row * 10 + b'2,"' + b"long\n" * 8)[: 1 << 24])
    assert (part := GrowingFile(path).read()) is not None
    assert part.lines == b"a,b\n" + row * 10


def test_a_last_line_without_its_end_is_left_out(folder: Path) -> None:
    (folder / "half.csv").write_bytes((folder / "new.csv").read_bytes() + b"2026-01-01 01:00:00,fan,5,2")
    done = followed(folder, "--data", "half.csv", "--gap", "15", "--idle", "0", "--out", "half-scores.csv")
    assert done.returncode == 0, done.stderr
    assert "line 297 of half.csv, the last one, is not complete, and is left out" in done.stdout
    assert_same_files(folder, "half-scores")


def test_names_alone_have_no_alarms(folder: Path) -> None:
    (folder / "names.csv").write_text(HEAD)
    done = followed(folder, "--data", "names.csv", "--idle", "0", "--out", "names-scores.csv")
    assert done.returncode == 0, done.stderr
    assert "the file has no rows after its first line" in done.stdout
    assert "0 alarms in 0 time steps" in done.stdout


def test_rows_before_an_error_have_scores_and_alarms(folder: Path) -> None:
    """A line that is invalid arrives in an anomaly. The command that the error suggests gives all alarms."""
    lines = (folder / "new.csv").read_text().splitlines(keepends=True)
    (folder / "bad.csv").write_text("".join(lines[:166]))
    later = "2026-01-01 00:22:25,fan,hot,1\n" + "".join(lines[166:])

    def append_later() -> None:
        while not (folder / "bad-scores-alarms.csv").exists():
            time.sleep(0.01)
        append(folder / "bad.csv", later)

    writer = threading.Thread(target=append_later)
    words = ("--data", "bad.csv", "--gap", "15", "--idle", "0.6")
    writer.start()
    done = followed(folder, *words, "--out", "bad-scores.csv")
    writer.join()
    assert done.returncode == 1
    assert "--skip-lines 167," in done.stderr
    assert "written: bad-scores-alarms.csv" in done.stdout
    assert len(pandas.read_csv(folder / "bad-scores.csv")) == 165
    alarms = pandas.read_csv(folder / "bad-scores-alarms.csv")
    assert alarms.last_row.max() == 164  # the one that was open
    assert f"{len(alarms)} alarms in 165 time steps" in done.stdout
    done = followed(folder, *words, "--out", "bad-again.csv", "--skip-lines", "167")
    assert done.returncode == 0, done.stderr
    assert_same_files(folder, "bad-again")


def test_what_is_waited_for_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.cli.follow.SECONDS_UNTIL_NOTE", 0.05)
    (folder / "wait.csv").write_text((folder / "new.csv").read_text() + '"')
    done = followed(folder, "--data", "wait.csv", "--gap", "15", "--idle", "0.3", "--out", "wait-scores.csv")
    assert done.stdout.count("the last one, is not complete, and is waited for") == 1


def test_compressed_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes((HEAD + ROW.format(1, 20)).encode("utf-16"))
    with pytest.raises(DataError, match="compressed, or no text in UTF-8"):
        GrowingSeries(str(path), OPTIONS, REUSED).read()
