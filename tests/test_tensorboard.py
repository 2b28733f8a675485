"""The event files hold the values that training reported and the reconstructions and codes of the autoencoder."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from isthmus import Autoencoder
from isthmus.architectures import MLP, Conv
from isthmus.bottlenecks import Gaussian, Identity
from isthmus.errors import DataError, NotPossibleError
from isthmus.experiments.tensorboard import EventWriter

Array = NDArray[Any]
RANDOM = np.random.default_rng(0)
BYTES = RANDOM.integers(0, 256, (60, 8, 6), dtype=np.uint8)
IMAGES, CODES = "examples over reconstructions", "codes"


def trained(X: Array, bottleneck: Any, **choices: Any) -> Autoencoder:
    choices = {"architecture": MLP((8,)), "epochs": 1, **choices}
    return Autoencoder(bottleneck, random_state=0, precision="float32", device="cpu", **choices).fit(X)


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def image(events: EventAccumulator, tag: str) -> Array:
    """The last image of a tag, as one channel where it is grey."""
    pixels = np.asarray(Image.open(io.BytesIO(events.Images(tag)[-1].encoded_image_string)))
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        return pixels[..., 0]
    return pixels


def images_of(folder: Path, ae: Autoencoder, X: Array) -> EventAccumulator:
    with EventWriter(folder) as writer:
        writer.images(ae, X, 7)
    return read(folder)


def test_scalars_are_the_reports_figures_at_their_steps(tmp_path: Path) -> None:
    ae = Autoencoder(Gaussian(2), architecture=MLP((8,)), epochs=3, batch_size=20, random_state=0)
    reports = []
    with EventWriter(tmp_path) as writer:
        for report in ae.iter_fit(BYTES, validation_data=BYTES[:10], every=2):
            writer.scalars(report)
            reports.append(report)
    events = read(tmp_path)
    wanted: dict[str, dict[int, float]] = {
        "loss/train": {r.step: r.loss for r in reports},
        "loss/validation": {r.step: r.val_loss for r in reports if r.val_loss is not None},
        "loss/nll": {r.step: r.nll for r in reports},
        "loss/penalty": {r.step: r.penalty for r in reports},
        "optimizer/lr": {r.step: r.lr for r in reports},
        "stats/kl": {r.step: r.stats["kl"] for r in reports},
    }
    assert set(events.Tags()["scalars"]) == wanted.keys()
    assert 0 < len(wanted["loss/validation"]) < len(reports)
    for tag, figures in wanted.items():
        assert {event.step: event.value for event in events.Scalars(tag)} == pytest.approx(figures, rel=1e-6), tag


def test_a_zero_penalty_is_written_and_a_missing_validation_loss_is_not(tmp_path: Path) -> None:
    with EventWriter(tmp_path) as writer:
        writer.scalars(trained(BYTES, Identity(3)).history_[-1])
    events = read(tmp_path)
    assert [event.value for event in events.Scalars("loss/penalty")] == [0]
    assert "loss/validation" not in events.Tags()["scalars"]


def test_reconstructions_are_below_their_examples(tmp_path: Path) -> None:
    ae, X = trained(BYTES, Identity(3)), BYTES[:5]
    events = images_of(tmp_path, ae, X)
    pixels = image(events, IMAGES)
    assert pixels.shape == (2 * 9 - 1, 5 * 7 - 1)
    for i, back in enumerate(ae.reconstruct(X)):
        left = 7 * i
        np.testing.assert_array_equal(pixels[:8, left : left + 6], X[i])
        np.testing.assert_allclose(pixels[9:17, left : left + 6], back.clip(0, 255), atol=0.51)
    assert events.Images(IMAGES)[0].step == 7


def test_color_stays_color(tmp_path: Path) -> None:
    X = RANDOM.integers(0, 256, (40, 4, 5, 3), dtype=np.uint8)
    pixels = image(images_of(tmp_path, trained(X, Identity(3)), X[:2]), IMAGES)
    assert pixels.shape == (9, 11, 3)
    np.testing.assert_array_equal(pixels[:4, 6:11], X[1])


def test_rows_of_a_table_are_rows_of_pixels(tmp_path: Path) -> None:
    X = RANDOM.random((40, 12))
    ae = trained(X, Identity(3))
    pixels = image(images_of(tmp_path, ae, X[:4]), IMAGES).astype(float)
    assert pixels.shape == (9, 12)
    low, high = X[:4].min(), X[:4].max()
    np.testing.assert_allclose(pixels[:4], 255 * (X[:4] - low) / (high - low), atol=0.51)
    np.testing.assert_allclose(pixels[5:], (255 * (ae.reconstruct(X[:4]) - low) / (high - low)).clip(0, 255), atol=0.51)


def test_flat_codes_are_a_strip(tmp_path: Path) -> None:
    ae = trained(BYTES, Identity(3))
    codes = ae.encode(BYTES[:5])
    pixels = image(images_of(tmp_path, ae, BYTES[:5]), CODES)
    low, high = codes.min(), codes.max()
    assert pixels.shape == (20, 12)
    np.testing.assert_allclose(pixels[::4, ::4], 255 * (codes - low) / (high - low), atol=0.51)
    np.testing.assert_array_equal(pixels[::4], pixels[3::4])


def test_maps_are_tiled_one_row_for_each_example(tmp_path: Path) -> None:
    X = RANDOM.random((40, 8, 8, 1), dtype=np.float32)
    ae = trained(X, Identity(5), architecture=Conv((4,), code="map"))
    codes = ae.encode(X[:3])
    n, h, w, d = codes.shape
    pixels = image(images_of(tmp_path, ae, X[:3]), CODES)
    assert pixels.shape == (n * (h + 1) - 1, d * (w + 1) - 1)
    low, high = codes.min(), codes.max()
    for i in range(n):
        for k in range(d):
            top, left = i * (h + 1), k * (w + 1)
            wanted = 255 * (codes[i, :, :, k] - low) / (high - low)
            np.testing.assert_allclose(pixels[top : top + h, left : left + w], wanted, atol=0.51)


def test_examples_that_are_no_images_are_rows_of_pixels(tmp_path: Path) -> None:
    X = RANDOM.random((40, 3, 2, 2, 2), dtype=np.float32)
    assert image(images_of(tmp_path, trained(X, Identity(2)), X), IMAGES).shape == (2 * 17 - 1, 24)


def test_constant_codes_are_black(tmp_path: Path) -> None:
    ae = trained(BYTES, Identity(3))
    same = np.repeat(BYTES[:1], 4, axis=0)
    with torch.no_grad():
        for parameter in ae.model_.encoder.parameters():
            parameter.zero_()
    assert not image(images_of(tmp_path, ae, same), CODES).any()


def test_images_change_neither_the_model_nor_global_random_generators(tmp_path: Path) -> None:
    ae = trained(BYTES, Identity(3))
    weights = {name: value.clone() for name, value in ae.model_.state_dict().items()}
    before, state = torch.random.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index]
    for training in (True, False):
        ae.model_.train(training)
        images_of(tmp_path, ae, BYTES)
        assert ae.model_.training is training
        assert ae.model_.encoder.training is training
    assert torch.equal(before, torch.random.get_rng_state())
    assert np.random.get_state()[1].tolist() == state  # type: ignore[index]
    assert all(torch.equal(value, weights[name]) for name, value in ae.model_.state_dict().items())


def test_watching_changes_no_training(tmp_path: Path) -> None:
    def watched(writer: EventWriter | None) -> Array:
        ae = Autoencoder(Gaussian(2), architecture=MLP((8,)), epochs=2, batch_size=20, random_state=3)
        for report in ae.iter_fit(BYTES, every=1):
            if writer is not None:
                writer.scalars(report)
                writer.images(ae, BYTES, report.step)
        return ae.encode(BYTES)

    with EventWriter(tmp_path) as writer:
        np.testing.assert_array_equal(watched(writer), watched(None))


def test_event_files_land_in_the_folder_and_are_whole_after_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "one"
    ae = trained(BYTES, Identity(3))
    with EventWriter(folder) as writer:
        writer.scalars(ae.history_[-1])
        with pytest.raises(DataError, match="fitted on"):
            writer.images(ae, BYTES[:, 1:], 1)
    assert [file.name.startswith("events.out.tfevents.") for file in folder.iterdir()] == [True]
    assert [file.name for file in tmp_path.iterdir()] == ["runs"]
    assert read(folder).Scalars("loss/train")[0].value == pytest.approx(ae.history_[-1].loss, rel=1e-6)


def test_without_tensorboard_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(NotPossibleError) as error:
        EventWriter(tmp_path / "run")
    assert str(error.value) == "TensorBoard is not installed: pip install 'isthmus[tensorboard]'"
    assert not (tmp_path / "run").exists()
