"""Model files of older formats have the old names of records, fields and parameters; they load as what they meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_files import parts, put

import isthmus
from isthmus import OutlierDetector, load
from isthmus.bottlenecks import VectorQuantized
from isthmus.compression import decompress
from isthmus.corruptions import Clean, GaussianNoise, Masking, Occlusion, SaltAndPepper
from isthmus.errors import ModelFileError
from isthmus.estimators.format_upgrades import FORMAT
from isthmus.optimizers import SGD, Adadelta, Adam, AdamW, RMSprop
from isthmus.penalties import NoPenalty
from isthmus.records import Record, describe
from isthmus.scaling import NoScaling, UInt8

FILES = Path(__file__).parent / "files"

OLD: list[tuple[str, dict[str, Any], Record]] = [  # the parameter, what format 4 said, what it means
    ("corruption", {"type": "Clean", "once": True}, Clean(fixed=True)),
    (
        "corruption",
        {"type": "Noise", "scale": 0.25, "clip": True, "once": True},
        GaussianNoise(0.25, clip=True, fixed=True),
    ),
    ("corruption", {"type": "Mask", "rate": 0.75, "value": 2.0, "once": False}, Masking(0.75, value=2.0)),
    (
        "corruption",
        {"type": "SaltAndPepper", "rate": 0.5, "low": -1.0, "high": 2.0, "once": True},
        SaltAndPepper(0.5, low=-1.0, high=2.0, fixed=True),
    ),
    (
        "corruption",
        {"type": "Occlude", "given": 0.25, "keep": "around", "value": 1.0, "once": False},
        Occlusion(0.25, keep="around", value=1.0),
    ),
    ("scaling", {"type": "Bytes"}, UInt8()),
    ("scaling", {"type": "Unscaled"}, NoScaling()),
    (
        "bottleneck",
        {"type": "VectorQuantized", "size": 4, "entries": 9, "commitment": 0.5, "decay": 0.9, "revive": 0.25},
        VectorQuantized(4, codebook_size=9, commitment=0.5, decay=0.9, dead_threshold=0.25),
    ),
    *(
        ("optimizer", {**describe(record), "per": "feature", "type": type(record).__name__}, record)
        for record in (cls(0.125, loss_reduction="feature") for cls in (Adam, AdamW, Adadelta, RMSprop, SGD))
    ),
]
for _, entry, _ in OLD:
    entry.pop("loss_reduction", None)


@pytest.mark.parametrize(("name", "old", "meant"), OLD, ids=lambda value: getattr(value, "get", lambda _: "")("type"))
def test_records_of_format_4_are_converted(name: str, old: dict[str, Any], meant: Record, tmp_path: Path) -> None:
    header, tensors = parts(FILES / "format-4-table.safetensors")
    header["parameters"][name] = old
    ae = load(put(tmp_path / "x", header, tensors))
    assert ae.get_params(deep=False)[name] == meant
    ae.save(tmp_path / "y")
    now, _ = parts(tmp_path / "y")
    assert (now["format"], now["parameters"][name]) == (FORMAT, json.loads(json.dumps(describe(meant))))


def test_parameters_of_format_4_are_converted(tmp_path: Path) -> None:
    header, tensors = parts(FILES / "format-4-detector.safetensors")
    header["detector"]["parameters"]["measure"] = "combined"
    header["detector"]["autoencoder"] = {
        "bottleneck": {"type": "Identity", "size": 2, "activation": "linear"},
        "missing": "mask",
    }
    detector = load(put(tmp_path / "x", header, tensors))
    assert isinstance(detector, OutlierDetector)
    assert detector.anomaly_score == "combined"
    assert detector.autoencoder.missing == "allow"
    assert load(FILES / "format-4-missing.safetensors").missing == "allow"
    assert load(FILES / "format-4-table.safetensors").missing == "error"


@pytest.mark.parametrize("version", [2, 3, 4])
def test_an_older_format_has_no_newer_names(version: int, tmp_path: Path) -> None:
    header, tensors = parts(FILES / f"format-{version}-table.safetensors")
    header["parameters"]["corruption"] = describe(GaussianNoise(0.5))
    with pytest.raises(ModelFileError, match="format 4 has no record GaussianNoise"):
        load(put(tmp_path / "x", header, tensors))


@pytest.mark.parametrize("part", ["parameters", "fitted"])
def test_format_5_has_no_penalty(part: str, tmp_path: Path) -> None:
    header, tensors = parts(FILES / "format-5-table.safetensors")
    assert load(put(tmp_path / "old", header, tensors)).penalty_ == NoPenalty()
    header[part]["penalty"] = describe(NoPenalty())
    with pytest.raises(ModelFileError, match=r"format 5 has no (parameter|component) penalty"):
        load(put(tmp_path / "x", header, tensors))


@pytest.mark.parametrize("value", ["allow", "error"])
def test_an_older_format_has_no_newer_values(value: str, tmp_path: Path) -> None:
    header, tensors = parts(FILES / "format-4-table.safetensors")
    header["parameters"]["missing"] = value
    with pytest.raises(ModelFileError, match=f"format 4 has no missing={value}"):
        load(put(tmp_path / "x", header, tensors))


def test_the_newest_format_has_no_older_names(tmp_path: Path) -> None:
    header, tensors = parts(FILES / f"format-{FORMAT}-table.safetensors")
    header["parameters"]["corruption"] = {"type": "Noise", "scale": 0.5, "clip": False, "once": False}
    with pytest.raises(ModelFileError, match="no record 'Noise'; did you mean GaussianNoise"):
        load(put(tmp_path / "x", header, tensors))


@pytest.mark.parametrize(("version", "newer"), [("9999.0.0", True), ("0.0.1", False), ("0.3.0.dev1", False)])
def test_a_component_of_a_newer_version_is_not_called_damage(version: str, newer: bool, tmp_path: Path) -> None:
    header, tensors = parts(FILES / f"format-{FORMAT}-table.safetensors")
    header["fitted"]["bottleneck"] = {"type": "Bounded", "size": 2}
    header["version"] = version
    with pytest.raises(ModelFileError, match="no record 'Bounded'") as error:
        load(put(tmp_path / "x", header, tensors))
    said = f"isthmus {version} wrote it and this is {isthmus.__version__}: install a newer isthmus"
    assert (said in str(error.value)) is newer


def test_a_newer_format_says_once_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header, tensors = parts(FILES / f"format-{FORMAT}-table.safetensors")
    header |= {"format": FORMAT + 1, "version": "9999.0.0"}
    monkeypatch.setattr("isthmus.estimators.model_file.__version__", "0.4.0rc1")
    with pytest.raises(ModelFileError, match="install a newer isthmus") as error:
        load(put(tmp_path / "x", header, tensors))
    assert str(error.value).count("install a newer isthmus") == 1


@pytest.mark.parametrize("name", ["table", "quantized"])
def test_a_file_compressed_by_a_model_of_format_4_is_decompressed(name: str) -> None:
    """What names the model in a compressed file does not depend on what its records are called."""
    table = np.sin(np.arange(60)[:, None] * np.array([0.1, 0.7, 1.3, 2.9, 0.01, 5.1])).astype(np.float32)
    for version in (4, FORMAT):
        ae = load(FILES / f"format-{version}-{name}.safetensors")
        restored = decompress(ae, FILES / f"format-4-{name}.compressed")
        assert np.square(restored - table).mean() < 0.46  # the variance is 0.5
