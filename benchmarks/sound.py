"""Removes noise from speech with a small convolutional autoencoder, compared with filters; writes the figures of docs/sound.md.

python benchmarks/sound.py [--states 3] [--epochs 14]

Speech is made by espeak-ng (`apt-get install espeak-ng`), or, without it, by a synthesizer of vowels, glides and hisses in this file.
White or colored noise is added. The autoencoder is trained on windows of the training sentences, and settings of filters are chosen on
them. Other sentences are restored whole. A random state determines voices, noise and initial weights.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import torch
from run import HERE
from scipy import ndimage, signal

from isthmus import Autoencoder
from isthmus.architectures import Conv
from isthmus.bottlenecks import Identity
from isthmus.experiments.reproduction import machine
from isthmus.likelihoods import Normal
from isthmus.optimizers import AdamW, OneCycle

matplotlib.use("Agg")
import matplotlib.pyplot as plt

Array = np.ndarray[Any, np.dtype[Any]]
Restore = Callable[[Array], Array]
PAGE, FIGURE = HERE.parent / "docs" / "sound.md", HERE.parent / "docs" / "figures" / "sound.png"
BEGIN, END = "<!-- figures: written by benchmarks/sound.py -->", "<!-- end of figures -->"
RATE, WINDOW, N_TEST, N_SELECTION, N_VOICES = 8000, 1024, 6, 4, 3
FIRST = 100  # random state; the net and its epochs were chosen on the sentences of others
STRENGTHS, SMOOTHINGS = (1, 2, 3, 5, 8, 12), (1, 3, 5, 9)  # of the filters of spectra
NOISES = {"white": 0.0, "colored": 1.0}  # the exponent of the power over frequency
SENTENCES = """The ship left the harbor before the sun was up. A narrow strip of land joins the two fields.
My brother keeps seven bees in a wooden box. Please close the window when the rain begins.
She found the letter under a heavy chair. Nobody knows how deep the old well is.
The train to the coast runs twice a day. He paid for the bread with a silver coin.
Cold water fell from the roof all night. We measured the bridge with a piece of string.
Two horses were waiting behind the mill. The teacher wrote a long word on the board.
Every lamp in the street went out at once. Fresh paint smells stronger in a small room.
They walked around the lake in three hours. The cook adds salt only at the very end.
A yellow bird sat on the garden fence. Our neighbor sells apples from his own trees.
The map shows a road that was never built. I heard music from the house next door.
Snow covered the tracks within ten minutes. The engine makes a strange noise in winter.
Children were flying kites on the hill. The museum is closed on the first of May.
An honest answer is better than a clever one. The river turns brown after a thunderstorm.
Keep the medicine in a dry and dark place. The tailor needs a week for the blue coat.
Most of the guests arrived by bicycle. Her watch stopped at a quarter past four.
The loudest part of the song comes twice. This key opens the door to the cellar.""".replace("\n", " ").split(". ")


class Sentences(NamedTuple):
    """Noisy sentences and the same sentences clean, float32 (samples,), and the noise of each."""

    noisy: list[Array]
    clean: list[Array]
    noises: list[str]


def spoken(text: str, rng: np.random.Generator) -> Array:
    """A sentence by espeak-ng, in one of its voices, with random pitch and speed."""
    voice = f"en+{rng.choice(['m1', 'm3', 'm7', 'f1', 'f2', 'f4'])}"
    words = ["-v", voice, "-p", str(rng.integers(30, 70)), "-s", str(rng.integers(140, 190)), "--stdin", "--stdout"]
    done = subprocess.run(["espeak-ng", *words], input=text.encode(), capture_output=True, check=True)
    rate = int.from_bytes(done.stdout[24:28], "little")
    samples = np.frombuffer(done.stdout[44 : 44 + (len(done.stdout) - 44) // 2 * 2], "<i2") / 2**15
    return np.asarray(signal.resample_poly(samples, RATE, rate))


def synthesized(text: str, rng: np.random.Generator) -> Array:
    """A sentence without espeak-ng: for each letter a vowel that glides from one set of formants to another, or a hiss."""
    pitch, parts, formants = rng.uniform(90, 220), list[Array](), rng.uniform((300, 900, 2300), (800, 2200, 3200))
    for letter in text.lower():
        count = int(RATE * rng.uniform(0.05, 0.14))
        if letter in "aeiouylmnrw":
            following = rng.uniform((300, 900, 2300), (800, 2200, 3200))
            glide = pitch * (1 + 0.2 * np.sin(np.linspace(0, rng.uniform(0.5, 3), count)))
            phase = np.cumsum(glide) / RATE
            source = np.diff(np.floor(phase), prepend=0.0) - glide.mean() / RATE
            voiced = np.zeros(count)
            for step, piece in enumerate(np.array_split(np.arange(count), 4)):
                sound = source[piece[0] :]
                for center in formants + (following - formants) * step / 3:
                    poles = np.exp(-np.pi * 80 / RATE) * np.exp(2j * np.pi * center / RATE)
                    sound = signal.lfilter([1.0], np.poly([poles, poles.conj()]).real, sound)
                voiced[piece] = sound[: len(piece)]
            parts.append(voiced / max(np.abs(voiced).max(), 1e-9) * np.hanning(count) ** 0.3)
            formants = following
        elif letter == " ":
            parts.append(np.zeros(count))
        else:
            hiss = signal.lfilter([1.0, -0.9], [1.0], rng.normal(size=count))
            parts.append(0.1 * hiss * np.hanning(count))
    return np.concatenate(parts)


def noise_like(samples: int, exponent: float, rng: np.random.Generator) -> Array:
    """Noise of variance 1 whose power falls with this power of the frequency, above 50 Hz."""
    spectrum = np.fft.rfft(rng.normal(size=samples))
    spectrum *= np.maximum(np.fft.rfftfreq(samples, 1 / RATE), 50.0) ** (-exponent / 2)
    noise = np.fft.irfft(spectrum, samples)
    return np.asarray(noise / noise.std())


def sentences_of(texts: list[str], decibels: tuple[float, float], rng: np.random.Generator) -> Sentences:
    """Sentences with noise; the noises take turns, the signal-to-noise ratio is drawn between two values."""
    speak, found = spoken if shutil.which("espeak-ng") else synthesized, Sentences([], [], [])
    for number, text in enumerate(texts):
        clean = speak(text, rng)
        clean = clean * rng.uniform(0.3, 0.9) / np.abs(clean).max()
        name = list(NOISES)[number % len(NOISES)]
        level = clean.std() * 10 ** (-rng.uniform(*decibels) / 20)
        found.clean.append(clean.astype(np.float32))
        found.noisy.append((clean + level * noise_like(len(clean), NOISES[name], rng)).astype(np.float32))
        found.noises.append(name)
    return found


def trained(sentences: Sentences, state: int, epochs: float) -> Autoencoder:
    """A fully convolutional autoencoder, trained on windows of sentences."""
    cut = [
        np.concatenate(
            [each[begin : begin + WINDOW] for each in side for begin in range(0, len(each) - WINDOW, WINDOW)]
        )
        for side in (sentences.noisy, sentences.clean)
    ]
    noisy, clean = (each.reshape(-1, WINDOW, 1) for each in cut)
    architecture = Conv((32, 64), kernel=9, code="map", down="stride", up="transpose")
    ae = Autoencoder(Identity(64, "relu"), architecture=architecture, likelihood=Normal("learned"), kind="series")
    return ae.set_params(
        epochs=epochs, batch_size=16, optimizer=AdamW(3e-3, schedule=OneCycle()), random_state=state
    ).fit(noisy, target=clean)


def ratio(clean: Array, restored: Array) -> float:
    """The signal-to-noise ratio in dB."""
    return float(10 * np.log10(np.square(clean).mean() / np.square(restored - clean).mean()))


def local_wiener(width: int) -> Restore:
    """The adaptive Wiener filter of SciPy, from the mean and the variance of neighboring samples."""
    return lambda x: signal.wiener(x, width)


def spectral(strength: float, smoothing: int, subtract: bool) -> Restore:
    """A gain for each time and frequency of a short-time Fourier transform.

    The power of the noise is estimated from each recording itself: at each frequency the mean over the quarter of the times with the least
    power, times the strength. The gain is that of spectral subtraction (Boll 1979) or of the Wiener filter.
    """

    def restore(x: Array) -> Array:
        *_, spectrum = signal.stft(x, RATE, nperseg=256, noverlap=192)
        power = ndimage.uniform_filter1d(np.square(np.abs(spectrum)), smoothing, axis=1)
        quarter = np.sort(power, axis=1)[:, : max(power.shape[1] // 4, 1)]
        noise = ndimage.uniform_filter1d(quarter.mean(1), 5)[:, None] * strength
        share = np.clip(1 - noise / np.maximum(power, 1e-20), 0, 1)
        restored = signal.istft(
            spectrum * (np.sqrt(share) if subtract else share).clip(0.05), RATE, nperseg=256, noverlap=192
        )[1]
        return np.asarray(np.pad(restored, (0, max(len(x) - len(restored), 0)))[: len(x)])

    return restore


FILTERS: dict[str, list[Restore]] = {
    "Wiener filter of neighboring samples": [local_wiener(width) for width in (3, 5, 9, 17)],
    "spectral subtraction": [spectral(*each, subtract=True) for each in product(STRENGTHS, SMOOTHINGS)],
    "Wiener filter of the spectrum": [spectral(*each, subtract=False) for each in product(STRENGTHS, SMOOTHINGS)],
}


def mean_ratio(restore: Restore, sentences: Sentences) -> float:
    """The mean of the ratios of sentences in dB."""
    return statistics.mean(ratio(clean, restore(noisy)) for noisy, clean, _ in zip(*sentences, strict=True))


class Measured(NamedTuple):
    """For each method and noise the mean ratio of the test sentences in dB; seconds; and what the figure shows."""

    ratios: dict[tuple[str, str], float]
    seconds: dict[str, float]
    shown: tuple[Array, Array, Array]


def measured(state: int, epochs: float) -> Measured:
    """Trains, restores other sentences, and does the same with filters."""
    rng = np.random.default_rng(state)
    texts = [SENTENCES[number] for number in rng.permutation(len(SENTENCES))]
    training = sentences_of(texts[N_TEST:] * N_VOICES, (-2, 12), rng)
    held = sentences_of(texts[:N_TEST], (3, 3), rng)
    some = Sentences(*(each[:N_SELECTION] for each in training))
    methods: dict[str, Restore] = {"noisy": lambda x: x}
    for name, settings in FILTERS.items():
        methods[name] = max(settings, key=lambda setting: mean_ratio(setting, some))
    began = time.perf_counter()
    ae = trained(training, state, epochs)
    seconds = {"training": time.perf_counter() - began}
    methods["isthmus"] = lambda x: ae.reconstruct_series(x[:, None])[:, 0]
    ratios = dict[tuple[str, str], float]()
    duration = sum(map(len, held.clean)) / RATE
    for name, restore in methods.items():
        began = time.perf_counter()
        for noise in NOISES:
            rows = [row for row, each in enumerate(held.noises) if each == noise]
            of_noise = Sentences(*([each[row] for row in rows] for each in held))
            ratios[name, noise] = mean_ratio(restore, of_noise)
        seconds[name] = (time.perf_counter() - began) / duration
        print(f"state {state}: {name} " + ", ".join(f"{ratios[name, noise]:.2f}" for noise in NOISES), flush=True)
    return Measured(ratios, seconds, (held.noisy[0], methods["isthmus"](held.noisy[0]), held.clean[0]))


def draw(parts: tuple[Array, Array, Array]) -> None:
    """Spectrograms of a noisy sentence, restored and clean."""
    figure, axes = plt.subplots(3, 1, figsize=(8, 6), sharex=True, layout="constrained")
    for axis, name, part in zip(axes, ("noisy", "restored", "clean"), parts, strict=True):
        frequencies, times, spectrum = signal.stft(part, RATE, nperseg=256, noverlap=192)
        level = 20 * np.log10(np.abs(spectrum) + 1e-7)
        top = 20 * np.log10(np.abs(signal.stft(parts[2], RATE, nperseg=256, noverlap=192)[2]).max())
        image = axis.pcolormesh(
            times, frequencies / 1000, level, vmin=top - 60, vmax=top, cmap="magma", rasterized=True
        )
        axis.set(ylabel="frequency, kHz", title=name)
    axes[-1].set_xlabel("time, seconds")
    figure.colorbar(image, ax=axes, label="level, dB")
    figure.savefig(FIGURE, dpi=110)


def row(name: str, found: list[Measured]) -> str:
    """A line of the table."""
    cells = []
    for noise in NOISES:
        values = [each.ratios[name, noise] for each in found]
        cells.append(f"{statistics.mean(values):.1f} ({min(values):.1f} - {max(values):.1f})")
    seconds = statistics.median(each.seconds[name] for each in found)
    return f"| {name} | {' | '.join(cells)} | {seconds:.4f} |"


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--states", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=14)
    parser.add_argument("--first", type=int, default=FIRST)
    given = parser.parse_args()
    torch.set_num_threads(1)
    began = time.perf_counter()
    found = [measured(given.first + number, given.epochs) for number in range(given.states)]
    if given.first != FIRST:
        return
    draw(found[0].shown)
    training = statistics.median(each.seconds["training"] for each in found)
    minutes = (time.perf_counter() - began) / 60
    speech = (
        "espeak-ng" if shutil.which("espeak-ng") else "the synthesizer of the script, as espeak-ng is not installed"
    )
    lines = [
        BEGIN,
        f"Signal-to-noise ratio in dB, mean over {N_TEST // len(NOISES)} held-out sentences by {speech}, for each noise: means over "
        f"{given.states} random states, with minimum",
        f"and maximum. Training took {training:.0f} s. Written by `python benchmarks/sound.py` on {datetime.now(UTC):%Y-%m-%d} in "
        f"{minutes:.0f} minutes; {machine()}.",
        "",
        "| method | white noise | colored noise | seconds per second of sound |",
        "|---|---|---|---|",
        *(row(name, found) for name in ("noisy", *FILTERS, "isthmus")),
        END,
    ]
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    PAGE.write_text(before + "\n".join(lines) + after, encoding="utf-8")
    print(f"written: {PAGE}, {FIGURE}")


if __name__ == "__main__":
    main()
