"""Sound: WAV files in and out, windows of recordings, and recordings of any length through a trained net."""

from __future__ import annotations

import struct
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.io import wavfile
from test_cli import run

from isthmus import Autoencoder, data, evaluate, load
from isthmus.architectures import MLP, TCN, Conv
from isthmus.bottlenecks import Identity
from isthmus.data.options import ReadOptions
from isthmus.data.sound.recording import encoded, read_recording, write_recording
from isthmus.errors import DataError, NotPossibleError
from isthmus.experiments.run_record import DataSource
from isthmus.experiments.splits import split
from isthmus.likelihoods import Normal

Array = NDArray[Any]
RATE = 8000
TRAINING = ("architecture.code=map", "architecture.channels=6", "bottleneck.size=6", "epochs=10", "optimizer.lr=0.01")


def random_samples(dtype: Any, *shape: int) -> Array:
    rng = np.random.default_rng(0)
    if np.dtype(dtype).kind == "f":
        return rng.uniform(-1, 1, shape).astype(dtype)
    return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def write_24_bits(path: Path, samples: Array) -> None:
    """Whole numbers (length, channels) from -2**23."""
    with wave.open(str(path), "wb") as file:
        file.setparams((samples.shape[1], 3, RATE, len(samples), "NONE", ""))
        file.writeframes(samples.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes())


def write(path: Path, values: Array, rate: int = RATE) -> None:
    """Fractions of full scale as a file with 16 bits."""
    path.parent.mkdir(exist_ok=True)
    wavfile.write(path, rate, np.rint(32767 * values.clip(-1, 1)).astype(np.int16))


# WAV files


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
def test_a_recording_keeps_samples_rate_and_format(tmp_path: Path, dtype: str, channels: int) -> None:
    samples = random_samples(dtype, 50, channels)
    if dtype == "int32":
        samples = samples // 2**9 * 2**9  # what floats of 32 bits hold
    elif dtype == "float64":
        samples = samples.astype(np.float32).astype(np.float64)
    wavfile.write(tmp_path / "a.wav", 11_025, samples)
    recording = read_recording(tmp_path / "a.wav")
    made = encoded(recording.fractions(), recording)
    assert made.n_clipped == 0
    write_recording(tmp_path / "b.wav", made.samples, recording)
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "a.wav").read_bytes()


def test_24_bits_come_back(tmp_path: Path) -> None:
    samples = np.array([[-(2**23), 2**23 - 1], [1, -1], [0, 12_345]])
    write_24_bits(tmp_path / "a.wav", samples)
    recording = read_recording(tmp_path / "a.wav")
    np.testing.assert_array_equal(recording.fractions(), samples / 2**23)
    assert recording.format == "24-bit"
    write_recording(tmp_path / "b.wav", encoded(recording.fractions(), recording).samples, recording)
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "a.wav").read_bytes()


@pytest.mark.parametrize(
    ("dtype", "samples", "fractions"),
    [("uint8", [0, 128, 255], [-1, 0, 127 / 128]), ("int16", [-32768, 0, 16384], [-1, 0, 0.5])],
)
def test_samples_are_fractions_of_full_scale(tmp_path: Path, dtype: str, samples: Any, fractions: Any) -> None:
    wavfile.write(tmp_path / "a.wav", RATE, np.array(samples, dtype))
    np.testing.assert_array_equal(read_recording(tmp_path / "a.wav").fractions()[:, 0], np.float32(fractions))


def test_clipped_samples_are_counted(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "a.wav", RATE, np.zeros(4, np.int16))
    wavfile.write(tmp_path / "f.wav", RATE, np.zeros(4, np.float32))
    values = np.float32([[1.5], [-2.0], [0.5], [-1.0]])
    made = encoded(values, read_recording(tmp_path / "a.wav"))
    assert (made.n_clipped, made.samples.ravel().tolist()) == (2, [32767, -32768, 16384, -32768])
    made = encoded(values, read_recording(tmp_path / "f.wav"))
    assert (made.n_clipped, made.samples.tolist()) == (0, values.tolist())


def broken_files(folder: Path) -> dict[str, str]:
    """Files that cannot be used, and what an error says of them."""
    write(folder / "whole.wav", np.zeros(100))
    whole = (folder / "whole.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[:-20])
    (folder / "head.wav").write_bytes(whole[:30])
    (folder / "text.wav").write_text("no sound at all")
    (folder / "nothing.wav").write_bytes(b"")
    (folder / "alaw.wav").write_bytes(whole[:20] + struct.pack("<H", 6) + whole[22:])
    (folder / "channels.wav").write_bytes(whole[:22] + struct.pack("<H", 0) + whole[24:])
    (folder / "silent.wav").write_bytes(whole[:40] + bytes(4))
    write_24_bits(folder / "deep.wav", np.zeros((50, 1), int))
    (folder / "deep.wav").write_bytes((folder / "deep.wav").read_bytes()[:-10])
    wavfile.write(folder / "nan.wav", RATE, np.float32([0, np.nan]))
    (folder / "link.wav").symlink_to(folder / "whole.wav")
    read = "cannot be read as WAV"
    of_files = {
        "cut": read,
        "head": read,
        "text": read,
        "alaw": "ALAW",
        "channels": read,
        "silent": "read|no samples",
        "deep": read,
    }
    return of_files | {"nothing": "is empty", "nan": "sample 1 of", "link": "is a symbolic link"}


def test_a_broken_file_is_one_sentence(tmp_path: Path) -> None:
    for name, error in broken_files(tmp_path).items():
        with pytest.raises(DataError, match=error) as caught:
            read_recording(tmp_path / f"{name}.wav").fractions()
        assert f"{name}.wav" in str(caught.value)
        assert "\n" not in str(caught.value)


# Windows of recordings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Recordings of several lengths, one of them in a folder of its own and one too short, and a text."""
    rng = np.random.default_rng(0)
    for name, length in {"a": 100, "b": 64, "in/c": 33, "short": 20}.items():
        write(tmp_path / f"{name}.wav", rng.uniform(-1, 1, length))
    (tmp_path / "notes.txt").write_text("when and where")
    return tmp_path


def test_windows_cover_every_recording(folder: Path) -> None:
    found = data.read(folder, window=32)
    assert found.ids is not None
    assert found.ids.tolist() == [
        *(f"a.wav window {at}" for at in (0, 32, 64, 68)),
        *(f"b.wav window {at}" for at in (0, 32)),
        *(f"in/c.wav window {at}" for at in (0, 1)),
    ]
    for name, values in zip(found.ids, found.train, strict=True):
        file, _, at = str(name).partition(" window ")
        expected = wavfile.read(folder / file)[1][int(at) : int(at) + 32] / 2**15
        np.testing.assert_array_equal(values[:, 0], expected.astype(np.float32))
    assert (found.kind, found.rate) == ("series", RATE)
    notes = "; ".join(found.notes)
    assert "1 recording is shorter than a window of 32 samples, and left out: short.wav" in notes
    assert "1 other entry is no WAV file or is a link, and was ignored: notes.txt" in notes


def test_a_split_keeps_the_windows_of_a_recording_together(folder: Path) -> None:
    found = data.read(folder, window=16, step=5)
    assert found.ids is not None
    part = split(found, "error")
    held, trained = ({str(n).split()[0] for n in found.ids[rows]} for rows in (part.test_rows, part.train_rows))
    assert held
    assert not held & trained


def test_of_a_single_recording_a_part_of_its_time_is_held_out(folder: Path) -> None:
    found = data.read(folder / "a.wav", window=4)
    rows = split(found, "error").test_rows
    assert rows is not None
    assert 1 <= len(rows) <= 3
    assert rows.tolist() == list(range(rows[0], rows[0] + len(rows)))


@pytest.mark.parametrize(
    ("length", "step", "n_parts"), [(100, 1, 4), (100, 4, 10), (101, 4, 10), (400, 1, 10), (30, 2, 2), (9, 1, 2)]
)
def test_parts_of_a_single_recording_share_no_sample(tmp_path: Path, length: int, step: int, n_parts: int) -> None:
    write(tmp_path / "one.wav", np.random.default_rng(0).uniform(-1, 1, length))
    found = data.read(tmp_path / "one.wav", window=4, step=step)
    assert found.ids is not None
    assert found.groups is not None
    part_of = dict[int, str]()
    for at, part in zip(found.ids.astype(int).tolist(), found.groups, strict=True):
        for sample in range(at, at + 4):
            assert part_of.setdefault(sample, part) == part
    assert len(set(part_of.values())) == n_parts
    every = len({*range(0, length - 4, step), length - 4})
    left_out = [note for note in found.notes if "left out" in note]
    assert (every > len(found.train)) == bool(left_out)
    if left_out:
        assert left_out[0].startswith(f"{every - len(found.train)} window")


def test_linked_folders_and_names_of_parts_are_named(tmp_path: Path) -> None:
    for name in ("there/0", "sound/train/1", "sound/test/2", "sound/3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / f"{name}.wav", np.zeros(8))
    (tmp_path / "sound" / "linked").symlink_to(tmp_path / "there", target_is_directory=True)
    notes = data.read(tmp_path / "sound", window=4).notes
    assert "1 other entry is no WAV file or is a link, and was ignored: linked" in notes
    assert any("no parts of a split: those in test, train are examples like all others" in note for note in notes)
    assert not any("no parts of a split" in note for note in data.read(tmp_path / "sound" / "train", window=4).notes)


def test_a_default_window_is_printed(folder: Path) -> None:
    write(folder / "long.wav", np.zeros(2000))
    found = data.read(folder / "long.wav")
    assert found.train.shape == (2, 1024, 1)
    assert any("1,024 samples, the default" in note for note in found.notes)


def test_recordings_of_one_data_set_have_one_rate_and_as_many_channels(folder: Path) -> None:
    write(folder / "b.wav", np.zeros(50), rate=16_000)
    with pytest.raises(DataError, match=r"a\.wav has 8,000 samples per second, and .*b\.wav 16,000: resample"):
        data.read(folder, window=32)
    wavfile.write(folder / "b.wav", RATE, np.zeros((50, 2), np.int16))
    with pytest.raises(DataError, match=r"a\.wav has 1 channel, and .*b\.wav 2: save all as mono"):
        data.read(folder, window=32)


def test_pairs_are_cut_alike(tmp_path: Path) -> None:
    rng, lengths = np.random.default_rng(0), {"x": 90, "y": 64}
    for name, length in lengths.items():
        clean = np.sin(np.arange(length) / 3) / 2
        write(tmp_path / "clean" / f"{name}.wav", clean)
        write(tmp_path / "noisy" / f"{name}.wav", clean + 0.1 * rng.normal(size=length))
    source = DataSource(str(tmp_path / "noisy"), ReadOptions(window=30), target=str(tmp_path / "clean"))
    found = source.read()
    np.testing.assert_array_equal(found.target, data.read(tmp_path / "clean", window=30).train)
    assert "6 training windows are paired with those of clean by their paths in the folder" in found.notes
    for name, length in lengths.items():
        write(tmp_path / "clean" / f"{name}.wav", np.zeros(length), rate=16_000)
    with pytest.raises(DataError, match="noisy has 8,000 samples per second, and clean 16,000"):
        source.read()


def test_single_recordings_of_different_lengths_are_no_pair(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(-1, 1, 100)
    for name, length in {"noisy": 100, "clean": 98, "same": 100}.items():  # as many windows of each
        write(tmp_path / f"{name}.wav", values[:length])
    source = DataSource(str(tmp_path / "noisy.wav"), ReadOptions(window=30), target=str(tmp_path / "clean.wav"))
    with pytest.raises(
        DataError,
        match=r"clean\.wav has no counterpart of 70 of noisy\.wav.*; the two recordings of a pair must be of equal length",
    ):
        source.read()
    assert len(replace(source, target=str(tmp_path / "same.wav")).read().train) == 4


# Series of any length


def fitted(architecture: Any, length: int = 16, channels: int = 1) -> Autoencoder:
    examples = np.random.default_rng(1).normal(size=(20, length, channels)).astype(np.float32)
    ae = Autoencoder(Identity(3), architecture=architecture, likelihood=Normal(), epochs=1, random_state=0)
    return ae.set_params(kind="series").fit(examples)


def series(length: int, channels: int = 1) -> Array:
    return np.random.default_rng(2).normal(size=(length, channels)).astype(np.float32)


CONVOLUTIONAL = [
    Conv((2,), code="map", initialization="normal"),
    Conv((2,), 5, code="map", down="stride", up="transpose", initialization="normal"),
    TCN((3, 2), code="sequence"),
]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("architecture", CONVOLUTIONAL)
def test_tiles_have_no_seams(architecture: Any, channels: int) -> None:
    ae, whole = fitted(architecture, channels=channels), series(203, channels)
    padded = np.pad(whole, ((0, 1), (0, 0)), "edge")
    model = ae.model_.at_shape(padded.shape)
    with torch.no_grad():
        expected = model.reconstruct_raw(torch.from_numpy(padded)[None])[0, :203].numpy()
    for tile in (5, 33, 1000):
        made = ae.reconstruct_series(whole, tile=tile)
        np.testing.assert_allclose(made, expected, atol=1e-5 * expected.std(), rtol=0)


@pytest.mark.parametrize("architecture", CONVOLUTIONAL)
def test_the_receptive_field_is_what_a_row_depends_on(architecture: Any) -> None:
    field = architecture.for_kind("series").receptive_field((16, 1))
    side = (2 * field.radius // field.stride + 3) * field.stride
    ae = fitted(architecture.replace(activation="linear"), length=side)
    first, farthest = (side // field.stride // 2 + (field.stride == 1)) * field.stride, 0
    x = torch.randn(30, side, 1, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for place in range(first, first + field.stride):
        (gradient,) = torch.autograd.grad(ae.model_.decoder(ae.model_.encoder(x))[:, place].sum(), x)
        rows = gradient.abs().amax((0, 2)).nonzero().flatten()
        farthest = max([farthest, *(rows - place).abs().tolist()])
    assert (farthest, field.axes) == (field.radius, 1)


def test_other_models_blend_windows_by_the_distance_from_their_ends() -> None:
    ae, whole = fitted(MLP((8,)), 6), series(17)
    total, weights = np.zeros((17, 1)), np.zeros((17, 1))
    for begin in (0, 3, 6, 9, 11):
        made = ae.reconstruct(whole[None, begin : begin + 6])[0]
        for place in range(6):
            weight = min(place + 1, 6 - place)
            total[begin + place] += weight * made[place]
            weights[begin + place] += weight
    for tile in (1, 7, 100):
        np.testing.assert_allclose(ae.reconstruct_series(whole, tile=tile), total / weights, atol=1e-5, rtol=0)


def test_series_without_an_axis_of_channels() -> None:
    windows = np.random.default_rng(1).normal(size=(20, 6)).astype(np.float32)
    ae = Autoencoder(2, architecture=MLP((8,)), epochs=1, random_state=0, kind="series").fit(windows)
    with_channel = Autoencoder(2, architecture=MLP((8,)), epochs=1, random_state=0, kind="series").fit(
        windows[..., None]
    )
    whole = series(17)
    np.testing.assert_allclose(
        ae.reconstruct_series(whole[:, 0]), with_channel.reconstruct_series(whole)[:, 0], rtol=1e-5
    )


def test_memory_is_bounded_by_the_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    ae, built, build = fitted(CONVOLUTIONAL[0]), list[Any](), Conv.build

    def watched(self: Conv, shape: tuple[int, ...], *sizes: Any) -> Any:
        built.append(shape)
        return build(self, shape, *sizes)

    monkeypatch.setattr(Conv, "build", watched)
    ae.reconstruct_series(series(5000), tile=64)
    field = ae.architecture_.receptive_field((16, 1))
    assert field is not None
    assert built == [(64 + 2 * -(-field.radius // field.stride) * field.stride, 1)]


def test_an_invalid_series_is_one_sentence() -> None:
    ae, whole = fitted(MLP((4,)), 6), series(20)
    with pytest.raises(DataError, match=r"the series has shape \(20,\), .* reconstructs series of shape \(rows, 1\)"):
        ae.reconstruct_series(whole[:, 0])
    whole[11] = 1e30
    with pytest.raises(DataError, match=r"the value in row 11 is 1e\+30, too far from the training data"):
        ae.reconstruct_series(whole)
    whole[13] = np.nan
    with pytest.raises(DataError, match="the value in row 13 is nan: replace it by a number"):
        ae.reconstruct_series(whole)
    with pytest.raises(NotPossibleError, match="reconstruct_image requires an autoencoder of images"):
        ae.reconstruct_image(whole)
    images = Autoencoder(2, architecture=MLP((4,)), epochs=1, random_state=0, kind="images").fit(np.zeros((9, 4, 4)))
    with pytest.raises(NotPossibleError, match="if they are series, fit with kind='series'"):
        images.reconstruct_series(whole)


# From a noisy file to a clean one


def tone(length: int, state: int) -> Array:
    rng = np.random.default_rng(state)
    return np.asarray(rng.uniform(0.3, 0.6) * np.sin(np.arange(length) / rng.uniform(3, 5) + rng.uniform(0, 6)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of recordings, a run on them, and new noisy recordings."""
    folder = tmp_path_factory.mktemp("sound")
    for number in range(12):
        clean, rng = tone(300 + 11 * number, number), np.random.default_rng(100 + number)
        write(folder / "clean" / f"{number}.wav", clean)
        write(folder / "noisy" / f"{number}.wav", clean + rng.normal(0, 0.2, len(clean)))
    for number in range(2):
        clean, rng = tone(777 + number, 50 + number), np.random.default_rng(200 + number)
        write(folder / "new" / f"{number}.wav", clean + rng.normal(0, 0.2, len(clean)))
    words = ("--data", "noisy", "--target", "clean", "--window", "64", "--out", "run")
    done = run("train", "convolutional", *TRAINING, *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "held out by recording: 1 of 12 groups" in done.stdout
    return folder


def decibels(clean: Array, made: Array) -> float:
    return float(10 * np.log10(np.square(clean).mean() / np.square(clean - made).mean()))


def test_a_recording_of_any_length_is_restored(trained: Path) -> None:
    done = run("reconstruct", "run", "new/0.wav", "--out", "restored.wav", cwd=trained)
    assert done.returncode == 0, done.stderr
    assert "note: run is fully convolutional: recordings are reconstructed in tiles" in done.stdout
    assert "written: restored.wav, 0.09713 seconds, 16-bit" in done.stdout
    (rate, noisy), (restored_rate, restored) = (wavfile.read(trained / name) for name in ("new/0.wav", "restored.wav"))
    assert (restored_rate, restored.dtype, restored.shape) == (rate, noisy.dtype, (777,))
    made = load(trained / "run").reconstruct_series((noisy / 2**15).astype(np.float32)[:, None], tile=40)[:, 0]
    np.testing.assert_allclose(restored, np.rint(2**15 * made), atol=1)
    clean = tone(777, 50)
    assert decibels(clean, restored / 2**15) > decibels(clean, noisy / 2**15) + 3


def test_a_folder_is_restored_to_a_folder(trained: Path) -> None:
    done = run("reconstruct", "run", "new", "--out", "restored", cwd=trained)
    assert done.returncode == 0, done.stderr
    assert "written: 2 recordings in restored" in done.stdout
    assert sorted(path.name for path in (trained / "restored").iterdir()) == ["0.wav", "1.wav"]
    again = run("reconstruct", "run", "new", "--out", "restored", cwd=trained)
    assert again.returncode == 1
    assert "restored/0.wav and 1 more file would be overwritten" in again.stderr


def test_evaluation_has_the_signal_to_noise_ratio_before_and_after(trained: Path) -> None:
    ae, (noisy, clean) = (
        load(trained / "run"),
        (data.read(trained / name, window=64).train for name in ("noisy", "clean")),
    )
    assert isinstance(ae, Autoencoder)
    found, signal = evaluate(ae, noisy, target=clean), clean.var(dtype=np.float64)
    for name, made in (("input_snr", noisy), ("snr", ae.reconstruct(noisy))):
        error = np.square(made.astype(np.float64) - clean).mean()
        assert found.value(name) == pytest.approx(10 * np.log10(signal / error), rel=1e-6)
    done = run("evaluate", "run", cwd=trained)
    assert done.returncode == 0, done.stderr
    assert "Input's signal-to-noise ratio" in done.stdout
    assert "\nSignal-to-noise ratio" in done.stdout.replace(" S", "\nS")
    assert evaluate(ae, noisy).value("snr") is None


def test_the_signal_of_nearly_constant_series_is_never_negative() -> None:
    rng = np.random.default_rng(0)
    noisy, clean = (1e4 + scale * rng.normal(size=(30, 16, 1)) for scale in (1e-2, 1e-5))
    ae = Autoencoder(2, architecture=MLP((4,)), epochs=1, random_state=0, kind="series").fit(noisy, target=clean)
    signal, error = clean.var(), np.square(noisy - clean).mean()
    assert evaluate(ae, noisy, target=clean).value("input_snr") == pytest.approx(
        10 * np.log10(signal / error), rel=0.01
    )


def test_other_rates_channels_and_files_are_one_sentence(trained: Path, tmp_path: Path) -> None:
    write(tmp_path / "fast.wav", np.zeros(100), rate=16_000)
    wavfile.write(tmp_path / "stereo.wav", RATE, np.zeros((100, 2), np.int16))
    write(tmp_path / "both" / "good.wav", np.zeros(100))
    (tmp_path / "both" / "text.wav").write_text("no sound at all")
    cases = [
        ("fast.wav", "out.wav", 1, "fast.wav has 16,000 samples per second, and the training recordings have 8,000"),
        ("stereo.wav", "out.wav", 1, "stereo.wav has 2 channels, and"),
        ("both", "out", 1, "text.wav cannot be read as WAV"),
        ("fast.wav", "out.mp3", 2, "expected a name that ends in .wav or .wave"),
        ("both", "both/out", 1, "is in the folder of the recordings"),
        ("missing.wav", "out.wav", 1, "missing.wav: No such file"),
    ]
    for source, out, code, error in cases:
        done = run("reconstruct", str(trained / "run"), source, "--out", out, cwd=tmp_path)
        assert (done.returncode, error in done.stderr) == (code, True), done.stderr
    assert not list(tmp_path.glob("out*"))
    done = run("evaluate", str(trained / "run"), "--data", "fast.wav", "--target", "fast.wav", cwd=tmp_path)
    assert "fast.wav has 16,000 samples per second" in done.stderr


def test_the_summary_names_length_rate_channels_and_peak(trained: Path) -> None:
    done = run("data", "clean", "--target", "noisy", "--window", "64", cwd=trained)
    assert done.returncode == 0, done.stderr
    assert "clean: 12 recordings of 0.5407 seconds in all, 8,000 samples per second, 1 channel" in done.stdout
    peak = np.abs(wavfile.read(trained / "clean" / "0.wav")[1]).max() / 2**15
    row = next(line for line in done.stdout.splitlines() if "0.wav" in line)
    assert all(word in row for word in ("0.0375", "300", "16-bit", f"{peak:.4g}"))


@pytest.mark.thorough
def test_anomalies_in_a_recording_are_found(trained: Path) -> None:
    words = ("--data", "clean", "--window", "32", "--out", "normal")
    done = run("train", "bottleneck.size=4", "architecture.hidden=16", "epochs=4", *words, cwd=trained)
    assert done.returncode == 0, done.stderr
    values = np.tile(tone(300, 3), 2)
    values[400:440] = np.random.default_rng(0).uniform(-1, 1, 40)
    write(trained / "machine.wav", values)
    done = run("detect", "normal", "--data", "machine.wav", "--out", "scores.csv", "false_alarm_rate=0.05", cwd=trained)
    assert done.returncode == 0, done.stderr
    scores = np.genfromtxt(trained / "scores.csv", delimiter=",", names=True)["score"]
    assert len(scores) == 600
    assert 390 <= np.argmin(scores) < 450
