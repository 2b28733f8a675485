"""Trains CTGAN or TVAE of the package ctgan with default settings on a table, and writes new rows.

python ctgan_peer.py TVAE rows.csv new.csv 1000 0 column,column: kind, training rows, new rows, their number, random state, categories.
Prints seconds of processor time, imports excluded.
"""

from __future__ import annotations

import json
import random
import sys
import time
import warnings

import ctgan
import numpy as np
import pandas as pd
import torch


def main(kind: str, given: str, made: str, count: str, state: str, categories: str) -> None:
    """Trains, samples, writes, prints."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    random.seed(int(state))
    np.random.seed(int(state))  # noqa: NPY002  # ctgan draws from the global generator
    torch.manual_seed(int(state))
    names = [name for name in categories.split(",") if name]
    rows = pd.read_csv(given, dtype=dict.fromkeys(names, str), keep_default_na=False)
    began = time.process_time()
    model = getattr(ctgan, kind)(enable_gpu=False)
    model.fit(rows, names)
    new = model.sample(int(count))
    seconds = time.process_time() - began
    new.to_csv(made, index=False)
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
