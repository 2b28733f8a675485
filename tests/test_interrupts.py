"""An exception at any point of a training: the estimator is what it was before, or what it is after, to the last bit."""

from __future__ import annotations

import copy
import hashlib
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

import isthmus
from isthmus import Autoencoder, AutoencoderClassifier, OutlierDetector, load
from isthmus.architectures import MLP
from isthmus.bottlenecks import Gaussian
from isthmus.corruptions import GaussianNoise
from isthmus.estimators import unit_check
from isthmus.nn import device

SOURCE = str(Path(isthmus.__file__).parent)
FEW, MANY = 9, 25  # lines of each way, drawn once; with -m slow all
X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
OTHER = np.random.default_rng(1).normal(size=(30, 3)).astype(np.float32)
LABELS = np.arange(40) % 2


class Planted(BaseException):
    """As an interrupt: nobody below catches it."""


def tiny(**choices: Any) -> Autoencoder:
    usual: dict[str, Any] = {"architecture": MLP((5,)), "corruption": GaussianNoise(0.1), "epochs": 2, "batch_size": 20}
    return Autoencoder(Gaussian(2), **usual | choices, random_state=0)


def numbers(ae: Autoencoder, examples: np.ndarray) -> str:
    """A hash of all that decides what an autoencoder answers, and how it is trained on; not of seconds."""
    if not ae.__sklearn_is_fitted__():
        return "unfitted"
    found, fitted = hashlib.sha256(), ae._fitted
    assert fitted is not None
    optimizer = {} if fitted.state.optimizer is None else fitted.state.optimizer.tensors()
    for name, tensor in (dict(ae.model_.state_dict()) | optimizer).items():
        found.update(name.encode() + tensor.numpy().tobytes())
    history = [(r.epoch, r.step, r.loss, r.val_loss, r.lr) for r in ae.history_]
    stands = (fitted.state.epoch, fitted.state.step, fitted.state.done, fitted.data, fitted.interrupted is None)
    said = (ae.shape_, ae.code_shape_, ae.precision_, ae.bottleneck_, ae.model_.training, history, stands)
    found.update(repr((said, ae.model_.shape, ae.get_params())).encode())
    examples = examples if examples.shape[1:] == ae.shape_ else OTHER
    return found.hexdigest() + hashlib.sha256(ae.encode(examples).tobytes()).hexdigest()


def answers(estimator: Any) -> str:
    """The same of any estimator."""
    if isinstance(estimator, Autoencoder):
        return numbers(estimator, X)
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return "unfitted"
    examples = X if estimator.n_features_in_ == X.shape[1] else OTHER
    return numbers(estimator.autoencoder_, X) + repr(estimator.decision_function(examples).tolist())


class Way(NamedTuple):
    """An estimator, and what is done with it."""

    start: Any
    act: Callable[[Any], object]


def checkpointed(folder: Path) -> Autoencoder:
    ae = tiny(early_stopping=True, epochs=3)
    for report in ae.iter_fit(X, every=1):
        ae.checkpoint(folder / "x")
        if report.step == 3:
            break
    return load(folder / "x")


def through(reports: Any) -> None:
    for _ in reports:
        pass


WAYS: dict[str, Callable[[Path], Way]] = {
    "fit": lambda _: Way(tiny(), lambda ae: ae.fit(X)),
    "autograd": lambda _: Way(tiny(architecture=MLP((5,), "tanh")), lambda ae: ae.fit(X)),
    "fit again": lambda _: Way(tiny().fit(OTHER), lambda ae: ae.fit(X)),
    "warm start": lambda _: Way(tiny(warm_start=True, early_stopping=True).fit(X), lambda ae: ae.fit(X)),
    "partial_fit": lambda _: Way(tiny().fit(X), lambda ae: ae.partial_fit(X)),
    "resume": lambda folder: Way(checkpointed(folder), lambda ae: ae.resume(X)),
    "layerwise": lambda _: Way(tiny(epochs=1).fit(OTHER), lambda ae: ae.fit(X, layerwise=True)),
    "checkpoint": lambda folder: Way(tiny().fit(OTHER), lambda ae: ae.fit(X, checkpoint=folder / "y")),
    "initialize": lambda _: Way(tiny().fit(OTHER), lambda ae: ae.initialize(X)),
    "detector": lambda _: Way(
        OutlierDetector(tiny(epochs=1), anomaly_score="code", random_state=0, false_alarm_rate=0.2).fit(OTHER),
        lambda detector: detector.fit(X),
    ),
    "classifier": lambda _: Way(
        AutoencoderClassifier(tiny(epochs=1), epochs=1, random_state=0).fit(OTHER, LABELS[:30]),
        lambda classifier: classifier.fit(X, LABELS),
    ),
}


def steps(act: Callable[[], object], at: int | None, opcodes: bool = False, within: str = "") -> int:
    """How many lines of isthmus, or of a function of it, an act comes through; at one of them an exception is planted."""
    count = 0

    def line(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if event == ("opcode" if opcodes else "line"):
            count += 1
            if count - 1 == at:
                raise Planted
        return line

    def call(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(SOURCE) or within not in {"", frame.f_code.co_name}:
            return None
        frame.f_trace_opcodes = opcodes
        return line

    before = sys.gettrace()
    sys.settrace(call)
    try:
        act()
    finally:
        sys.settrace(before)
    return count


def modes() -> tuple[Any, ...]:
    """What PyTorch is told for the thread or the process, what is drawn next, and what is not said."""
    products = getattr(torch.backends.mkldnn, "matmul", None)
    told = (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu"))
    drawn = hashlib.sha256(torch.get_rng_state().numpy().tobytes()).hexdigest()
    held = device.SWITCH_LOCK._is_owned()  # another thread would wait for it for ever
    quiet = unit_check.current_scope() is not None, warnings.filters[:]  # what would suppress later warnings
    return *told, torch.get_num_threads(), getattr(products, "fp32_precision", None), drawn, held, *quiet


def check(way: Way, lines: Callable[[int], list[int]], opcodes: bool = False, within: str = "") -> int:
    """Plants exceptions at places of those that there are; returns how many were met."""
    whole = copy.deepcopy(way.start)
    way.act(whole)
    again = copy.deepcopy(way.start)  # before lines are counted: to copy takes some too
    total = steps(lambda: way.act(again), None, opcodes, within)
    before, after, met, told = answers(way.start), answers(whole), 0, modes()
    assert before != after
    for at in lines(total):
        estimator = copy.deepcopy(way.start)
        try:
            steps(lambda estimator=estimator: way.act(estimator), at, opcodes, within)  # type: ignore[misc]
        except Planted:
            met += 1
        assert modes() == told, f"PyTorch is left in another mode after an exception at {at} of {total}"
        found = answers(estimator)
        assert found in {before, after}, f"half a training after an exception at {at} of {total}"
        if found == before:  # and it can be trained as if nothing had been
            way.act(estimator)
            assert answers(estimator) == after
    return met


def some(total: int, sampled: int) -> list[int]:
    """Places drawn once, and the last ones, where what was learned is taken over."""
    return [*sorted(random.Random(total).sample(range(total), min(sampled, total))), *range(total - 4, total)]


@pytest.mark.parametrize("sampled", [FEW, pytest.param(MANY, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("name", WAYS)
def test_an_exception_anywhere_leaves_the_old_or_the_new_state(name: str, sampled: int, tmp_path: Path) -> None:
    assert check(WAYS[name](tmp_path), lambda total: some(total, sampled)) >= sampled


@pytest.mark.parametrize("lines", [20, pytest.param(60, marks=pytest.mark.thorough)])
@pytest.mark.parametrize(
    ("name", "within"),
    [
        ("layerwise", "paired_layers"),
        ("autograd", "onednn_matmul"),
        ("autograd", "_exit_onednn"),
        ("layerwise", "grad_mode"),
        ("checkpoint", "replace_file"),
    ],
)
def test_an_exception_restores_the_modes_of_pytorch(
    name: str, within: str, lines: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines of functions that change it: where gradients stay off, all later trainings learn nothing, in silence."""
    monkeypatch.setattr(
        device, "exact_in_onednn", lambda: True
    )  # so that processors with bfloat16 units run these lines too
    assert check(WAYS[name](tmp_path), lambda total: list(range(min(total, lines))), within=within) > 1


def test_an_exception_restores_the_number_of_threads() -> None:
    ae, before = tiny(epochs=1).fit(X), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        told = modes()
        for within in ("threads", "onednn_matmul", "computed", "no_autocast"):
            total = steps(lambda: ae.encode(X), None, within=within)
            for at in range(total):
                with suppress(Planted):
                    steps(lambda: ae.encode(X), at, within=within)
                assert modes() == told, f"{within}, line {at} of {total}"
    finally:
        torch.set_num_threads(before)


MODES: dict[str, Callable[[], Any]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}
USES: dict[str, Callable[[], Any]] = {
    "fit": lambda: tiny().fit(X),
    "layerwise": lambda: tiny(epochs=1).fit(X, layerwise=True),
    "partial_fit": lambda: tiny().partial_fit(X).partial_fit(X),
    "detector": lambda: OutlierDetector(tiny(epochs=1), random_state=0, false_alarm_rate=0.2).fit(X),
    "classifier": lambda: AutoencoderClassifier(tiny(epochs=1), epochs=1, random_state=0).fit(X, LABELS),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("use", USES)
def test_training_is_independent_of_the_modes_of_the_caller(use: str, mode: str) -> None:
    wanted = answers(USES[use]())
    with MODES[mode]():
        told = modes()
        made = USES[use]()
        assert modes() == told
        assert answers(made) == wanted
    assert answers(made) == wanted


@pytest.mark.parametrize("mode", MODES)
def test_between_reports_the_caller_has_its_own_mode(mode: str, tmp_path: Path) -> None:
    wanted = answers(tiny().fit(X).partial_fit(X))
    with MODES[mode]():
        told, ae = modes(), tiny()
        for _ in ae.iter_fit(X, every=1):
            assert modes() == told
        ae.save(tmp_path / "x")
        loaded = load(tmp_path / "x")
    ae.partial_fit(X)
    assert answers(ae) == wanted
    assert answers(load(tmp_path / "x")) == answers(loaded)
    loaded.partial_fit(X)
    assert not np.array_equal(loaded.encode(X), load(tmp_path / "x").encode(X))


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
def test_an_exception_at_every_line_leaves_the_old_or_the_new_state(name: str, tmp_path: Path) -> None:
    assert check(WAYS[name](tmp_path), lambda total: list(range(total))) > 100


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fit again", "partial_fit", "resume"])
def test_an_exception_at_any_bytecode_leaves_the_old_or_the_new_state(name: str, tmp_path: Path) -> None:
    def every(total: int) -> list[int]:
        return [*range(0, total - 200, 7), *range(total - 200, total)]

    assert check(WAYS[name](tmp_path), every, opcodes=True) > 100


@pytest.mark.parametrize("sampled", [FEW, pytest.param(MANY, marks=pytest.mark.thorough)])
def test_between_reports_the_model_is_usable_and_after_an_error_it_is_the_old_one(sampled: int) -> None:
    ae = tiny().fit(OTHER)
    before, seen = answers(ae), set[str]()
    total = steps(lambda: through(copy.deepcopy(ae).iter_fit(X, every=1)), None)
    stages = copy.deepcopy(ae)
    seen |= {answers(stages) for _ in stages.iter_fit(X, every=1)} | {answers(stages)}
    assert len(seen) > 4
    around = steps(lambda: through(copy.deepcopy(ae).iter_fit(X, every=1)), None, within="_follow_copy")
    for within, positions in (("", some(total, sampled)), ("_follow_copy", range(around))):  # all lines about a report
        for at in positions:
            estimator = copy.deepcopy(ae)
            with suppress(Planted):
                steps(lambda estimator=estimator: through(estimator.iter_fit(X, every=1)), at, within=within)  # type: ignore[misc]
            assert answers(estimator) in seen | {before}


SIGNALS = """
import copy, random, signal, sys, time
sys.path.insert(0, {tests!r})
from test_interrupts import OTHER, X, answers, tiny

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
start, chance = tiny(epochs=8).fit(OTHER), random.Random(0)
whole = copy.deepcopy(start).fit(X)
began = time.perf_counter()
copy.deepcopy(start).fit(X)
took, hit = time.perf_counter() - began, 0
before, after = answers(start), answers(whole)
for _ in range(24):
    ae = copy.deepcopy(start)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-5 + chance.random() * took)
        ae.fit(X)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        hit += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert answers(ae) in {{before, after}}, "half a training"
print(hit)
"""


@pytest.mark.thorough
def test_signals_at_any_time_leave_the_old_or_the_new_state() -> None:
    program = SIGNALS.format(tests=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


LEFT = """
import numpy as np
from isthmus import Autoencoder
reports = Autoencoder(random_state=0).iter_fit(np.random.default_rng(0).normal(size=(200, 20)), every=1)
next(reports), next(reports)
"""


@pytest.mark.thorough
def test_an_unfinished_training_at_program_exit_prints_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
