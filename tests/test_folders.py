"""Images that stay in their files give the results of the array, bit for bit; a bounded number of them is in memory."""

from __future__ import annotations

import pickle
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import thorough_where
from PIL import Image
from sklearn.model_selection import train_test_split
from test_cli import run

import isthmus
from isthmus import Autoencoder, AutoencoderClassifier, OutlierDetector, evaluate
from isthmus.architectures import MLP, Conditional
from isthmus.augmentations import Crop
from isthmus.corruptions import Masking
from isthmus.data import ImageFiles, as_examples, read
from isthmus.data.images import decoder
from isthmus.data.options import ReadOptions
from isthmus.data.statistics import DataStatistics, Fingerprint
from isthmus.errors import DataError, MemoryLimitError, RecordError
from isthmus.experiments.membership import example_keys
from isthmus.experiments.run_record import DataSource
from isthmus.experiments.splits import split
from isthmus.training import file_source

Array = np.ndarray[Any, Any]
N, SIZE = 60, (8, 10)


def draw(number: int, rng: np.random.Generator) -> Image.Image:
    """A small image, of one of the kinds that people have in one folder."""
    level = rng.integers(0, 200, 3)
    pixels = (level + rng.integers(0, 56, (*SIZE, 3))).astype(np.uint8)
    image = Image.fromarray(pixels)
    if number % 8 == 1:
        return image.convert("L")
    if number % 8 == 2:
        image.putalpha(Image.fromarray(pixels[..., 0] | (255 if number % 16 == 2 else 0)))
    return image.convert("P") if number % 8 == 3 else image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of images: color, gray, with a palette, transparent, opaque, JPEG and rotated ones."""
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("folders") / "photos"
    for number in range(N):
        path = root / ("cats" if number % 2 else "dogs") / f"{number:02d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = draw(number, rng)
        if number % 8 == 4:
            exif = Image.Exif()
            exif[0x0112] = 6
            image.transpose(Image.Transpose.ROTATE_90).save(path.with_suffix(".jpg"), exif=exif, quality=95)
        else:
            image.save(path.with_suffix(".png"))
    return root


@pytest.fixture(scope="module")
def array(folder: Path) -> Array:
    return read(folder).train


@pytest.fixture(scope="module")
def files(folder: Path) -> ImageFiles:
    return read(folder, cache=0).train  # type: ignore[return-value]  # typed as what it stands for


def quick(**choices: Any) -> Autoencoder:
    given = {"bottleneck": 3, "architecture": MLP((6,)), "epochs": 2, "batch_size": 8, "random_state": 0} | choices
    return Autoencoder(**given)


def weights(ae: Autoencoder) -> list[Array]:
    return [each.numpy() for each in ae.model_.state_dict().values()]


Y = np.arange(N) % 2


def test_a_folder_is_read_as_before_but_for_where_its_images_are(folder: Path) -> None:
    whole, left = read(folder), read(folder, cache=0)
    assert isinstance(left.train, ImageFiles)
    assert (left.train.shape, left.train.dtype) == (whole.train.shape, whole.train.dtype)
    np.testing.assert_array_equal(np.asarray(left.train), whole.train)
    for name in ("train_labels", "ids"):
        np.testing.assert_array_equal(getattr(left, name), getattr(whole, name))
    assert left.notes[:-1] == whole.notes
    assert any("white background" in note for note in whole.notes)
    assert left.notes[-1] == (
        f"{N} images take 14.4 kB decoded, more than cache=0 bytes (--cache): they are read from their files in each epoch, "
        "none stays decoded"
    )
    assert "read from their files" in left.summary()


def test_patches_are_those_of_the_array(folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number, size in enumerate([(13, 20), (8, 8), (9, 17)]):  # of different sizes, and overlapping at the end
        Image.fromarray(rng.integers(0, 256, (*size, 3)).astype(np.uint8)).save(tmp_path / f"{number}.png")
    Image.new("RGB", (16, 9)).save(
        tmp_path / "3.tif", save_all=True, append_images=[Image.fromarray(rng.integers(0, 256, (24, 9, 3), np.uint8))]
    )
    for options in (
        {"patches": 8},
        {"patches": 3},
        {"patches": 4, "pages": "examples"},
        {"patches": 4, "resize": (6, 9)},
    ):
        whole, left = read(tmp_path, **options), read(tmp_path, cache=0, **options)
        assert isinstance(left.train, ImageFiles)
        np.testing.assert_array_equal(np.asarray(left.train), whole.train)
        rows = rng.permutation(len(whole.train))[:5]
        np.testing.assert_array_equal(np.asarray(left.train[rows]), whole.train[rows])
        np.testing.assert_array_equal(left.train[int(rows[0])], whole.train[rows[0]])
        np.testing.assert_array_equal(left.ids, whole.ids)
        np.testing.assert_array_equal(left.groups, whole.groups)


def test_an_image_is_decoded_once_for_its_neighboring_patches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, decoded = read(folder, cache=0, patches=3), list[str]()
    assert "training decodes an image for each of its patches" in found.notes[-2]
    real = decoder.decode_pages

    def counting(file: Any, *given: Any, **named: Any) -> Any:
        decoded.append(file.path.name)
        return real(file, *given, **named)

    monkeypatch.setattr(decoder, "decode_pages", counting)
    for begin in range(0, len(found.train), 7):  # an image has 12 patches
        np.asarray(found.train[begin : begin + 7])
    assert len(decoded) == N
    ae = quick(epochs=1).fit(found.train)
    for each, other in zip(weights(ae), weights(quick(epochs=1).fit(read(folder, patches=3).train)), strict=True):
        np.testing.assert_array_equal(each, other)


def test_memory_decides_and_an_option_overrides(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(read(folder, cache="14.3kB").train, ImageFiles)
    assert isinstance(read(folder, cache="14.4kB").train, np.ndarray)
    monkeypatch.setattr("isthmus.io.memory_limit.available_memory", lambda: 20_000.0)
    found = read(folder)
    assert isinstance(found.train, ImageFiles)
    assert "more than a quarter of the available memory (5 kB; cache=, --cache)" in found.notes[-1]
    assert "20 of them stay decoded" in found.notes[-1]


def test_options_that_do_not_apply_raise_one_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="invalid size 'much'"):
        read(folder, cache="much")
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(
        DataError, match=r"invalid cache=0 \(--cache\): .* is not a folder of images, a Parquet or Arrow file"
    ):
        read(tmp_path / "x.csv", cache=0)


@pytest.mark.parametrize("kind", ["gif", "tif"])
@pytest.mark.parametrize("pages", ["examples", "volume"])
def test_pages_are_those_of_the_array(kind: str, pages: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in "ab":
        frames = [Image.fromarray(rng.integers(0, 256, (6, 7)).astype(np.uint8)) for _ in range(4)]
        frames[0].save(tmp_path / f"{name}.{kind}", save_all=True, append_images=frames[1:])
    whole, left = read(tmp_path, pages=pages), read(tmp_path, pages=pages, cache=0)
    np.testing.assert_array_equal(np.asarray(left.train[::-1]), whole.train[::-1])
    np.testing.assert_array_equal(left.ids, whole.ids)  # type: ignore[arg-type]
    assert left.notes[:-1] == whole.notes


def test_16_bit_images_and_parts_of_a_split_are_those_of_the_array(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part in ("train", "test", "val"):
        (tmp_path / part).mkdir()
        for number in range(4):
            values = rng.integers(0, 2**16, (5, 6)).astype(np.uint16)
            Image.fromarray(values).save(tmp_path / part / f"{number}.png")
    whole, left = read(tmp_path), read(tmp_path, cache=0)
    for name in ("train", "test", "validation"):
        np.testing.assert_array_equal(np.asarray(getattr(left, name)), getattr(whole, name))
        assert getattr(left, name)[0].dtype == np.uint16


def test_images_are_selected_like_rows_of_an_array(files: ImageFiles, array: Array) -> None:
    mask = Y == 1
    for key in (slice(3, 30, 2), slice(None, None, -1), np.array([5, 0, 5]), mask, (mask, ...), [1, 2], ...):
        selected = files[key]
        assert isinstance(selected, ImageFiles)
        np.testing.assert_array_equal(np.asarray(selected), array[key])
    for key in (3, -1, (2, 4), (slice(4), 1), (slice(None), 0, slice(2), 1), (..., 0), (mask, 0), np.array([[1, 2]])):
        np.testing.assert_array_equal(files[key], array[key])
    for shape in ((N, -1), (N, 80, 3), (-1, 240)):
        assert isinstance(files.reshape(*shape), ImageFiles)
        np.testing.assert_array_equal(np.asarray(files.reshape(shape)), array.reshape(shape))
    np.testing.assert_array_equal(files.reshape(-1), array.reshape(-1))
    np.testing.assert_array_equal(files.astype(np.float32), array.astype(np.float32))
    np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(files[:3]))), array[:3])
    for ours, theirs in zip(
        train_test_split(files, random_state=0), train_test_split(array, random_state=0), strict=True
    ):
        np.testing.assert_array_equal(np.asarray(ours), theirs)
    with pytest.raises(IndexError):
        files[N]
    first = files[0]
    first[:] = 7  # a copy
    np.testing.assert_array_equal(files[0], array[0])


FITTED: dict[str, Autoencoder] = {}


def fitted(array: Array) -> Autoencoder:
    return FITTED.setdefault("plain", quick().fit(array))


def measured(ae: Autoencoder, X: Any) -> list[Any]:
    result = evaluate(ae, X[:20], Y[:20], train=X[20:], train_labels=Y[20:])
    return [str([row for row in result.rows() if "per second" not in str(row)]), result.errors.mse]


USES: dict[str, Callable[[Any, Autoencoder], Any]] = {
    "fit": lambda X, _: weights(quick().fit(X)),
    "early stopping": lambda X, _: weights(quick(early_stopping=True).fit(X)),
    "a target": lambda X, _: weights(quick().fit(X, target=X[::-1])),
    "validation data": lambda X, _: [quick().fit(X, validation_data=X[:9]).history_[-1].val_loss],
    "crops": lambda X, _: weights(quick(augmentation=Crop(4)).fit(X)),
    "partial_fit": lambda X, _: weights(quick().partial_fit(X[:20]).partial_fit(X[20:])),
    "layerwise": lambda X, _: weights(quick(architecture=MLP((6, 5))).fit(X, layerwise=True)),
    "conditional": lambda X, _: weights(quick(architecture=Conditional(MLP((6,)))).fit(X, Y)),
    "groups": lambda X, _: weights(quick(early_stopping=True).fit(X, groups=np.arange(N) // 4)),
    "weights": lambda X, _: weights(quick().fit(X, sample_weight=1 + Y)),
    "encode": lambda X, ae: ae.encode(X),
    "reconstruct": lambda X, ae: ae.reconstruct(X),
    "score_samples": lambda X, ae: ae.score_samples(X),
    "corrupt": lambda X, ae: ae.corrupt(X, corruption=Masking(0.5)),
    "errors": lambda X, ae: [*ae.reconstruction_error(X), *ae.reconstruction_error(X[:3], per_feature=True)],
    "a mixture": lambda X, ae: ae.sample(4, 0, method="gmm", X=X),
    "detector": lambda X, _: [
        *(d := OutlierDetector(quick(), false_alarm_rate=0.2, random_state=0).fit(X)).score_samples(X),
        d.offset_,
    ],
    "classifier": lambda X, _: AutoencoderClassifier(quick(), epochs=1, random_state=0).fit(X, Y).predict_proba(X),
    "evaluate": lambda X, ae: measured(ae, X),
    "evaluate a target": lambda X, ae: [evaluate(ae, X, target=X[::-1]).errors.mse],
    "PCA": lambda X, ae: [isthmus.evaluation.pca_reconstructions(ae, X[:9], train=X[9:]).pca_mse],
    "robustness": lambda X, ae: isthmus.robustness(ae, X, kinds="GaussianNoise", draws=1).to_frame().to_numpy(),
    "keys": lambda X, _: [example_keys(as_examples(X).values), Fingerprint.of(X)],
    "statistics": lambda X, _: [*DataStatistics(X).sums((0,)), *DataStatistics(X).min_max((0, 1, 2))],
}
USUAL = {"early stopping", "a target", "reconstruct", "detector", "evaluate", "keys", "PCA"}


@pytest.mark.parametrize("use", thorough_where(USES, lambda use: use not in USUAL))
@pytest.mark.filterwarnings("ignore:.*no label")
def test_images_in_their_files_give_the_results_of_the_array(use: str, files: ImageFiles, array: Array) -> None:
    ae = fitted(array)
    for ours, theirs in zip(USES[use](files, ae), USES[use](array, ae), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_threads_and_cache_do_not_change_the_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, some = weights(quick().fit(read(folder).train)), read(folder, cache="3kB").train
    for count in (1, 7):
        monkeypatch.setattr(file_source, "n_threads", lambda count=count: count)
        monkeypatch.setattr(decoder, "n_threads", lambda count=count: count)
        for ours, theirs in zip(weights(quick().fit(some)), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert len(some.decoder.kept) == 12  # type: ignore[attr-defined]  # images of 240 bytes in 3,000


def decoding_threads() -> int:
    return sum(thread.name.startswith("isthmus images") for thread in threading.enumerate())


def test_threads_decode_in_the_background_and_end_with_the_training(files: ImageFiles) -> None:
    reports = quick(batch_size=2).iter_fit(files, every=3)
    next(reports)
    assert 1 <= decoding_threads() <= 8
    reports.close()
    assert decoding_threads() == 0
    quick(early_stopping=True).fit(files)
    assert decoding_threads() == 0


def test_filters_of_warnings_of_others_are_unchanged(files: ImageFiles) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick().fit(files)
        with pytest.raises(UserWarning, match="mine"):
            warnings.warn("mine", UserWarning, stacklevel=1)


def copied(folder: Path, there: Path) -> Path:
    for path in folder.rglob("*.*"):
        (there / path.parent.name).mkdir(exist_ok=True, parents=True)
        (there / path.parent.name / path.name).write_bytes(path.read_bytes())
    return there


@pytest.mark.promise(18)
@pytest.mark.parametrize("how", ["removed", "truncated", "another image", "same header"])
def test_an_image_that_changes_during_training_is_named(how: str, folder: Path, tmp_path: Path) -> None:
    root = copied(folder, tmp_path / "photos")
    reports = quick().iter_fit(read(root, cache=0).train)
    next(reports)
    path = root / "cats" / "07.png"
    if how == "removed":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:-70])
    else:
        with Image.open(path) as image:
            size = image.size if how == "same header" else (99, 99)
        Image.new("RGB", size).save(path)
    message = {
        "removed": "can no longer be read",
        "truncated": "is damaged or not an image",
        "another image": "changed while",
        "same header": "changed while",
    }
    with pytest.raises(DataError, match=rf"photos/cats/07\.png {message[how]}") as caught:
        list(reports)
    assert "\n" not in str(caught.value)
    assert decoding_threads() == 0


def test_a_damaged_image_is_named_with_the_option_that_skips_it(folder: Path, tmp_path: Path) -> None:
    root = copied(folder, tmp_path / "photos")
    path = root / "cats" / "07.png"
    path.write_bytes(path.read_bytes()[:-70])
    with pytest.raises(DataError, match=r"07\.png is damaged .*; or skip broken images with --skip-broken"):
        quick().fit(read(root, cache=0).train)
    left = read(root, cache=0, skip_broken=True)
    assert len(left.train) == N - 1
    np.testing.assert_array_equal(np.asarray(left.train), read(root, skip_broken=True).train)


@pytest.mark.promise(10)
def test_a_training_resumes_bit_identical_from_files_and_from_the_array(
    files: ImageFiles, array: Array, tmp_path: Path
) -> None:
    unfinished = quick(epochs=3, early_stopping=True)
    reports = unfinished.iter_fit(files, every=2)
    for _ in range(3):
        next(reports)
    unfinished.checkpoint(tmp_path / "c.safetensors")
    reports.close()
    expected = weights(quick(epochs=3, early_stopping=True).fit(array))
    for X in (files, array):
        for ours, theirs in zip(weights(isthmus.load(tmp_path / "c.safetensors").resume(X)), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_an_array_that_does_not_fit_is_an_error_before_it_is_made(files: ImageFiles) -> None:
    huge = ImageFiles(files.decoder, np.broadcast_to(np.int64(0), (10**12,)))
    with pytest.raises(MemoryLimitError, match="an array of 1,000,000,000,000 decoded images would take about 240 TB"):
        np.asarray(huge)


def test_the_command_line_says_that_images_stay_in_their_files(folder: Path) -> None:
    done = run("data", "photos", "--cache", "1kB", cwd=folder.parent)
    assert (
        "60 images take 14.4 kB decoded, more than cache=1 kB (--cache): they are read from their files in each epoch, 4 of them"
        in done.stdout
    )
    assert run("data", "photos", "--cache", "much", cwd=folder.parent).returncode == 2


WORDS = ("convolutional", "epochs=1", "architecture=MLP", "architecture.hidden=4", "bottleneck.size=2")


@pytest.fixture(scope="module")
def runs(folder: Path) -> Path:
    """The folder of two runs, on an array and on files."""
    for name, more in (("whole", ()), ("left", ("--cache", "0"))):
        done = run("train", *WORDS, "--data", "photos", *more, "--out", name, cwd=folder.parent)
        assert done.returncode == 0, done.stderr
        assert ("they are read from their files" in done.stdout) == (name == "left")
    return folder.parent


@pytest.mark.thorough
def test_runs_of_the_command_line_have_the_same_weights_and_held_out_examples(runs: Path) -> None:
    ours, theirs = (isthmus.load(runs / name) for name in ("left", "whole"))
    for one, other in zip(weights(ours), weights(theirs), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (runs / "left/split.safetensors").read_bytes() == (runs / "whole/split.safetensors").read_bytes()


@pytest.mark.thorough
@pytest.mark.parametrize("verb", ["encode", "reconstruct", "detect"])
def test_commands_write_the_same_results(verb: str, runs: Path) -> None:
    written = []
    for name, cache in (("whole", "1GB"), ("left", "0")):
        out = runs / f"{verb}-{name}.{'csv' if verb == 'detect' else 'npy'}"
        done = run(verb, "left", "--data", "photos", "--cache", cache, "--out", str(out), cwd=runs)
        assert done.returncode == 0, done.stderr
        written.append(out.read_bytes())
    assert written[0] == written[1]


def test_pairs_of_images_in_their_files_train_like_those_of_arrays(folder: Path, tmp_path: Path) -> None:
    noisy, source = copied(folder, tmp_path / "noisy"), []
    for cache in (None, 0):
        found = DataSource(str(noisy), ReadOptions(cache=cache), target=str(folder)).read()
        part = split(found, "error")
        source.append((part.train, part.train_target))
    assert all(isinstance(each, ImageFiles) for each in source[1])
    (X, target), (ours, theirs) = source
    for one, other in zip(
        weights(quick().fit(ours, target=theirs)), weights(quick().fit(X, target=target)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_bounded_number_of_images_is_decoded_ahead(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting, prefetch = list[int](), file_source.FileSource.prefetch

    def recorded(self: file_source.FileSource, index: torch.Tensor) -> None:
        prefetch(self, index)
        waiting.append(len(self.waiting))

    monkeypatch.setattr(file_source.FileSource, "prefetch", recorded)
    quick(epochs=1, batch_size=4).fit(read(folder, resize=(256, 256), cache=0).train)
    assert 8 <= max(waiting) <= 3 * 8  # 8 images have nearly two million values, the most that are fetched at once
