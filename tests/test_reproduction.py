"""The tutorials in full: minutes to an hour each. `pytest -m slow` runs them, `pytest -m slow -k keras-simple` one."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from isthmus import data, load
from isthmus.bottlenecks import Gaussian
from isthmus.errors import DataError, NotPossibleError, RecordError
from isthmus.estimators.named_records import check_records
from isthmus.experiments import reproduction, resumable
from isthmus.experiments.printed_bottleneck import PrintedGaussian
from isthmus.experiments.reproduction import Run, all_kept, completed, keep, kept, reproduce
from isthmus.experiments.reproduction_table import Row, Spread, markdown
from isthmus.experiments.tutorials import TUTORIALS, System, Tutorial, find
from isthmus.nn.variables import Variables
from isthmus.training.state import Report

PUBLISHED = [tutorial for tutorial in TUTORIALS if any(any(system.published.values()) for system in tutorial.systems)]
WITHIN = {"test per pixel": 0.02, "test per digit": 0.015, "test MSE": 0.1}


@pytest.mark.slow
@pytest.mark.parametrize(
    "tutorial",
    [
        pytest.param(
            tutorial,
            id=tutorial.id,
            marks=[pytest.mark.fashion_mnist] * any(s.data == "fashion_mnist" for s in tutorial.systems),
        )
        for tutorial in PUBLISHED
    ],
)
def test_the_published_figure_is_reached(tutorial: Tutorial) -> None:
    result = next(reproduce(tutorial))
    for name, published in result.system.published.items():
        if published is not None and name in WITHIN:
            assert result.metrics[name] <= published * (1 + WITHIN[name])


@pytest.mark.thorough
@pytest.mark.fashion_mnist
def test_the_tutorial_on_fashion_mnist_reaches_its_loss() -> None:
    """Its parameters are those that it printed; five of its 200 epochs bring the cross-entropy near the 0.271 of them all."""
    tutorial = next(tutorial for tutorial in TUTORIALS if tutorial.id == "fashion-deep")
    result = next(reproduce(tutorial, ["epochs=5"]))
    assert result.metrics["encoder parameters"] == 236_436
    assert result.metrics["decoder parameters"] == 237_200
    floor = 0.24217  # the mean entropy of a test pixel: nothing can be below
    assert floor < result.metrics["test per pixel"] < 0.31
    assert (result.dataset.train.shape, result.dataset.test.shape) == ((60_000, 28, 28), (10_000, 28, 28))  # type: ignore[union-attr]


QUICK = ["epochs=0.005"]


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Run]]:
    """The folder and the runs of a tutorial with two random states."""
    folder = tmp_path_factory.mktemp("reproduction")
    (runs,) = completed(find("tf-simple"), folder, QUICK, [0, 1])
    return folder, runs


def copied(reproduced: tuple[Path, list[Run]], to: Path) -> Path:
    return shutil.copytree(reproduced[0], to, dirs_exist_ok=True)


def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(*_: Any) -> None:
        raise AssertionError("something is trained")

    monkeypatch.setattr(reproduction, "train_system", trained)


def test_each_random_state_is_stored_and_trained_once(
    reproduced: tuple[Path, list[Run]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, runs = reproduced
    (system,) = find("tf-simple").systems
    assert [run.random_state for run in runs] == [0, 1]
    assert runs[0].ours != runs[1].ours
    assert (folder / "tf-simple/figures/reconstructions.png").exists()
    assert load(folder / "tf-simple/state-1").random_state == 1
    no_training(monkeypatch)
    assert completed(find("tf-simple"), folder, QUICK, [1, 0]) == [runs[::-1]]
    assert kept(find("tf-simple"), system, folder, QUICK, 2) is None
    assert kept(find("tf-simple"), system, folder) is None  # what was overridden is not the tutorial
    assert all_kept(find("tf-simple"), system, folder) == []


def test_a_finished_run_with_other_overrides_is_not_replaced(
    reproduced: tuple[Path, list[Run]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = reproduced
    no_training(monkeypatch)
    with pytest.raises(
        DataError,
        match=r"state-1 holds a run with epochs=0\.005 and random_state=1: choose another folder \(--out\), or remove it",
    ):
        completed(find("tf-simple"), folder, ["epochs=0.01"], [1])
    assert kept(find("tf-simple"), find("tf-simple").systems[0], folder, QUICK, 1) is not None


def test_an_interrupted_training_is_resumed_by_the_same_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable, "_SECONDS", -1)  # a checkpoint after each epoch
    tutorial, words, seen = find("tf-simple"), ["epochs=2", "batch_size=2000", "architecture.hidden=8"], list[int]()

    def interrupting(reports: Iterator[Report], title: str, n_features: int) -> Iterator[Report]:
        for report in reports:
            yield report
            if report.complete:
                next(reports, None)  # the checkpoint of this epoch is written
                raise KeyboardInterrupt

    def watching(reports: Iterator[Report], title: str, n_features: int) -> Iterator[Report]:
        for report in reports:
            seen.append(report.epoch)
            yield report

    with pytest.raises(KeyboardInterrupt):
        completed(tutorial, tmp_path / "stopped", words, [3], interrupting)
    place = tmp_path / "stopped/tf-simple/state-3"
    assert [path.name for path in place.glob("*.safetensors")] == ["checkpoint.safetensors"]
    with pytest.raises(DataError, match=r"holds a training with batch_size=2000, but batch_size=1000 is required"):
        completed(tutorial, tmp_path / "stopped", [words[0], "batch_size=1000", words[2]], [3])
    ((stopped,),) = completed(tutorial, tmp_path / "stopped", words, [3], watching)
    ((whole,),) = completed(tutorial, tmp_path / "whole", words, [3])
    assert set(seen) == {2}
    assert [path.name for path in place.glob("*.safetensors")] == ["model.safetensors"]
    assert stopped.ours == whole.ours
    assert (place / "history.csv").read_text().count("\n") == 3


def test_a_random_state_among_the_fields_is_an_error_that_names_the_argument() -> None:
    with pytest.raises(
        RecordError, match=r"^random_state is not a field here: give the argument random_states=\(0, 1\)"
    ):
        next(reproduce(find("tf-simple"), [*QUICK, " random_state = 3"]))


@pytest.mark.parametrize("state", [0, 1])
def test_results_of_the_older_layout_are_recognized(
    state: int, reproduced: tuple[Path, list[Run]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There was one place for all random states, and the overrides alone said which it was."""
    run = reproduced[1][state]
    old = run.model_dump(exclude={"random_state"}) | {
        "overrides": [*QUICK, f"random_state={state}"],
        "ours": run.ours | {"spoilt MSE": 0.25},  # metrics had other names
    }
    (tmp_path / "tf-simple").mkdir()
    (tmp_path / "tf-simple/result.json").write_text(json.dumps(old))
    no_training(monkeypatch)
    assert completed(find("tf-simple"), tmp_path, QUICK, [state]) == [
        [run.model_copy(update={"ours": run.ours | {"corrupted MSE": 0.25}})]
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"ours": {"loss per pixel": "0.1"}},
        {"ours": {}},
        {"machine": 3},
        {"epochs": None},
        {"overrides": ["random_state=x"]},
    ],
    ids=str,
)
def test_a_damaged_result_is_a_sentence(
    change: dict[str, Any], reproduced: tuple[Path, list[Run]], tmp_path: Path
) -> None:
    path = copied(reproduced, tmp_path) / "tf-simple/result.json"
    known = json.loads(path.read_text())
    del known["random_state"]
    path.write_text(json.dumps(known | change))
    with pytest.raises(DataError, match=r"result\.json is damaged; remove it, or choose another folder"):
        kept(find("tf-simple"), find("tf-simple").systems[0], tmp_path)


def test_mean_and_deviation_are_over_the_runs(reproduced: tuple[Path, list[Run]]) -> None:
    tutorial = find("tf-simple")
    row = Row(tutorial, tutorial.systems[0], reproduced[1])
    told = row.to_dict()
    losses = [run.ours["test per pixel"] for run in reproduced[1]]
    assert told["mean"]["test per pixel"] == pytest.approx(np.mean(losses))
    assert told["sd"]["test per pixel"] == pytest.approx(np.std(losses, ddof=1))
    assert (told["n"], [run["ours"]["test per pixel"] for run in told["runs"]]) == (2, losses)
    assert json.loads(json.dumps(told)) == json.loads(json.dumps(told, allow_nan=False))
    line = next(line for line in markdown([row]).splitlines() if line.startswith("| tf-simple"))
    assert re.search(r"\| - \| loss per pixel 0\.\d+ ± 0\.\d+; test per pixel 0\.\d+ ± 0\.\d+ \| 2 \| - \|", line)


def test_the_prediction_interval_contains_95_percent_of_new_runs(rng: np.random.Generator) -> None:
    """The interval holds what it says, for three runs as for many; 4,000 draws put the share within 0.01."""
    for n in (3, 10):
        runs = rng.normal(5, 0.3, size=(4_000, n + 1))
        within = [
            low <= new <= high for *some, new in runs.tolist() for low, high in [Spread(tuple(some)).interval or (1, 0)]
        ]
        assert np.mean(within) == pytest.approx(0.95, abs=0.01)


def test_the_rounding_of_published_figures_is_considered() -> None:
    same = Spread((0.10195, 0.10195, 0.10195))
    assert same.contains(0.1020)
    assert not same.contains(0.1021)
    assert Spread((236_436.0,) * 2).contains(236_436)
    assert not Spread((236_436.0,) * 2).contains(236_437)
    assert Spread((0.1,)).contains(0.1) is None  # one run says nothing about others
    assert [
        str(Spread(values)) for values in ((0.1022, 0.1026), (149.0, 150.0), (0.1, 0.100004), (236_436.0,) * 3)
    ] == [
        *("0.1024 ± 0.0003", "149.50 ± 0.71", "0.100002 ± 0.000003", "236,436"),
    ]


def runs_at(tutorial: Tutorial, system: System, *levels: float) -> list[Run]:
    """Runs whose figures are the published ones, or 0.5, times a level each."""
    return [
        Run(
            id=tutorial.id,
            system=system.name,
            title=tutorial.title,
            published=system.published,
            ours={name: (value or 0.5) * level for name, value in system.published.items()},
            epochs=1,
            seconds=1.0,
            precision="float32",
            random_state=state,
            overrides=[],
            machine=f"machine of state {state}",
            threads=1,
        )
        for state, level in enumerate(levels)
    ]


def test_a_published_figure_outside_the_interval_has_a_reason() -> None:
    tutorial = find("keras-simple")
    (system,) = tutorial.systems
    met, missed, single = (
        Row(tutorial, system, runs_at(tutorial, system, *levels))
        for levels in ((0.99, 1.0, 1.02), (1.3, 1.31, 1.3), (1,))
    )
    assert (met.verdict, single.verdict) == ("yes", "-")
    assert missed.verdict == "no: loss per pixel, test per pixel, mean code"
    assert met.to_dict()["why"] is None
    assert missed.to_dict()["why"] == system.why
    assert "outside" not in markdown([met])
    assert f"; {system.why}.\n" in markdown([missed])
    assert "Machine 3: machine of state 2, float32." in markdown([missed])


def test_the_vae_as_printed_samples_with_a_larger_variance_than_its_penalty() -> None:
    """z is normal with deviation exp(s); what is charged is the divergence of deviation exp(s / 2)."""
    h = torch.tensor([[0.5, -1.0, 0.8, -0.4]]).expand(40_000, 4)
    printed = PrintedGaussian(2)
    code = printed(h, printed.variables(torch.Generator().manual_seed(0)), torch.Generator().manual_seed(0))
    mean, s = h[0].chunk(2)
    assert torch.allclose(code.z.mean(0), mean, atol=0.05)
    assert torch.allclose(code.z.std(0), s.exp(), rtol=0.02)
    charged = kl_divergence(Normal(mean, (s / 2).exp()), Normal(0.0, 1.0)).sum()
    assert torch.allclose(code.penalty, charged)
    assert torch.equal(printed.deterministic(h, Variables()).penalty, code.penalty)


def test_only_systems_with_records_of_isthmus_have_a_model_file(
    tmp_path: Path, mnist: data.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tutorial in TUTORIALS:
        for system in tutorial.systems:
            parameters = system.build().get_params(deep=False).values()
            with nullcontext() if system.savable else pytest.raises(NotPossibleError, match="can only name records"):
                check_records(parameters)
    vae = find("keras-vae")
    some = dataclasses.replace(
        mnist, train=mnist.train[:200], test=mnist.test[:200], test_labels=mnist.test_labels[:200]
    )
    monkeypatch.setattr(reproduction, "load", lambda _: some)
    _, printed = reproduce(vae, ["epochs=1"], folder=tmp_path)
    keep(printed, tmp_path)
    assert {path.name for path in (tmp_path / "keras-vae/1").iterdir()} == {"history.csv", "figures", "result.json"}
    assert load(tmp_path / "keras-vae").bottleneck == Gaussian(2)
    with pytest.raises(
        NotPossibleError, match="PrintedGaussian is not one; choose a record of isthmus to save the model"
    ):
        printed.autoencoder.save(tmp_path / "model.safetensors")
    assert not (tmp_path / "model.safetensors").exists()


def test_figures_and_event_files_are_written_during_training(
    public_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("watched")
    watched = next(tutorial for tutorial in TUTORIALS if tutorial.id == "fashion-deep")
    for _ in reproduce(watched, ["epochs=0.02", "architecture.hidden=4"], folder=folder):
        pass
    assert (folder / "fashion-deep/figures/epoch-001/sheet.png").exists()
    board = next(tutorial for tutorial in TUTORIALS if tutorial.id == "keras-conv")
    for _ in reproduce(board, ["epochs=0.005"], folder=folder):
        pass
    assert list((folder / "keras-conv").glob("events.*"))


ROOT = Path(__file__).parents[1]
PAGES = {"docs/reproduction.md": "table", "README.md": "tutorials", "README.zh-CN.md": "tutorials"}


def tables_script() -> Any:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_pages(folder: Path) -> Path:
    """The folder, with copies of the pages."""
    (folder / "docs").mkdir()
    for page in PAGES:
        shutil.copy(ROOT / page, folder / page)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_every_system_has_its_row_with_figures(page: str) -> None:
    text, mark = (ROOT / page).read_text(encoding="utf-8"), PAGES[page]
    _, _, *lines = text.partition(f"<!-- {mark} -->\n")[2].partition(f"<!-- /{mark} -->")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    measured = [(row[0].strip("`"), row[1]) for row in rows if re.search(r"\d", row[3])]
    wanted = [Row(tutorial, system, []) for tutorial in TUTORIALS for system in tutorial.systems]
    assert measured == [(row.tutorial.id, row.title) for row in wanted]


def test_a_row_with_a_published_figure_outside_the_interval_has_a_reason() -> None:
    """System.why has the reason, which may be that none is known for all that was tried."""
    assert "the reason is not known" not in (ROOT / "docs/reproduction.md").read_text(encoding="utf-8")


def test_the_pages_are_unchanged_where_results_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tables_script()
    monkeypatch.setattr(script, "ROOT", with_pages(tmp_path))
    with pytest.raises(SystemExit, match=r"holds no results: no page is written; ") as end:
        script.main(tmp_path)
    assert "\n" not in str(end.value)
    for page in PAGES:
        assert (tmp_path / page).read_bytes() == (ROOT / page).read_bytes()


def test_the_pages_are_written_from_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script, known = tables_script(), {"| 2 | no |", "| 2 | yes |", "| 1 | - |", "| 2 | 否 |"}
    monkeypatch.setattr(script, "ROOT", with_pages(tmp_path))
    for tutorial in TUTORIALS:
        levels = {"keras-simple": (1.0, 1.01), "keras-deep": (1.3, 1.31)}.get(tutorial.id, (1.0,))
        for system in tutorial.systems:
            for run in runs_at(tutorial, system, *levels):
                place = reproduction.home(tmp_path, tutorial, system, run.random_state)
                place.mkdir(parents=True)
                (place / "result.json").write_text(run.model_dump_json())
    script.main(tmp_path)
    texts = {page: (tmp_path / page).read_text(encoding="utf-8") for page in PAGES}
    assert all(any(row in text for text in texts.values()) for row in known)
    assert "Published figures outside the interval:\n\n- keras-deep: " in texts["docs/reproduction.md"]
    assert "; the reason is not known." in texts["docs/reproduction.md"]  # which no page of ours may say
    script.main(tmp_path)
    assert {page: (tmp_path / page).read_text(encoding="utf-8") for page in PAGES} == texts


def test_the_rows_of_systems_without_results_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And name the same machines, whose numbers may change."""
    script = tables_script()
    monkeypatch.setattr(script, "ROOT", with_pages(tmp_path))
    tutorial = next(each for each in TUTORIALS if each.id == "tf-simple")
    for run in runs_at(tutorial, tutorial.systems[0], 1.0, 1.01):
        place = reproduction.home(tmp_path, tutorial, tutorial.systems[0], run.random_state)
        place.mkdir(parents=True)
        (place / "result.json").write_text(run.model_dump_json())
    script.main(tmp_path)

    def parts(folder: Path) -> tuple[dict[str, list[str]], list[str]]:
        text = (folder / "docs/reproduction.md").read_text(encoding="utf-8")
        on = dict(re.findall(r"^- Machine (\d+): (.*)\.$", text, re.MULTILINE))
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
        named = {row[0] + row[1]: [*row[:-1], *sorted(on.get(n, n) for n in row[-1].split(", "))] for row in rows}
        return named, re.findall(r"^- .* is outside .*$", text, re.MULTILINE)

    (before, outside), (after, still) = parts(ROOT), parts(tmp_path)
    changed = [name for name in before if before[name] != after[name]]
    assert [name[: len("tf-simple")] for name in changed] == ["tf-simple"]
    assert (list(before), outside) == (list(after), still)
    for page in ("README.md", "README.zh-CN.md"):
        pairs = zip(
            (ROOT / page).read_text("utf-8").splitlines(),
            (tmp_path / page).read_text("utf-8").splitlines(),
            strict=True,
        )
        assert [a.split("|")[1].strip() for a, b in pairs if a != b] == ["`tf-simple`"]
