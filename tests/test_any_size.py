"""Images of any size: tiles without seams, blended patches, image files in and out, and training on patches of larger images."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from test_cli import Done, run

from isthmus import Autoencoder, data, load
from isthmus.architectures import MLP, TCN, Attention, Conditional, Conv, Recurrent
from isthmus.bottlenecks import Gaussian, Identity, TopK
from isthmus.data.options import ReadOptions
from isthmus.errors import DataError, MemoryLimitError, NotPossibleError, RecordError
from isthmus.experiments.run_record import DataSource
from isthmus.experiments.splits import split
from isthmus.likelihoods import Multinomial, Normal
from isthmus.optimizers import Adam
from isthmus.scaling import Standard

Array = NDArray[Any]
WAYS = list(product(("pool", "stride"), ("resize", "double", "transpose"), (1, 3, 5)))


def generator(state: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(state)


def page(*shape: int, state: int = 0) -> Array:
    return np.random.default_rng(state).random(shape, np.float32)


def fitted(architecture: Any, shape: tuple[int, ...], bottleneck: Any = None, **choices: Any) -> Autoencoder:
    ae = Autoencoder(bottleneck or Identity(3), architecture=architecture, epochs=1, random_state=0, kind="images")
    return ae.set_params(**choices).fit(page(20, *shape))


# The receptive field


@pytest.mark.parametrize(("down", "up", "kernel"), WAYS)
@pytest.mark.parametrize("channels", [(), (3,)])
def test_the_receptive_field_is_what_a_pixel_depends_on(down: Any, up: Any, kernel: int, channels: Any) -> None:
    conv = Conv(channels, kernel, code="map", down=down, up=up, activation="linear", initialization="normal")
    field = conv.receptive_field((8, 8))
    assert field is not None
    assert field.stride == 2 ** (len(channels) + 1)
    side = (2 * field.radius // field.stride + 3) * field.stride
    pair = conv.build((side, side), 2, 2, generator())
    first = (side // field.stride // 2) * field.stride
    x, farthest = torch.randn(30, side, side, generator=generator(1)).requires_grad_(), 0
    for place in range(first, first + field.stride):  # maximum pooling depends on other pixels in each example
        (gradient,) = torch.autograd.grad(pair.decoder(pair.encoder(x))[:, place, first].sum(), x)
        rows = gradient.abs().amax((0, 2)).nonzero().flatten()
        farthest = max([farthest, *(rows - place).abs().tolist()])  # a kernel of one pixel can miss all
    assert farthest == field.radius


@pytest.mark.parametrize(
    ("architecture", "shape"),
    [
        (MLP(), (8, 8)),
        (Conv(), (8, 8)),
        (Conv(code="map"), (60,)),
        (TCN(), (16, 3)),
        (Recurrent(), (16, 3)),
        (Attention(), (16, 3)),
        (Conv(code="map", axes=1), (10, 2)),
        (Conv((8,), code="map"), (10, 12)),
        (Conv((8,), code="map"), (12, 10, 3)),
        (Conv((8, 16), code="map"), (28, 28)),
    ],
)
def test_other_architectures_are_not_fully_convolutional(architecture: Any, shape: tuple[int, ...]) -> None:
    assert architecture.receptive_field(shape) is None


# Fully convolutional models


@pytest.mark.parametrize(("down", "up"), list(product(("pool", "stride"), ("resize", "double", "transpose"))))
@pytest.mark.parametrize("color", [(), (3,)])
def test_tiles_have_no_seams(down: Any, up: Any, color: tuple[int, ...]) -> None:
    architecture = Conv(
        (), code="map", down=down, up=up, initialization="normal"
    )  # whose margin is not larger than required
    ae, image = fitted(architecture, (16, 12, *color), likelihood=Normal()), page(75, 51, *color)
    padded = np.pad(image, ((0, 1), (0, 1), *[(0, 0)] * len(color)), "edge")
    whole = ae.architecture_.build(padded.shape, 3, 3, generator())
    for name, part in whole._asdict().items():
        part.load_state_dict(getattr(ae.model_, name).state_dict())
    with torch.no_grad():
        expected = whole.decoder(whole.encoder(torch.from_numpy(padded)[None]))[0, :75, :51].numpy()
    rounding = 1e-5 * expected.std()
    for tile in (5, 31, 64, 1000):
        np.testing.assert_allclose(ae.reconstruct_image(image, tile=tile), expected, atol=rounding, rtol=0)


@pytest.mark.parametrize("bottleneck", [Gaussian(2), TopK(4, k=2)], ids=repr)
def test_the_code_of_each_position_is_its_own(bottleneck: Any) -> None:
    ae, image = fitted(Conv((4,), code="map"), (8, 8), bottleneck), page(40, 33)
    whole = ae.reconstruct_image(image)
    np.testing.assert_allclose(ae.reconstruct_image(image, tile=8), whole, atol=2e-6, rtol=0)


def test_an_image_of_the_size_of_training_is_reconstructed_as_an_example() -> None:
    for architecture in (Conv((4,), code="map"), Conv((4,)), MLP((8,))):
        ae, image = fitted(architecture, (8, 12)), page(8, 12)
        np.testing.assert_allclose(ae.reconstruct_image(image), ae.reconstruct(image[None])[0], atol=1e-6)


@pytest.mark.parametrize("up", ["resize", "double", "transpose"])
@pytest.mark.parametrize("side", [10, 12, 28])
def test_sides_of_training_that_are_no_multiples_of_the_stride(up: Any, side: int) -> None:
    architecture = Conv((4, 4), code="map", up=up, initialization="normal")  # a stride of 8
    ae, image = fitted(architecture, (side, side), likelihood=Normal()), page(side, side)
    np.testing.assert_allclose(ae.reconstruct_image(image), ae.reconstruct(image[None])[0], rtol=1e-5, atol=1e-5)


def test_memory_is_bounded_by_the_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    ae, built, build = fitted(Conv((2,), code="map"), (8, 8)), list[Any](), Conv.build

    def watched(self: Conv, shape: tuple[int, ...], *sizes: Any) -> Any:
        built.append(shape)
        return build(self, shape, *sizes)

    monkeypatch.setattr(Conv, "build", watched)
    field = ae.architecture_.receptive_field((8, 8))
    assert field is not None
    ae.reconstruct_image(page(90, 300), tile=16)
    most = 16 + 2 * math.ceil(field.radius / field.stride) * field.stride
    assert built == [(most, most)]


def test_tiles_are_smaller_where_a_loaded_model_is_allowed_less_memory(tmp_path: Path) -> None:
    ae, image = fitted(Conv((2,), code="map"), (8, 8)), page(300, 200)
    ae.save(tmp_path / "model")
    expected = ae.reconstruct_image(image)
    helps = (
        r"a part of \d+ x \d+ pixels, the least that .*: use a model with fewer layers or channels, or raise the limit"
    )
    with pytest.raises(MemoryLimitError, match=helps):  # not even tiles of a stride
        load(tmp_path / "model", max_memory="20kB").reconstruct_image(image)
    limited = load(tmp_path / "model", max_memory="500kB")
    np.testing.assert_allclose(limited.reconstruct_image(image), expected, atol=2e-6, rtol=0)


def test_results_go_into_a_memory_map(tmp_path: Path) -> None:
    architecture = Conv((2,), code="map", initialization="normal")
    ae = Autoencoder(Identity(2), architecture=architecture, likelihood=Normal(), epochs=1, random_state=0)
    ae.fit(np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8))
    image = np.random.default_rng(1).integers(0, 256, (40, 30), np.uint8)
    out = np.memmap(tmp_path / "out", np.uint8, "w+", shape=(40, 30))
    assert ae.reconstruct_image(image, tile=8, out=out) is out
    made = ae.reconstruct_image(image, tile=8)
    assert made.min() < -1
    assert made.max() > 256
    np.testing.assert_array_equal(out, np.rint(made).clip(0, 255))


# Other models: overlapping patches


@pytest.mark.parametrize("color", [(), (2,)])
def test_patches_are_blended_by_the_distance_from_their_borders(color: tuple[int, ...]) -> None:
    ae, image = fitted(MLP((8,)), (6, 5, *color)), page(17, 14, *color)
    total, weights = np.zeros_like(image), np.zeros((17, 14, *[1] * len(color)), np.float32)
    for row, column in product((0, 3, 6, 9, 11), (0, 2, 4, 6, 8, 9)):
        made = ae.reconstruct(image[None, row : row + 6, column : column + 5])[0]
        for y, x in product(range(6), range(5)):
            weight = min(y + 1, 6 - y) * min(x + 1, 5 - x)
            total[row + y, column + x] += weight * made[y, x]
            weights[row + y, column + x] += weight
    np.testing.assert_allclose(ae.reconstruct_image(image), total / weights, atol=1e-6, rtol=0)


def test_the_tile_does_not_change_blended_patches() -> None:
    ae, image = fitted(MLP((8,)), (6, 5)), page(41, 33)
    whole = ae.reconstruct_image(image)
    for tile in (1, 7, 10, 40):
        np.testing.assert_array_equal(ae.reconstruct_image(image, tile=tile), whole)


def test_a_small_image_is_reconstructed_as_a_part_of_a_patch() -> None:
    ae, image = fitted(MLP((8,)), (6, 5)), page(4, 7)
    assert ae.reconstruct_image(image).shape == (4, 7)
    assert fitted(Conv((2,), code="map"), (8, 8)).reconstruct_image(page(1, 3)).shape == (1, 3)


@pytest.mark.parametrize("choices", [{"scaling": Standard()}, {"likelihood": Multinomial()}])
def test_models_whose_units_or_totals_depend_on_the_position_take_patches(choices: dict[str, Any]) -> None:
    ae = Autoencoder(Identity(2), architecture=Conv((2,), code="map"), epochs=1, random_state=0, kind="images")
    ae.set_params(**choices).fit(np.random.default_rng(0).integers(1, 9, (20, 8, 8)).astype(np.float32))
    image = np.random.default_rng(1).integers(1, 9, (8, 16)).astype(np.float32)
    made = ae.reconstruct_image(image)
    parts = ae.reconstruct(np.stack([image[:, begin : begin + 8] for begin in (0, 4, 8)]))
    np.testing.assert_allclose(made[:, :4], parts[0][:, :4], rtol=1e-5)
    np.testing.assert_allclose(made[:, -4:], parts[2][:, -4:], rtol=1e-5)


# What is refused


@pytest.mark.parametrize(
    ("image", "options", "error"),
    [
        (
            page(9, 9, 3),
            {},
            "the image has shape (9, 9, 3), but this autoencoder reconstructs images of shape (height, width)",
        ),
        (
            page(0, 9),
            {},
            "the image has shape (0, 9), but this autoencoder reconstructs images of shape (height, width)",
        ),
        (np.array([["a"]]), {}, "an image of dtype <U1 has no numbers: give integers or floats"),
        (page(9, 9), {"tile": 0}, "invalid tile=0: expected a positive number of pixels"),
        (page(9, 9), {"out": np.zeros((9, 8))}, "invalid out: expected numbers of the image's shape (9, 9)"),
    ],
)
def test_an_invalid_image_raises_one_sentence(image: Array, options: dict[str, Any], error: str) -> None:
    ae = fitted(MLP((4,)), (8, 8))
    with pytest.raises((DataError, RecordError)) as caught:
        ae.reconstruct_image(image, **options)
    assert str(caught.value) == error


@pytest.mark.parametrize("way", ["the same", "a view", "a tensor", "a file"])
def test_the_result_cannot_replace_the_image_that_it_is_read_from(tmp_path: Path, way: str) -> None:
    image = np.memmap(tmp_path / "page", np.float32, "w+", shape=(20, 20))
    image[:] = page(20, 20)
    given = torch.from_numpy(image) if way == "a tensor" else image[::-1] if way == "a view" else image
    out = np.memmap(tmp_path / "page", np.float32, "r+", shape=(20, 20)) if way == "a file" else image
    with pytest.raises(RecordError, match="invalid out: it shares its memory or file with the image"):
        fitted(Conv((2,), code="map"), (8, 8)).reconstruct_image(given, tile=4, out=out)
    np.testing.assert_array_equal(image, page(20, 20))


def test_the_result_can_be_another_page_of_the_file(tmp_path: Path) -> None:
    pages = np.memmap(tmp_path / "pages", np.float32, "w+", shape=(2, 20, 20))
    pages[0] = page(20, 20)
    ae = fitted(Conv((2,), code="map"), (8, 8))
    ae.reconstruct_image(pages[0], out=pages[1])
    np.testing.assert_array_equal(pages[1], ae.reconstruct_image(page(20, 20)))


def test_an_output_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    ae = fitted(Conv((2,), code="map"), (8, 8))
    (tmp_path / "out").write_bytes(bytes(4 * 81))
    locked = np.memmap(tmp_path / "out", np.float32, "r", shape=(9, 9))
    cases: list[tuple[Any, str]] = [
        ([[0.0] * 9] * 9, "expected a NumPy array of the image's shape"),
        (np.ma.zeros((9, 9)), "expected a NumPy array of the image's shape"),
        (locked, "invalid out: it is read-only; open a memory map with mode 'r\\+' or 'w\\+'"),
    ]
    for out, error in cases:
        with pytest.raises(RecordError, match=error):
            ae.reconstruct_image(page(9, 9), out=out)


def test_an_image_is_an_array_or_a_tensor() -> None:
    ae, image = fitted(Conv((2,), code="map"), (8, 8)), page(9, 9)
    made = ae.reconstruct_image(image)
    np.testing.assert_array_equal(ae.reconstruct_image(torch.from_numpy(image).requires_grad_()), made)
    cases: list[tuple[Any, str]] = [
        (Image.fromarray(random_pixels(9, 9)).convert("P"), "the image is a PIL.Image, and not an array: give"),
        (np.ma.masked_array(image, image < 0.5), "the image is a numpy.MaskedArray, whose mask would be lost: give"),
        (image.tolist(), "the image is a list, and not an array: give a NumPy array \\(height, width\\) or a tensor"),
    ]
    for given, error in cases:
        with pytest.raises(DataError, match=error):
            ae.reconstruct_image(given)


def test_a_pixel_that_is_not_finite_is_named() -> None:
    image = page(700, 9)
    image[650, 7] = np.nan
    with pytest.raises(DataError, match="the pixel in row 650, column 7 is nan: replace it by a number"):
        fitted(Conv((2,), code="map"), (8, 8)).reconstruct_image(image)


@pytest.mark.parametrize("architecture", [Conv((2,), code="map"), MLP((4,))])
@pytest.mark.parametrize(("row", "column"), [(50, 0), (7, 35), (51, 36)])
def test_a_pixel_too_large_to_compute_with_is_named(architecture: Any, row: int, column: int) -> None:
    ae, image = fitted(architecture, (8, 8)), page(52, 37)
    image[row, column] = 1e30
    expected = (
        f"the pixel in row {row}, column {column} is 1e\\+30, too far from the training data .*, or drop the image"
    )
    with pytest.raises(DataError, match=expected):
        ae.reconstruct_image(image, tile=8)


def test_autoencoders_of_other_examples_refuse_an_image() -> None:
    table = Autoencoder(2, epochs=1, random_state=0).fit(page(20, 4))
    with pytest.raises(NotPossibleError, match="requires an autoencoder of images"):
        table.reconstruct_image(page(9, 9))
    for kind, shape in (("windows", (8, 8)), ("series", (16, 3)), ("windows", (8, 8, 4))):
        other = Autoencoder(2, architecture=MLP((4,)), epochs=1, random_state=0, kind=kind).fit(page(20, *shape))
        with pytest.raises(NotPossibleError, match="if they are images, fit with kind='images'"):
            other.reconstruct_image(page(20, *shape[1:]))
    color = Autoencoder(2, architecture=MLP((4,)), epochs=1, random_state=0).fit(page(20, 8, 8, 3))
    assert color.reconstruct_image(page(9, 9, 3)).shape == (9, 9, 3)
    y = np.arange(20) % 2
    labeled = Autoencoder(2, architecture=Conditional(MLP((4,))), epochs=1, random_state=0, kind="images")
    with pytest.raises(NotPossibleError, match="has no y for a conditional autoencoder"):
        labeled.fit(page(20, 8, 8), y).reconstruct_image(page(9, 9))


def test_another_unit_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="divide by 255"):
        fitted(Conv((2,), code="map"), (8, 8)).reconstruct_image(255 * page(20, 20))


# Image files


def copying(path: Path, examples: Array) -> Path:
    """A model file whose reconstructions are the examples themselves: one dense layer each way, the identity."""
    size = examples[0].size
    ae = Autoencoder(size, architecture=MLP(()), likelihood=Normal(), optimizer=Adam(1e-9), epochs=1, random_state=0)
    ae.set_params(kind="images").fit(examples)
    with torch.no_grad():
        for part in (ae.model_.encoder, ae.model_.decoder):
            for weight in part.parameters():
                weight.copy_(torch.eye(size) if weight.ndim == 2 else torch.zeros(size))
    ae.save(path)
    return path


def random_pixels(*shape: int, dtype: Any = np.uint8, state: int = 3) -> Array:
    return np.random.default_rng(state).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    copying(folder / "gray", random_pixels(30, 4, 4))
    copying(folder / "color", random_pixels(30, 4, 4, 3))
    copying(folder / "deep", random_pixels(30, 4, 4, dtype=np.uint16))
    copying(folder / "unit", page(30, 4, 4))
    return folder


def restore(models: Path, name: str, source: Path, out: Path) -> Done:
    return run("reconstruct", str(models / name), str(source), "--out", str(out), cwd=source.parent)


def pixels_of(path: Path) -> Array:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize(
    ("name", "pixels", "ending"),
    [
        ("gray", random_pixels(11, 9), ".png"),
        ("gray", random_pixels(3, 2), ".tif"),
        ("color", random_pixels(11, 9, 3), ".png"),
        ("deep", random_pixels(11, 9, dtype=np.uint16), ".png"),
        ("deep", random_pixels(5, 9, dtype=np.uint16), ".tiff"),
        ("unit", random_pixels(11, 9), ".png"),
        ("unit", random_pixels(11, 9, dtype=np.uint16), ".png"),
    ],
)
def test_an_image_comes_back_with_its_size_and_depth(
    models: Path, tmp_path: Path, name: str, pixels: Array, ending: str
) -> None:
    Image.fromarray(pixels).save(tmp_path / f"page{ending}")
    done = restore(models, name, tmp_path / f"page{ending}", tmp_path / f"clean{ending}")
    assert done.returncode == 0, done.stderr
    found = pixels_of(tmp_path / f"clean{ending}")
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, pixels)
    assert "note: " in done.stdout
    assert "reconstructs images of 4x4" in done.stdout
    assert f"written: {tmp_path}/clean{ending}, {pixels.shape[0]}x{pixels.shape[1]} pixels" in done.stdout


def test_a_rotated_photograph_is_written_upright(models: Path, tmp_path: Path) -> None:
    pixels, exif = random_pixels(11, 8, 3), Image.Exif()
    exif[0x0112] = 6  # the camera was rotated: the first row is the right side
    Image.fromarray(pixels).save(tmp_path / "photo.png", exif=exif)
    done = restore(models, "color", tmp_path / "photo.png", tmp_path / "clean.png")
    np.testing.assert_array_equal(pixels_of(tmp_path / "clean.png"), np.rot90(pixels, -1))
    assert "note: 1 image was rotated to upright by the EXIF orientation" in done.stdout


@pytest.mark.parametrize(
    ("mode", "name", "note"),
    [
        ("P", "color", "1 image was converted from a palette to RGB"),
        ("RGBA", "color", "1 image was put on a white background where transparent"),
        ("RGB", "gray", "1 image was converted from color to gray"),
        ("L", "color", "1 image was converted from gray to color"),
    ],
)
def test_conversions_are_printed(models: Path, tmp_path: Path, mode: str, name: str, note: str) -> None:
    image = Image.fromarray(random_pixels(9, 7, 4)).convert(mode)
    image.save(tmp_path / "page.png")
    done = restore(models, name, tmp_path / "page.png", tmp_path / "clean.png")
    assert f"note: {note}" in done.stdout
    assert pixels_of(tmp_path / "clean.png").shape == ((9, 7, 3) if name == "color" else (9, 7))


@pytest.mark.parametrize(
    ("name", "dtype", "error"),
    [
        ("gray", np.uint16, "page.png has 16 bits, but {} was trained on values from 0 to 255: save it with 8 bits"),
        ("color", np.uint16, "page.png is gray with 16 bits, and color requires 8: save it with 8 bits"),
        ("deep", np.uint8, "page.png has 8 bits, but {} was trained on values from"),
    ],
)
def test_another_depth_is_an_error(models: Path, tmp_path: Path, name: str, dtype: Any, error: str) -> None:
    Image.fromarray(random_pixels(9, 7, dtype=dtype)).save(tmp_path / "page.png")
    done = restore(models, name, tmp_path / "page.png", tmp_path / "clean.png")
    assert done.returncode == 1
    assert error.format(models / name) in done.stderr
    assert not (tmp_path / "clean.png").exists()


def test_a_folder_keeps_its_names(models: Path, tmp_path: Path) -> None:
    sizes = {"a.png": (9, 7), "b/c.bmp": (4, 13), "b/d.tif": (6, 6)}
    for name, size in sizes.items():
        (tmp_path / "scans" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random_pixels(*size)).save(tmp_path / "scans" / name)
    (tmp_path / "scans" / "list.txt").write_text("no image")
    done = restore(models, "gray", tmp_path / "scans", tmp_path / "clean")
    assert done.returncode == 0, done.stderr
    made = sorted(str(path.relative_to(tmp_path / "clean")) for path in (tmp_path / "clean").rglob("*.*"))
    assert made == ["a.png", "b/c.png", "b/d.tif"]
    for name, size in sizes.items():
        found = pixels_of(tmp_path / "clean" / name.replace("bmp", "png"))
        np.testing.assert_array_equal(found, random_pixels(*size))
    assert "note: 1 other entry is not an image and was ignored: list.txt" in done.stdout
    assert "note: 1 image is written as .png instead of the format of the file (c.bmp)" in done.stdout
    assert "written: 3 images in" in done.stdout


def test_nothing_is_overwritten(models: Path, tmp_path: Path) -> None:
    for name in ("scans/a.png", "scans/b.png", "clean/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(random_pixels(9, 7)).save(tmp_path / name)
    before = (tmp_path / "clean" / "b.png").read_bytes()
    for source, out in (("scans", "clean"), ("scans/a.png", "scans/a.png"), ("scans/a.png", "clean/b.png")):
        done = restore(models, "gray", tmp_path / source, tmp_path / out)
        assert done.returncode == 1
        assert "would be overwritten: choose another --out, or remove what is there" in done.stderr
    assert [path.name for path in (tmp_path / "clean").iterdir()] == ["b.png"]
    assert (tmp_path / "clean" / "b.png").read_bytes() == before
    Image.fromarray(random_pixels(9, 7)).save(tmp_path / "scans" / "a.bmp")
    done = restore(models, "gray", tmp_path / "scans", tmp_path / "new")
    assert "would both be written to" in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_damaged_file_is_named_and_writes_nothing(models: Path, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    Image.fromarray(random_pixels(90, 70)).save(tmp_path / "scans" / "a.png")
    Image.fromarray(random_pixels(90, 70)).save(tmp_path / "scans" / "b.png")
    (tmp_path / "scans" / "c.png").write_bytes(b"no image")
    done = restore(models, "gray", tmp_path / "scans", tmp_path / "clean")
    assert done.returncode == 1
    assert "c.png is damaged or not an image" in done.stderr
    assert not (tmp_path / "clean").exists()
    whole = (tmp_path / "scans" / "b.png").read_bytes()
    (tmp_path / "scans" / "c.png").write_bytes(whole[: len(whole) // 2])  # its header is intact
    done = restore(models, "gray", tmp_path / "scans", tmp_path / "clean")
    assert done.returncode == 1
    assert "c.png is damaged" in done.stderr
    assert sorted(path.name for path in (tmp_path / "clean").iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["page.png"], 2, "--out is missing: give the image file to write"),
        (["."], 2, "--out is missing: give the folder to write"),
        (["page.png", "--out", "clean.jpg"], 2, "--out clean.jpg: expected a name that ends in .png or .tif or .tiff"),
        (["page.png", "--out", "no/clean.png"], 1, "--out no/clean.png: there is no folder no; create it first"),
        (["none.png", "--out", "clean.png"], 1, "none.png"),
        (["page.png", "--data", "page.png", "--out", "a.png"], 2, "give one of them"),
        ([".", "--out", "./clean"], 1, "--out clean is in the folder of the images: choose another folder"),
        (["empty", "--out", "clean"], 1, "empty has no images"),
    ],
)
def test_an_invalid_command_is_one_sentence(
    models: Path, tmp_path: Path, words: list[str], code: int, error: str
) -> None:
    Image.fromarray(random_pixels(9, 7)).save(tmp_path / "page.png")
    (tmp_path / "empty").mkdir()
    done = run("reconstruct", str(models / "gray"), *words, cwd=tmp_path)
    assert (done.returncode, error in done.stderr) == (code, True), done.stderr
    assert not list(tmp_path.glob("clean*"))


# Training on patches of images of any size


SIZES = [(8, 8), (17, 9), (9, 20), (16, 16)]


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """Clean pages of several sizes, whose brightness changes evenly, and dirty ones: the same with noise."""
    rng = np.random.default_rng(0)
    for folder in ("clean", "dirty"):
        (tmp_path / folder).mkdir()
    for number, size in enumerate(SIZES * 3):
        clean = rng.uniform(60, 120) + np.outer(rng.uniform(0, 4) * np.arange(size[0]), np.ones(size[1]))
        for name, values in (("clean", clean), ("dirty", clean + rng.normal(0, 30, size))):
            Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(tmp_path / name / f"{number:02}.png")
    return tmp_path


def test_patches_cover_every_image(pages: Path) -> None:
    found = data.read(pages / "clean", patches=8)
    assert found.ids is not None
    assert found.groups is not None
    images = {path.name: pixels_of(path) for path in (pages / "clean").iterdir()}
    covered = {name: np.zeros(image.shape, bool) for name, image in images.items()}
    for patch, name, group in zip(found.train, found.ids, found.groups, strict=True):
        file, _, place = str(name).partition(" patch ")
        row, column = map(int, place.split(","))
        np.testing.assert_array_equal(patch, images[file][row : row + 8, column : column + 8])
        covered[file][row : row + 8, column : column + 8] = True
        assert group == file
    assert all(each.all() for each in covered.values())
    assert len(found.train) == 3 * (1 + 3 * 2 + 2 * 3 + 4)
    assert len(set(found.ids.tolist())) == len(found.train)
    assert (
        "12 images were cut into 51 patches of 8x8 pixels; a split keeps the patches of an image in one part"
        in found.notes
    )


def test_a_split_keeps_the_patches_of_an_image_together(pages: Path) -> None:
    found = data.read(pages / "dirty", patches=8)
    assert found.ids is not None
    part = split(found, "error")
    held, trained = ({str(n).split()[0] for n in found.ids[rows]} for rows in (part.test_rows, part.train_rows))
    assert held
    assert not held & trained


def test_patches_of_a_single_image_are_a_note(pages: Path) -> None:
    found = data.read(pages / "clean" / "03.png", patches=8)
    assert found.groups is None
    assert len(found.train) == 4
    assert any("patches of one image are trained on and held out" in note for note in found.notes)


def test_pairs_are_cut_alike(pages: Path) -> None:
    source = DataSource(str(pages / "dirty"), ReadOptions(patches=8), target=str(pages / "clean"))
    found = source.read()
    assert found.target is not None
    clean = data.read(pages / "clean", patches=8)
    np.testing.assert_array_equal(found.target, clean.train)
    assert "51 training patches are paired with those of clean by their paths in the folder" in found.notes
    rotated = pixels_of(pages / "clean" / "01.png").T
    Image.fromarray(rotated).save(pages / "clean" / "01.png")  # as many patches
    with pytest.raises(DataError, match="clean has no counterpart of 01 patch"):
        source.read()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"patches": 9}, "00.png has 8x8 pixels, and patches have 9x9: choose smaller patches, or remove the image"),
        ({"patches": 8, "pages": "volume"}, "the pages of a file cannot be cut into patches with pages='volume'"),
        ({}, "or patches of one size with --patches 8"),
    ],
)
def test_patches_that_do_not_fit_are_an_error(pages: Path, options: dict[str, Any], error: str) -> None:
    with pytest.raises(DataError, match=error):
        data.read(pages / "clean", **options)


def test_from_pages_of_any_size_to_a_clean_page(pages: Path) -> None:
    words = [
        "architecture=Conv",
        "architecture.code=map",
        "architecture.channels=4",
        "bottleneck.size=6",
        "epochs=20",
        "optimizer.lr=0.01",
    ]
    read = ["--data", "dirty", "--target", "clean", "--patches", "8"]
    done = run("train", "convolutional", *words, *read, "--out", "run", cwd=pages)
    assert done.returncode == 0, done.stderr
    assert "held out by image: " in done.stdout
    clean = 80 + 2 * np.arange(33)[:, None] * np.ones(45)
    dirty = (clean + np.random.default_rng(5).normal(0, 30, clean.shape)).clip(0, 255).astype(np.uint8)
    Image.fromarray(dirty).save(pages / "page.png")
    done = run("reconstruct", "run", "page.png", "--out", "restored.png", cwd=pages)
    assert done.returncode == 0, done.stderr
    assert "note: run is fully convolutional: images are reconstructed in tiles" in done.stdout
    restored = pixels_of(pages / "restored.png").astype(float)
    assert np.square(restored - clean).mean() < 0.5 * np.square(dirty - clean).mean()
    np.testing.assert_array_equal(restored, np.rint(load(pages / "run").reconstruct_image(dirty, tile=16)).clip(0, 255))
    assert run("evaluate", "run", cwd=pages).returncode == 0
