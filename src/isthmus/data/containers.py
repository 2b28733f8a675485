"""Extraction of the array and the column names from arrays, tensors, frames and lists. Other objects raise an error that helps.

No library is imported that the object does not come from.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.data.array_likes import array_like_rows
from isthmus.data.context_array import without_subclass
from isthmus.data.labels import is_a
from isthmus.data.lazy_rows import LazyRows
from isthmus.data.sparse_rows import from_scipy, is_sparse
from isthmus.errors import DataError, IsthmusWarning

__all__ = ["Unwrapped", "check_unique_names", "column_names", "is_annotated", "sklearn_frame", "unwrapped"]

Array = npt.NDArray[Any]

_LISTED = 10  # names in a message
_FEW = 10  # a list of fewer arrays may hold parts of the examples; in a longer list each array is one example
_CALLER = 7  # stack frames from a warning to the caller of fit
_ARROW = ("Table", "RecordBatch")
_FRAMES = {"pandas", "polars", "pyarrow"}  # whose columns may have any name


class Unwrapped(NamedTuple):
    """The values, and the column names if there are any."""

    values: Array
    columns: tuple[str, ...] | None = None


def unwrapped(X: Any, shape: tuple[int, ...] | None = None) -> Unwrapped:
    """Extracts the array from X.

    Args:
        X: an array, a tensor, a frame, or nested lists.
        shape: the shape of an example if it is known. A pair of arrays of this shape is two examples; otherwise it is ambiguous.

    Raises:
        DataError: X is a sparse tensor, holds arrays of different shapes, or is not an array, tensor, frame or list.
    """
    if isinstance(X, LazyRows) or is_sparse(X):
        rows: Any = X if isinstance(X, LazyRows) else from_scipy(X)
        return Unwrapped(rows)
    if is_a(X, "torch", "Tensor"):
        return Unwrapped(_from_torch(X))
    if is_a(X, "polars", "LazyFrame"):
        raise DataError("X is a lazy polars frame: call X.collect() first")
    if (columns := column_names(X)) is not None:
        check_unique_names(columns)
        return Unwrapped(unwrapped(X.X).values, columns) if is_annotated(X) else _from_frame(X, columns)
    if isinstance(X, list | tuple) and X and all(isinstance(each, np.ma.MaskedArray) for each in X):
        _reject_several(X, shape)
        X = np.ma.stack(X) if len({each.shape for each in X}) == 1 else X  # np.asarray would drop the masks
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        return Unwrapped(np.ma.filled(X.astype(np.float64), np.nan))
    if isinstance(X, np.memmap):
        return Unwrapped(X)
    if not isinstance(X, np.ndarray) and (rows := array_like_rows(X)) is not None:
        return Unwrapped(rows)
    if not isinstance(X, np.ndarray):
        _reject_other_objects(X, shape)
    try:
        return Unwrapped(without_subclass(X))
    except (ValueError, TypeError) as error:
        if not isinstance(X, list | tuple):
            raise DataError(f"X is a {_name(X)} that gives no array ({error}): pass a numeric array") from error
        pairs = all(isinstance(each, list | tuple) and len(each) == 2 for each in X)
        how = "pass the examples alone, without labels, and give each" if pairs else "give every example"
        raise DataError(f"X is a {_name(X)} of examples of different shapes: {how} the same shape") from error


def column_names(X: Any) -> tuple[str, ...] | None:
    """The column names of a frame or an AnnData as text; None for others. Names that are numbers become text, to detect a new order."""
    if is_a(X, "pandas", "DataFrame"):
        return tuple(
            "/".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in X.columns.to_flat_index()
        )
    if is_a(X, "polars", "DataFrame"):
        return tuple(X.columns)
    if is_a(X, "pyarrow", *_ARROW):
        return tuple(X.schema.names)
    return tuple(map(str, X.var_names)) if is_annotated(X) else None


def is_annotated(X: Any) -> bool:
    """Whether X is an AnnData object: a matrix X with names of its rows and columns."""
    library = type(X).__module__.partition(".")[0]
    return library not in _FRAMES and all(hasattr(X, name) for name in ("X", "obs", "obs_names", "var_names"))


def check_unique_names(columns: tuple[str, ...]) -> None:
    """Raises `DataError` if a name occurs twice."""
    seen = set[str]()
    for name in columns:
        if name in seen:
            raise DataError(f"X has two columns with the name {name!r}: rename or drop one of them")
        seen.add(name)


def sklearn_frame(X: Any, columns: tuple[str, ...]) -> Any:
    """A frame with the column names as text, for scikit-learn's check of feature names; other objects are returned unchanged."""
    if is_a(X, "pandas", "DataFrame"):
        return X.iloc[:0].set_axis(list(columns), axis=1)
    if is_a(X, "pyarrow", "RecordBatch"):  # scikit-learn does not recognize it as a frame
        import pyarrow

        return pyarrow.Table.from_batches([X.slice(0, 0)])
    return X.obs.iloc[:0].reindex(columns=list(columns)) if is_annotated(X) else X


def _from_frame(X: Any, columns: tuple[str, ...]) -> Unwrapped:
    """A frame whose columns are numbers; `tables.frame_features` takes others."""
    if is_a(X, "pandas", "DataFrame"):
        values = _dense(X).to_numpy()
        if values.dtype == object and all(dtype.kind in "biuf" for dtype in X.dtypes):
            values = X.to_numpy(dtype=np.float64, na_value=np.nan)
        return Unwrapped(values, columns)
    if is_a(X, "polars", "DataFrame"):
        return Unwrapped(X.to_numpy(), columns)
    parts = [np.asarray(column.to_numpy(**_COPY if is_a(column, "pyarrow", "Array") else {})) for column in X.columns]
    if any(part.dtype.kind not in "biuf" for part in parts):
        parts = [np.asarray(column.to_pylist(), dtype=object) for column in X.columns]
    return Unwrapped(np.column_stack(parts) if parts else np.empty((len(X), 0)), columns)


_COPY = {"zero_copy_only": False}


def _dense(frame: Any) -> Any:
    """A pandas frame with sparse columns as dense ones."""
    sparse = [str(dtype).startswith("Sparse[") for dtype in frame.dtypes]
    if not any(sparse):
        return frame
    import pandas

    columns = zip(sparse, frame.items(), strict=True)
    return pandas.concat(
        [column.astype(column.dtype.subtype) if each else column for each, (_, column) in columns], axis=1
    )


def _from_torch(tensor: Any) -> Array:
    if str(tensor.layout) != "torch.strided":
        raise DataError(
            "X is a sparse tensor: pass X.to_dense(), or a scipy.sparse.csr_array, which becomes dense batch by batch"
        )
    try:
        if tensor.is_floating_point() and tensor.element_size() < 4:  # NumPy has no bfloat16
            tensor = tensor.float()
        return np.asarray(tensor.numpy(force=True))
    except (RuntimeError, TypeError) as error:  # on "meta", quantized, nested, or within a transform of torch.func
        kind = "on 'meta', which has no values" if tensor.device.type == "meta" else "whose values cannot be read"
        raise DataError(f"X is a tensor {kind}: pass a dense tensor, such as torch.tensor([[0.5, 1.0]])") from error


def _reject_other_objects(X: Any, shape: tuple[int, ...] | None) -> None:
    """Raises an error for objects of which np.asarray would make an array of something other than examples."""
    name = f"X is a {_name(X)}"
    if is_a(X, "torch.utils.data", "Dataset", "DataLoader"):
        if is_a(X, "torch.utils.data", "TensorDataset"):
            how = "X.tensors[0]"
        else:
            join = "cat" if is_a(X, "torch.utils.data", "DataLoader") else "stack"
            how = f"torch.{join}([x for x, label in X]) if it has labels, torch.{join}(list(X)) if it has none"
        raise DataError(f"{name}: pass its examples as one tensor, {how}")
    if isinstance(X, str | os.PathLike):
        raise DataError(f"{name}, not examples: read a file with isthmus.data.read(X).train")
    if isinstance(X, Mapping):
        names = ", ".join(repr(str(key)) for key in list(X)[:_LISTED]) + (", ..." if len(X) > _LISTED else "")
        raise DataError(f"{name} that holds {names or 'nothing'}: pass the array of the examples alone, X[name]")
    if isinstance(X, set | frozenset) or (
        isinstance(X, Iterable) and not hasattr(X, "__len__") and not hasattr(X, "__array__")
    ):
        raise DataError(f"{name}, which has no order or no length: pass an array or a list of examples")
    if isinstance(X, list | tuple) and X:
        _reject_several(X, shape)


def _reject_several(X: Sequence[Any], shape: tuple[int, ...] | None) -> None:
    """Raises an error if a list holds several sets of examples, or examples and their labels. Warns if it may do so."""
    if any(column_names(each) is not None for each in X):
        raise DataError(f"X is a {_name(X)} that holds data frames: pass one frame, of the examples alone")
    arrays = [hasattr(each, "shape") and hasattr(each, "dtype") for each in X[:_FEW]]
    if (len(X) > 2 or shape is not None) and all(map(_is_column, X)):
        _warn_of_columns(X)
        return
    if len(X) != 2 or not any(arrays):
        if len(X) > 2 and shape is None and all(arrays):
            _warn_of_parts(X)
        return
    try:
        first, second = (tuple(each.shape) if hasattr(each, "shape") else np.shape(each) for each in X)
    except ValueError:  # a nested list of different lengths has no shape
        return
    if first == second and first == shape:
        return  # two examples
    what = f"X is a {_name(X)} of two arrays, of shapes {first} and {second}"
    if first == second and len(first) == 1 and first[0] > 2 and shape is None:
        either = "np.stack(X) if each is one example, np.column_stack(X) if each is one column of all"
        if isinstance(X, tuple) and all(arrays):
            raise DataError(f"{what}: pass {either}; labels are not examples")
        if all(arrays):
            warnings.warn(f"{what}: each is used as one example; pass {either}", IsthmusWarning, stacklevel=_CALLER)
        return
    if first == second and len(first) < 2:
        return
    if first == second:
        raise DataError(
            f"{what}: pass the examples alone, X[0]; or np.stack(X) if each is one example, np.concatenate(X) if both hold some"
        )
    raise DataError(f"{what}: pass the examples alone, X[0], without labels or a second part")


def _warn_of_parts(X: Sequence[Any]) -> None:
    """Warns if each of a few arrays with many rows is used as one example, but may be a part of the examples."""
    shapes = {tuple(each.shape) for each in X[:_FEW]}
    first = next(iter(shapes))
    if len(shapes) > 1 or len(X) >= _FEW or not first or len(X) >= first[0] or _is_image(X[0]):
        return
    if len(first) == 1:
        _warn_of_columns(X)
        return
    warnings.warn(
        f"X is a {_name(X)} of {len(X)} arrays of shape {first}: each is used as one example; pass np.stack(X) if that is right, "
        "np.concatenate(X) if each holds some",
        IsthmusWarning,
        stacklevel=_CALLER,
    )


def _is_column(values: Any) -> bool:
    """Whether a series of pandas or polars may be a column. The index of a row has the column names, which are text."""
    if is_a(values, "polars", "Series"):
        return True
    return is_a(values, "pandas", "Series") and values.index.dtype.kind not in "OUST"


def _warn_of_columns(X: Sequence[Any]) -> None:
    """Warns if each of a few arrays (k,) is used as one example, but may be a column of all examples."""
    shapes = {tuple(each.shape) for each in X}
    first = next(iter(shapes))
    either = "np.stack(X) if each is one example, np.column_stack(X) if each is one column of all"
    if len(shapes) > 1 or len(first) != 1 or len(X) >= first[0]:
        return
    what = f"X is a {_name(X)} of {len(X)} arrays of shape {first}"
    warnings.warn(f"{what}: each is used as one example; pass {either}", IsthmusWarning, stacklevel=_CALLER)


def _is_image(values: Any) -> bool:
    """Whether an array has the form of an image: uint8 (h, w), or (h, w, channels) with at most 4 channels."""
    bytes_ = str(values.dtype).removeprefix("torch.") == "uint8"
    return bytes_ and (values.ndim == 2 or (values.ndim == 3 and values.shape[-1] <= 4))


def _name(X: Any) -> str:
    return type(X).__name__
