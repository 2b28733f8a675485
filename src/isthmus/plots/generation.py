# ruff: noqa: ARG001  (every picture takes ae, X and y, so that one command draws any of them)
"""What the decoder makes of codes that no example has."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from isthmus.errors import DataError, NotPossibleError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.latent_density import ROWS
from isthmus.plots.grids import Array, ImageShape, as_pictures, first, grid, limits, pictured

__all__ = ["manifold", "samples"]

LOOKED_AT = 1000  # examples that say what is black and what white
REACH = (0.05, 0.95)  # quantiles at which the manifold's grid ends


@takes_autoencoder
def samples(
    ae: Autoencoder,
    X: Any = None,
    y: Any = None,
    *,
    rows: int = 8,
    columns: int = 8,
    method: Literal["auto", "prior", "gmm"] = "auto",
    train: Any = None,
    random_state: int = 0,
    image_shape: ImageShape = None,
) -> Figure:
    """Rows x columns new examples, decoded from codes drawn from the prior, or from a mixture of normals fitted to codes.

    method: "prior"; "gmm", a mixture fitted to the codes of train (of X if that is not given; the title says which);
    or "auto", the prior where there is one. X otherwise only sets what is black and what white.
    Raises `NotPossibleError` where the bottleneck has no prior that was asked for, or its codes have no density.
    """
    if rows < 1 or columns < 1:
        raise DataError(f"{rows} rows of {columns} examples make no picture: ask for at least 1 of 1")
    drawn, source = _drawn(ae, rows * columns, method, X if train is None else train, random_state)
    if source and train is None:
        source += ", these same ones"
    image_shape = pictured(ae, image_shape)
    pictures = as_pictures(drawn, image_shape)
    shown = limits(drawn if X is None else first(X, LOOKED_AT), image_shape)
    alt = f"{rows * columns} new examples decoded from codes drawn from {source or 'the prior'}."
    title = f"codes drawn from {source}" if source else ""
    return grid(pictures.reshape(rows, columns, *pictures.shape[1:]), shown, alt, title=title)


def _drawn(ae: Autoencoder, n: int, method: str, examples: Any, random_state: int) -> tuple[Array, str]:
    """New examples, and the mixture that their codes are from, if they are from one."""
    if method != "gmm":
        try:
            return ae.sample(n, random_state, method="prior" if method == "auto" else method), ""  # type: ignore[arg-type]
        except NotPossibleError:
            if method == "prior" or examples is None:
                raise
    count = len(first(examples))
    fitted = f"{min(count, ROWS):,} of {count:,} examples" if count > ROWS else f"{count:,} examples"
    return ae.sample(n, random_state, method="gmm", X=examples), f"a mixture of normals fitted to the codes of {fitted}"


@takes_autoencoder
def manifold(
    ae: Autoencoder,
    X: Any = None,
    y: Any = None,
    *,
    n: int = 15,
    by: str = "quantiles",
    image_shape: ImageShape = None,
) -> Figure:
    """n x n examples decoded from a grid of codes: the first number grows to the right, the second upwards.

    A Gaussian code of two numbers: between the 5% and 95% quantiles of the normal prior, in equal steps of
    probability (by="quantiles"), or from -1 to 1 in equal steps of the code (by="linear"). Any other code of two
    numbers: the same with the quantiles of the codes of X. A longer code: the plane through the mean code of X along
    the first two principal axes.
    Raises `NotPossibleError` where a code is a single number and `DataError` where X is needed and missing or `by` is
    another word.
    """
    if n < 1:
        raise DataError(f"n={n} by {n} examples make no picture: ask for at least 1")
    plane = _plane(ae, X, n, by)
    across, up = (np.asarray(steps)[:, None] * axis for steps, axis in zip(plane.steps, plane.axes, strict=True))
    codes = plane.origin + across[None, :, :] + up[::-1, None, :]
    decoded = ae.decode(codes.reshape(n * n, -1).astype(np.float32))
    image_shape = pictured(ae, image_shape)
    pictures = as_pictures(decoded, image_shape)
    alt = f"{n} by {n} examples decoded from a grid in the plane of codes: {' '.join(plane.title.split())}."
    marked = {0, n // 2, n - 1}
    right, above = ([f"{step:z.2f}" if i in marked else "" for i, step in enumerate(steps)] for steps in plane.steps)
    return grid(
        pictures.reshape(n, n, *pictures.shape[1:]),
        limits(decoded if X is None else first(X, LOOKED_AT), image_shape),
        alt,
        title=plane.title,
        rows=above[::-1],
        columns=right,
        names=plane.names,
    )


class Plane(NamedTuple):
    """A plane of codes: origin + steps along two axes, a name for each, and a title that says where it comes from."""

    origin: Array
    axes: Array
    steps: tuple[Array, Array]
    names: tuple[str, str]
    title: str


def _plane(ae: Autoencoder, X: Any, n: int, by: str) -> Plane:
    size = int(np.prod(ae.code_shape_))
    if size < 2:
        raise NotPossibleError("manifold needs codes of at least two numbers; this autoencoder's code is one")
    if by not in {"quantiles", "linear"}:
        raise DataError(f"by={by!r} is no way to space the grid: take 'quantiles' or 'linear'")
    names, levels = ("code 1", "code 2"), np.linspace(*REACH, n)
    if size == 2 and ae.bottleneck_.has_prior:
        quantiles = np.array([NormalDist().inv_cdf(level) for level in levels])
        steps = quantiles if by == "quantiles" else np.linspace(-1, 1, n)
        title = "5% to 95% quantiles of the normal prior" if by == "quantiles" else "codes from -1 to 1"
        return Plane(np.zeros(2), np.eye(2), (steps, steps), names, title)
    points = ae.transform(first(X))
    if len(points) < 2:
        raise NotPossibleError("manifold needs at least two examples to span a plane; there is one")
    origin, axes = np.zeros(2), np.eye(2)
    title = f"5% to 95% quantiles of the codes of {len(points):,} examples"
    if size > 2:
        with np.errstate(invalid="ignore"):  # points that are all alike have no variance to take shares of
            components = PCA(2, random_state=0).fit(points)
        origin, axes = components.mean_, components.components_
        points = components.transform(points)
        names = ("principal component 1", "principal component 2")
        share = np.nan_to_num(components.explained_variance_ratio_).sum()
        title = f"plane of the first two principal components ({share:.0%} of the variance),\n{title}"
    ends = np.quantile(points, REACH, axis=0)
    steps = np.quantile(points, levels, axis=0) if by == "quantiles" else np.linspace(ends[0], ends[1], n)
    return Plane(origin, axes, (steps[:, 0], steps[:, 1]), names, title)
