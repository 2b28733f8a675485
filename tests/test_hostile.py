"""Files that are sound, and ask for what cannot be or should not be: one sentence each, and neither memory nor time."""

from __future__ import annotations

import itertools
import re
import time
import tracemalloc
from pathlib import Path

import hostile_files as hostile
import numpy as np
import pytest

from isthmus import Autoencoder, load
from isthmus.architectures import MLP
from isthmus.bottlenecks import Gaussian
from isthmus.errors import ModelFileError

X = np.random.default_rng(0).random((40, 6), np.float32)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a training that was cut off within its third epoch, and looks back at the best weights."""
    ae = Autoencoder(
        Gaussian(2), architecture=MLP((8,)), epochs=4, batch_size=8, early_stopping=True, random_state=0, device="cpu"
    )
    path = tmp_path_factory.mktemp("hostile") / "checkpoint.safetensors"
    for report in ae.fitting(X, validation=X[:7], every=2):
        if report.epoch == 3 and not report.complete:
            ae.checkpoint(path)
            break
    return path


def test_the_checkpoint_itself_goes_on(checkpoint: Path) -> None:
    assert len(load(checkpoint).resume(X, validation=X[:7]).history_) == 4


@pytest.mark.promise(22)
@pytest.mark.parametrize("case", hostile.CHECKPOINTS)
def test_a_checkpoint_that_no_training_leads_to_is_refused_by_name_before_a_step(
    case: str, checkpoint: Path, tmp_path: Path
) -> None:
    edit, said = hostile.CHECKPOINTS[case]
    path = hostile.edited(checkpoint, tmp_path / "x", edit)
    with pytest.raises(ModelFileError) as caught:
        load(path).resume(X, validation=X[:7])
    told = str(caught.value)
    assert re.search(said, told), told
    assert "\n" not in told
    assert "\x1b" not in told
    assert len(told) < 500


@pytest.mark.promise(22)
def test_a_long_history_is_read_and_written_in_part(checkpoint: Path, tmp_path: Path) -> None:
    path = hostile.long_history(checkpoint, tmp_path / "x", 300_000)
    began = time.process_time()
    ae = load(path)
    assert time.process_time() - began < 2
    tracemalloc.start()
    load(path)
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()
    epochs = [report.epoch for report in ae.history_]
    assert (epochs[0], epochs[-1]) == (1, 300_000)
    assert 10_000 < len(epochs) < 25_000
    assert {b - a for a, b in itertools.pairwise(epochs)} <= {12, 13}
    ae.save(tmp_path / "again")
    assert load(tmp_path / "again").history_ == ae.history_
