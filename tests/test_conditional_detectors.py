"""A detector with a conditional autoencoder finds what is anomalous for its label, and is normal for another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from isthmus import Autoencoder, OutlierDetector, load, plots
from isthmus.architectures import MLP, Conditional
from isthmus.errors import DataError
from isthmus.evaluation import detect
from isthmus.experiments.measured_figures import figure_function
from isthmus.optimizers import AdamW

rng = np.random.default_rng(0)
N = 600
MODE = rng.integers(0, 3, N)  # the state of a machine, which explains most of what it does
LOAD = rng.normal(size=N)
X = np.stack([LOAD + 5 * MODE, 2 * LOAD - 4 * MODE, 3.0 * MODE, LOAD], axis=1) + rng.normal(0, 0.1, (N, 4))
NAMES = np.array(["idle", "cut", "lift"])[MODE]
TRAINED, NEW = slice(0, 400), slice(400, N)


def unfitted() -> Autoencoder:
    return Autoencoder(
        1,
        architecture=Conditional(MLP(())),
        optimizer=AdamW(0.02),
        epochs=30,
        batch_size=64,
        random_state=0,
        device="cpu",
    )


@pytest.fixture(scope="module")
def detector() -> OutlierDetector:
    return OutlierDetector(unfitted(), random_state=0).fit(X[TRAINED], NAMES[TRAINED])


def others(names: np.ndarray) -> np.ndarray:
    """Each label replaced by the next one."""
    return np.array(["cut", "lift", "idle"])[[["idle", "cut", "lift"].index(name) for name in names]]


def test_an_example_is_anomalous_for_another_label(detector: OutlierDetector) -> None:
    right, wrong = NAMES[NEW], others(NAMES[NEW])
    assert (detector.predict(X[NEW], right) == -1).mean() < 0.12  # the guarantee is 0.05, of 200 examples
    assert (detector.predict(X[NEW], wrong) == -1).all()
    assert (detector.p_values(X[NEW], wrong) == 1 / (1 + len(detector.calibration_scores_))).all()
    blind = OutlierDetector(Autoencoder(1, epochs=5, random_state=0), random_state=0).fit(X[TRAINED])
    assert (blind.predict(X[NEW], wrong) == -1).mean() < 0.12  # it ignores y


def test_every_method_gives_a_row_the_same_bits_with_its_label_alone(detector: OutlierDetector) -> None:
    rows, labels = X[NEW][:5], NAMES[NEW][:5]
    for method in (detector.score_samples, detector.p_values, detector.contributions, detector.predict):
        alone = [method(rows[[i]], labels[[i]])[0] for i in range(5)]
        assert np.array_equal(method(rows, labels), alone)
    alone = [detector.attributions(rows[[i]], y=labels[[i]])[0] for i in range(5)]
    assert detector.attributions(rows, y=labels) == alone


def test_one_label_serves_all_rows(detector: OutlierDetector) -> None:
    rows = X[NEW][NAMES[NEW] == "cut"]
    assert np.array_equal(detector.score_samples(rows, "cut"), detector.score_samples(rows, ["cut"] * len(rows)))


@pytest.mark.parametrize("score", ["combined", "standardized", "nats", "code"])
def test_every_score_is_that_of_the_label(score: str) -> None:
    fitted = OutlierDetector(unfitted(), anomaly_score=score, random_state=0)
    fitted.fit(X[TRAINED], NAMES[TRAINED])
    flagged = (fitted.predict(X[NEW], others(NAMES[NEW])) == -1).mean()
    assert flagged > 0.9 or score == "code"  # the density is that of the codes of all labels
    assert not np.array_equal(fitted.score_samples(X[NEW], NAMES[NEW]), fitted.score_samples(X[NEW], "idle"))


def test_a_detector_is_reloaded_to_the_last_bit(detector: OutlierDetector, tmp_path: Path) -> None:
    detector.save(tmp_path / "detector.safetensors")
    again = load(tmp_path / "detector.safetensors")
    assert np.array_equal(again.score_samples(X[NEW], NAMES[NEW]), detector.score_samples(X[NEW], NAMES[NEW]))


def test_a_fitted_autoencoder_is_calibrated_with_labels(detector: OutlierDetector) -> None:
    ae = unfitted().fit(X[TRAINED], NAMES[TRAINED])
    frozen = OutlierDetector.from_fitted(ae, X[NEW], NAMES[NEW], random_state=0)
    assert (frozen.predict(X[NEW], others(NAMES[NEW])) == -1).all()
    once = OutlierDetector(unfitted(), random_state=0).fit_predict(X[TRAINED], NAMES[TRAINED])
    assert np.array_equal(once, detector.predict(X[TRAINED], NAMES[TRAINED]))


def test_a_missing_or_unknown_label_is_a_sentence(detector: OutlierDetector) -> None:
    with pytest.raises(DataError, match=r"^this autoencoder is conditional .*: pass y, the label"):
        detector.predict(X[NEW])
    with pytest.raises(DataError, match=r"^y has the label 'fly', which the training data did not have"):
        detector.score_samples(X[:1], "fly")
    with pytest.raises(DataError, match=r"^Conditional\(.*requires y"):
        OutlierDetector(unfitted(), random_state=0).fit(X)


def test_a_label_that_training_does_not_see_is_a_sentence() -> None:
    """A label of one example is drawn into the calibration set, or trained on."""
    said = set[str]()
    for row in range(20):
        labels = NAMES[:120].astype(object)
        labels[row] = "rare"
        try:
            OutlierDetector(unfitted().set_params(epochs=1), random_state=0).fit(X[:120], labels)
        except DataError as error:
            said.add(str(error))
    (sentence,) = said
    assert sentence.startswith("y has the label 'rare', which the training data did not have")
    assert sentence.endswith("a part of the examples, drawn at random, calibrates and is not trained on")


def test_a_result_and_its_figures_are_those_of_the_labels(detector: OutlierDetector) -> None:
    found = detect(detector, X[NEW], y=others(NAMES[NEW]))
    assert found.anomalous == len(X[NEW])
    assert np.array_equal(found.scores, detector.score_samples(X[NEW], others(NAMES[NEW])))
    assert plots.anomaly_scores(found).axes
    ae = detector.autoencoder_
    assert figure_function("anomaly_scores")(ae, X[NEW], NAMES[NEW]).axes
