"""isthmus.runtime, with the folder that the variable EXPORTED names: exported models, without PyTorch."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from common import Timer, Uses, Work, main

import isthmus.runtime


def train(_: Work, __: Timer) -> float:
    """It does not train."""
    raise NotImplementedError


def uses(_: Work) -> Uses:
    """What an exported model is used for."""
    model = isthmus.runtime.load(Path(os.environ["EXPORTED"]) / sys.argv[1])
    return {"encode": model.encode, "reconstruct": model.reconstruct, "score": model.score_samples}


if __name__ == "__main__":
    main(train, uses)
