"""Bulk use: the verbs that are applied to tables in many files, and their options."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeAlias, get_type_hints

import typer

from isthmus.cli.console import as_flags, counted, fail, print_json, print_line, print_notes
from isthmus.cli.data_options import DataOptions
from isthmus.cli.signals import resumed_by_same_command

if TYPE_CHECKING:
    from isthmus.scaleout.bulk_result import BulkResult
    from isthmus.scaleout.job import Verb

__all__ = ["Bulk", "BulkTask", "Detector", "is_bulk", "run_bulk", "takes_files"]

_PANEL = "Many files (--data 'folder/*.parquet' --out FOLDER)"
_FILES = (".npy", ".csv", ".parquet")  # endings of a single file that a verb writes
_ARRAYS = (".parquet", ".pq", ".arrow", ".feather", ".ipc", ".npy")
_LISTED = 5  # failures in an error


def _option(text: str, metavar: str | None = None, **more: Any) -> Any:
    return typer.Option(help=text, metavar=metavar, rich_help_panel=_PANEL, **more)


OPTIONS = {
    "jobs": Annotated[
        int | None, _option("The number of processes, of one thread each; default: one for each core.", "N", min=1)
    ],
    "engine": Annotated[str | None, _option("Processes of this machine, or Ray; default: local.", "local|ray")],
    "address": Annotated[
        str | None, _option("With --engine ray: the address of a cluster; default: a local instance.", "ADDRESS")
    ],
    "keep": Annotated[list[str] | None, _option("Columns that are copied to the results, as a,b.", "NAMES")],
    "runtime": Annotated[
        str | None,
        _option(
            "PyTorch, or onnxruntime for an export of RUN; default: an export of the same model beside RUN, else PyTorch.",
            "auto|torch|onnx",
        ),
    ],
    "as_json": Annotated[bool, typer.Option("--json", help="Print JSON instead of text.", rich_help_panel=_PANEL)],
}


class Bulk(NamedTuple):
    """The options of bulk use."""

    jobs: int | None = None
    engine: str | None = None
    address: str | None = None
    keep: tuple[str, ...] = ()
    runtime: str | None = None
    as_json: bool = False

    def given(self) -> list[str]:
        """The flags that the user gave."""
        from isthmus.data.options import flag_of

        values = self._replace(as_json=False)._asdict()
        return [flag_of(name) for name, value in values.items() if value] + ["--json"] * self.as_json


class BulkTask(NamedTuple):
    """What the command line asks of many files."""

    verb: Verb
    run: Path
    data_options: DataOptions
    out: Path
    bulk: Bulk


Detector: TypeAlias = Callable[[BulkTask, dict[str, Any]], AbstractContextManager[Path | None]]


def takes_files(
    *arguments: str, detector: Detector | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds the options of bulk use to a verb, and applies it to many files where --data and --out ask for that.

    Args:
        arguments: the parameters of the verb that apply to many files too.
        detector: for a verb that needs a detector: it makes that of a run.
    """

    def add(verb: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(verb, include_extras=True)
        own = signature(verb).parameters
        added = {name: kind for name, kind in OPTIONS.items() if name not in own}

        @wraps(verb)
        def with_files(**values: Any) -> None:
            given = {name: values.pop(name) for name in added}
            names = [name.strip() for words in given["keep"] or () for name in words.split(",")]
            bulk = Bulk(**given | {"keep": tuple(filter(None, names))})
            if values.get("path") is not None or not is_bulk(values["data_options"], values["out"], bulk):
                verb(**values)
                return
            bulk = bulk._replace(as_json=values.get("as_json", bulk.as_json))
            used = {"run", "data_options", "out", "as_json", *arguments}
            _check_unused(
                {name: value for name, value in values.items() if name not in used and value != own[name].default}
            )
            task = BulkTask(verb.__name__, values["run"], values["data_options"], values["out"], bulk)  # type: ignore[arg-type]
            run_bulk(task, {name: values[name] for name in arguments}, detector)

        default = {name: False if name == "as_json" else None for name in added}
        parameters = [
            *(each.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[name]) for name, each in own.items()),
            *(
                Parameter(name, Parameter.KEYWORD_ONLY, default=default[name], annotation=kind)
                for name, kind in added.items()
            ),
        ]
        with_files.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        with_files.__annotations__ = {each.name: each.annotation for each in parameters}
        return with_files

    return add


def is_bulk(data_options: DataOptions, out: Path | None, bulk: Bulk) -> bool:
    """Whether a verb is applied to many files. Without, `RecordError` for an option that is for many files only."""
    from isthmus.data.file_sets import is_file_set
    from isthmus.errors import RecordError
    from isthmus.text import quoted

    data = data_options.data
    a_set = data is not None and is_file_set(data)
    single = data is not None and Path(data).suffix.lower() in _ARRAYS and Path(data).is_file()
    to_folder = out is not None and (out.is_dir() or out.suffix.lower() not in _FILES)
    if (a_set and to_folder) or (single and to_folder and (out is None or out.suffix == "" or out.is_dir())):
        return True
    if data is not None and to_folder and Path(data).is_symlink() and Path(data).is_dir():
        raise RecordError(f"--data {quoted(data)} is a symbolic link: give the path of the folder")
    if bulk.given():
        need = "give --out a folder" if a_set or single else "give such a pattern, or a folder, as --data"
        if data is not None and Path(data).is_dir() and not a_set:
            need = "a folder of images or sound is read in one process, so leave the option out, and give --out a file"
        raise RecordError(
            f"{bulk.given()[0]} is for many files, --data 'folder/*.parquet', and a folder of results: {need}"
        )
    return False


def run_bulk(task: BulkTask, arguments: dict[str, Any], detector: Detector | None = None) -> None:
    """Applies a verb to many files, prints what came of it, and exits with 1 if there are rows without a result."""
    from isthmus.scaleout.driver import engine_of, files_of, finished, prepare
    from isthmus.scaleout.opening import job_of

    bulk, out = task.bulk, task.out
    _check_words(bulk)
    with as_flags(("jobs", "engine", "address", "keep", "runtime", *arguments)):
        engine = engine_of(bulk.engine or "local", bulk.jobs, bulk.address)  # type: ignore[arg-type]  # checked
        files = files_of(task.data_options.data or "", out)
        with nullcontext() if detector is None else detector(task, arguments) as model:
            used = {} if detector is not None else arguments
            runtime: Any = bulk.runtime or "auto"
            options = task.data_options.options
            found = job_of(
                task.verb, task.run, out, options, model=model, keep=bulk.keep, runtime=runtime, arguments=used
            )
            plan = prepare(found.job, files, found.notes)
            if not bulk.as_json:
                sizes = counted(sum(each.rows for each in plan.tasks.values()), "row"), counted(len(plan.tasks), "task")
                print_line(f"{counted(len(plan.names), 'file')}, {', '.join(sizes)}: {engine.described}")
            with resumed_by_same_command(f"finished results are in {out}"):
                result = finished(plan, engine, lambda text: print_notes([text], bulk.as_json))
    _print_result(result, task)


def _print_result(result: BulkResult, task: BulkTask) -> None:
    """Prints what came of all tasks, and exits with 1 if there are rows without a result."""
    bulk, out = task.bulk, task.out
    if bulk.as_json:
        print_json(result.to_dict() | {"folder": str(out)})
    elif result.skipped and not result.done and result.complete:
        print_line(f"nothing to do: {out} has the results of all {counted(result.rows_there, 'row')}")
    else:
        there = f"; {counted(result.rows_there, 'row')} were there" if result.skipped else ""
        print_line(
            f"written to {out}: {counted(result.rows, 'row')} of {counted(result.done, 'task')} in {result.seconds:.1f} s, "
            f"{result.rows_per_second:,.0f} rows/s{there}"
        )
    if not result.complete:
        listed = ", ".join(each.where for each in result.failures[:_LISTED])
        more = ", ..." if len(result.failures) > _LISTED else ""
        fail(f"no results for {listed}{more}: the reasons are above; the same command does what is missing", 1)


def _check_unused(others: dict[str, Any]) -> None:
    """`RecordError` for an option that the verb has for one file only."""
    from isthmus.data.options import flag_of
    from isthmus.errors import RecordError

    if others:
        name, value = next(iter(others.items()))
        given = value[0] if name == "settings" else flag_of(name)
        raise RecordError(f"{given} does not apply to many files: leave it out")


def _check_words(bulk: Bulk) -> None:
    """`RecordError` for an engine or runtime that does not exist."""
    from isthmus.errors import RecordError
    from isthmus.text import quoted

    for name, value, known in (
        ("engine", bulk.engine, ("local", "ray")),
        ("runtime", bulk.runtime, ("auto", "torch", "onnx")),
    ):
        if value is not None and value not in known:
            raise RecordError(f"invalid --{name} {quoted(value)}: expected {' or '.join(known)}")
