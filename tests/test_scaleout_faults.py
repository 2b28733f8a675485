"""Faults while many files are read: each row is in the results once, or a sentence names it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from test_cli import run
from test_scaleout import FILES, ROWS, Here, bulk, codes_of, expected_codes, table, union
from test_scaleout import inputs as inputs  # a fixture
from test_scaleout import models as models  # a fixture

from isthmus import errors
from isthmus.data.options import ReadOptions
from isthmus.io.memory_limit import get_memory_limit, set_memory_limit
from isthmus.scaleout.driver import files_of, finished, prepare
from isthmus.scaleout.local import LocalEngine
from isthmus.scaleout.opening import job_of
from isthmus.scaleout.worker import Opening, opening_of


def test_a_memory_limit_is_that_of_the_workers_too(models: Path, inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = prepare(
        job_of("encode", models / "ae.safetensors", out, ReadOptions(), runtime="torch").job, files_of(inputs, out)
    )
    try:
        set_memory_limit(40)  # bytes: less than a row
        text = opening_of(plan.job, plan.base)
        set_memory_limit(None)
        Opening(text)
        assert get_memory_limit() == 40
        result = finished(plan, Here(), print, quiet=True)
        assert {failure.error.partition(" of memory")[0] for failure in result.failures} == {
            f"one row of part-{number}.parquet would take about 96 bytes" for number in range(FILES)
        }
        set_memory_limit("100kB")
        assert finished(plan, Here(), print, quiet=True).complete
    finally:
        set_memory_limit(None)
    np.testing.assert_array_equal(codes_of(union(out)), expected_codes(models))


@pytest.mark.thorough
def test_a_memory_limit_holds_in_processes(models: Path, inputs: Path, tmp_path: Path) -> None:
    plan = prepare(
        job_of("encode", models / "ae.safetensors", tmp_path / "out", ReadOptions(), runtime="torch").job,
        files_of(inputs, tmp_path / "out"),
    )
    set_memory_limit(40)
    try:
        result = finished(plan, LocalEngine(1), print, quiet=True)
    finally:
        set_memory_limit(None)
    assert len(result.failures) == FILES
    assert "40 bytes are allowed" in result.failures[0].error
