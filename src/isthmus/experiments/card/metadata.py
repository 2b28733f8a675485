"""The metadata header of a model card, in YAML: what the Hugging Face hub reads."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from isthmus.experiments.card.facts import Facts
from isthmus.text import printable

__all__ = ["header", "tags"]

_PLAIN = re.compile(
    r"[a-z][a-z0-9]*(-[a-z0-9]+)+|isthmus|autoencoder|onnx|images|mse|psnr|ssim"
)  # never a number or yes
_METRICS = {  # the field of `Errors`, and its unit
    "mse": "mean squared error, squared units of the data",
    "mse_scaled": "mean squared error of scaled features",
    "column_error": "error by column, 0 is perfect and 1 no better than a constant",
    "explained_variance": "explained variance",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "snr": "signal-to-noise ratio, dB",
}


def header(facts: Facts, exported: bool) -> str:
    """The header between two lines of dashes.

    Args:
        facts: what is known.
        exported: whether there are ONNX files too.
    """
    pipeline, results = _pipeline(facts), _results(facts)
    values: dict[str, Any] = {} if facts.license is None else {"license": facts.license}
    values |= {"library_name": "isthmus"}
    values |= {} if pipeline is None else {"pipeline_tag": pipeline}
    values["tags"] = tags(facts, exported)
    if results:
        values["metrics"] = sorted({metric["type"] for metric in results})
        task = {"type": pipeline or "reconstruction", "name": "reconstruction of held-out examples"}
        data = {"type": _slug(facts.data_name), "name": facts.data_name}
        result = {"task": task, "dataset": data, "metrics": results}
        values["model-index"] = [{"name": facts.title, "results": [result]}]
    return "\n".join(["---", *_lines(values), "---"])


def tags(facts: Facts, exported: bool) -> list[str]:
    """Words by which others find the model: what it is, and of what data."""
    bottleneck = facts.ae.bottleneck_
    found = ["autoencoder"]
    found += ["variational-autoencoder"] if bottleneck.has_prior and bottleneck.stochastic else []
    found += ["sparse-autoencoder"] if bottleneck.sparse else []
    found += ["anomaly-detection"] if hasattr(facts.estimator, "false_alarm_rate") else []
    kind = {"table": "tabular-data", "images": "images", "series": "time-series"}
    found += [kind[facts.ae.kind_]] if facts.ae.kind_ in kind else []
    return found + (["onnx"] if exported else [])


def _pipeline(facts: Facts) -> str | None:
    """The task of the hub that fits; None: there is none for tables and series."""
    if facts.ae.kind_ != "images" or not facts.is_autoencoder:
        return None
    target = facts.source is not None and facts.source.target is not None
    return "image-to-image" if target else "image-feature-extraction"


def _results(facts: Facts) -> list[dict[str, Any]]:
    """The measured errors of the autoencoder. Those of baselines are no results of this model, and are in the text alone."""
    if facts.evaluated is None:
        return []
    values = {name: getattr(facts.evaluated.figures.errors, name) for name in _METRICS}
    return [
        {"type": name, "value": float(value), "name": _METRICS[name]}
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    ]


def _slug(name: str) -> str:
    """A name in the letters of an identifier."""
    return re.sub(r"[^a-z0-9._]+", "-", name.lower()).strip("-.") or "data"


def _lines(values: Mapping[str, Any], indent: str = "") -> list[str]:
    """A mapping as lines of YAML."""
    lines = list[str]()
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        elif isinstance(value, str | float):
            lines.append(f"{indent}{name}: {_scalar(value)}")
        else:
            lines += [f"{indent}{name}:", *_items(value, indent)]
    return lines


def _items(values: Sequence[Any], indent: str) -> list[str]:
    """The lines of a list."""
    lines = list[str]()
    for value in values:
        inner = _lines(value, indent + "  ") if isinstance(value, Mapping) else [f"{indent}  {_scalar(value)}"]
        lines += [f"{indent}- {inner[0].removeprefix(indent + '  ')}", *inner[1:]]
    return lines


def _scalar(value: str | float) -> str:
    """A word as it stands, other text as a string of JSON, which YAML reads too; a number so that it is none of text."""
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else json.dumps(printable(value), ensure_ascii=False)
    mantissa, e, exponent = repr(value).partition("e")
    return mantissa + (".0" if e and "." not in mantissa else "") + e + exponent
