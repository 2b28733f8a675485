"""pyarrow, which splits text into cells and reads Parquet; it is loaded when the first table is read."""

from __future__ import annotations

from typing import Any

__all__ = ["pyarrow"]


def pyarrow() -> Any:
    """The library.

    Raises:
        ModuleNotFoundError: it is not there; the sentence says how to get it.
    """
    try:
        import pyarrow as library
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.parquet
    except ModuleNotFoundError as error:  # what is there and cannot be loaded, for want of memory, says so itself
        raise ModuleNotFoundError("reading tables needs pyarrow: pip install pyarrow") from error
    return library
