"""pyarrow, which splits text into cells and reads Parquet. It is imported when the first table is read."""

from __future__ import annotations

from typing import Any

__all__ = ["pyarrow"]


def pyarrow() -> Any:
    """The module `pyarrow`, with those parts of it that tables need.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
    """
    try:
        import pyarrow as library
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.parquet
    except ModuleNotFoundError as error:  # other errors of the import, such as too little memory, stay
        raise ModuleNotFoundError("reading tables needs pyarrow: pip install pyarrow") from error
    return library
