"""Writes an exported detector, and what it gives, which every later runtime has to give too: python tests/files/write_export.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from isthmus import Autoencoder, OutlierDetector
from isthmus.architectures import MLP

HERE = Path(__file__).parent / "exported-1"


def columns() -> dict[str, Any]:
    """A table with gaps that no library's generator has a hand in: numbers, whole numbers, text, booleans and dates."""
    rows = np.arange(60)
    x, n = np.sin(rows * 0.3), (rows % 7).astype(np.float64)
    x[rows % 11 == 3], n[rows % 13 == 5] = np.nan, np.nan
    kind = np.array(["left", "right", "up"], dtype=object)[rows % 3]
    kind[rows % 17 == 2] = None
    day = (np.datetime64("2020-01-01") + rows * 37).astype("datetime64[us]")
    return {"x": x, "n": n, "kind": kind, "big": rows % 5 > 1, "day": day}


def main() -> None:
    """Writes it."""
    types = {"n": pyarrow.int64()}
    table = pyarrow.table(
        {name: pyarrow.array(values, types.get(name), from_pandas=True) for name, values in columns().items()}
    )
    kinds = {"kind": "category", "big": "boolean", "day": "date"}
    ae = Autoencoder(2, kinds=kinds, architecture=MLP((8,)), missing="allow", epochs=20, batch_size=16, random_state=0)
    detector = OutlierDetector(ae, random_state=0, false_alarm_rate=0.2).fit(table)
    detector.export(HERE, X=table)
    live, complete = detector.autoencoder_, detector.autoencoder_.impute(table)
    np.savez(
        HERE.with_suffix(".npz"),
        codes=live.encode(table),
        scores=live.score_samples(table),
        detected=detector.score_samples(table),
        p_values=detector.p_values(table),
        anomalous=detector.predict(table) == -1,
        x=complete["x"].to_numpy(),
        n=complete["n"].to_numpy(),
        kind=np.array(complete["kind"].to_pylist()),
        day=complete["day"].to_numpy().astype("datetime64[us]"),
    )


if __name__ == "__main__":
    main()
