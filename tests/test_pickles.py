"""What is pickled on a machine with a GPU is unpickled on one without."""

from __future__ import annotations

import io
import pickle
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, AutoencoderClassifier, OutlierDetector, load
from isthmus.bottlenecks import VectorQuantized
from isthmus.estimators import fitted_state
from isthmus.likelihoods import Normal

X = np.random.default_rng(0).normal(size=(120, 5))


class Finds(pickle.Pickler):
    """Notes every tensor that is pickled; those of "meta" stand for a GPU's, or for where they go."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())
        self.kinds: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, torch.Tensor):
            self.kinds.add(obj.device.type)
        return NotImplemented


def kinds(estimator: Any) -> set[str]:
    """The devices of all tensors in a pickle."""
    finds = Finds()
    finds.dump(estimator)
    return finds.kinds


def begun(path: Path) -> Autoencoder:
    """With everything that an interrupted training keeps: moments, sums, the numbers of an epoch's beginning, the best weights."""
    ae = Autoencoder(
        VectorQuantized(4, 8),
        likelihood=Normal("learned"),
        epochs=4,
        early_stopping=True,
        batch_size=10,
        random_state=0,
    )
    for report in ae.iter_fit(X, every=1):
        if report.epoch == 2 and not report.complete:
            ae.checkpoint(path / "x")
            break
    return load(path / "x")


def made(what: str, path: Path) -> Any:
    ae = Autoencoder(epochs=1, random_state=0)
    match what:
        case "fitted":
            return ae.fit(X)
        case "interrupted":
            return begun(path)
        case "detector":
            return OutlierDetector(ae).fit(X)
        case _:
            return AutoencoderClassifier(ae, epochs=1).fit(X, np.arange(120) % 3)


@pytest.mark.parametrize("what", ["fitted", "interrupted", "detector", "classifier"])
def test_every_tensor_is_moved_when_it_is_pickled(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU the way is shown backwards: from here to a device of another kind."""
    estimator = made(what, tmp_path)
    assert kinds(estimator) == {"cpu"}
    monkeypatch.setattr(fitted_state, "PICKLE_DEVICE", "meta")
    assert kinds(estimator) == {"meta"}
    assert kinds_of(estimator) == {"cpu"}, "what was pickled stays where it was"


def kinds_of(estimator: Any) -> set[str]:
    ae = getattr(estimator, "autoencoder_", estimator)
    return {tensor.device.type for tensor in ae._require_fitted().tensors()}


def test_a_classifier_shares_its_encoder_when_it_was_moved_and_when_it_was_copied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    classifier = made("classifier", Path())
    monkeypatch.setattr(fitted_state, "PICKLE_DEVICE", "meta")
    for copied in (deepcopy(classifier), pickle.loads(pickle.dumps(classifier))):
        assert copied.net_.encoder is copied.autoencoder_.model_.encoder
    assert kinds_of(deepcopy(classifier)) == {"cpu"}, "a copy stays where it is"
