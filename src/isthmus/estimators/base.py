"""The methods of a fitted autoencoder: encode, decode, reconstruct, sample, corrupt, score."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.validation import _check_feature_names, check_is_fitted

from isthmus import records
from isthmus.bottlenecks.base import Bottleneck
from isthmus.corruptions import Corruption
from isthmus.data import as_examples
from isthmus.data.blocks import blocks_of
from isthmus.data.containers import column_names, sklearn_frame
from isthmus.data.context_array import attach_context, context_of, without_subclass
from isthmus.data.images.image_files import files_of
from isthmus.data.kinds import Kind
from isthmus.data.locations import Positions
from isthmus.data.memmap import random_subset, selected_rows, streamed
from isthmus.data.missing import row_means
from isthmus.data.output_frames import like
from isthmus.data.sample_weights import mean_one, sample_weights
from isthmus.data.series.window_array import windows_of
from isthmus.data.tables.frame_columns import library_of
from isthmus.data.tables.table_encoding import TableEncoding
from isthmus.data.validation import Examples, Missing, blocks, encoded, shaped_examples
from isthmus.errors import DataError, NotPossibleError, RecordError
from isthmus.estimators import latent_density
from isthmus.estimators.defaults import component
from isthmus.estimators.export import Exported, export
from isthmus.estimators.fitted_state import FittedAttribute, FittedAttributes
from isthmus.estimators.importance import log_likelihoods
from isthmus.estimators.inference import in_batches
from isthmus.estimators.memory_estimate import bounded_batch_size, footprint
from isthmus.estimators.overflow import ComputableRange, check_computable
from isthmus.estimators.plain_module import AutoencoderModule
from isthmus.estimators.shape_check import check_shape_and_columns
from isthmus.estimators.support_check import check_steps
from isthmus.estimators.tiles import check_out, check_whole, reconstruct_parts, write_part
from isthmus.estimators.unit_check import check_units, check_units_once
from isthmus.io.memory_limit import check_memory, check_work
from isthmus.model import Model
from isthmus.nn.device import grad_mode, no_autocast, onednn_matmul
from isthmus.record_overrides import override
from isthmus.text import quoted
from isthmus.trainable import Batch
from isthmus.training.batches import InMemorySource, MemmapSource, Source, to_tensor
from isthmus.training.block_source import source_of_blocks
from isthmus.training.file_source import FileSource
from isthmus.training.rng import RandomStream, seeded
from isthmus.training.window_source import WindowSource

__all__ = ["FittedAutoencoder", "ParameterError", "RecordParams", "WrapsAutoencoder", "seed_of"]

Array = NDArray[Any]
_MAX_BITS = 4096  # of an int parameter; a float holds ints of at most 1024 bits


class FittedAutoencoder(TransformerMixin):  # type: ignore[misc]  # scikit-learn is untyped
    """The methods that use a fitted model. Examples and reconstructions are in the units of the data."""

    _fitted: FittedAttributes | None = None  # only ever replaced as a whole, never changed

    model_ = FittedAttribute[Model](lambda fitted: fitted.model)
    shape_ = FittedAttribute[tuple[int, ...]](lambda fitted: fitted.shape)
    kind_ = FittedAttribute[Kind](lambda fitted: fitted.kind)
    code_shape_ = FittedAttribute[tuple[int, ...]](lambda fitted: fitted.code_shape)
    classes_ = FittedAttribute[NDArray[Any]](lambda fitted: None if fitted.context is None else fitted.context.classes)
    bottleneck_ = FittedAttribute[Bottleneck](lambda fitted: fitted.records["bottleneck"])
    corruption_ = FittedAttribute[Corruption](lambda fitted: fitted.records["corruption"])
    feature_names_in_ = FittedAttribute[NDArray[np.object_]](
        lambda fitted: (
            np.asarray(fitted.table.names, dtype=object)
            if fitted.table is not None
            else (fitted.columns if len(fitted.shape) == 1 else None)  # the names of channels are no names of features
        )
    )
    n_features_in_ = FittedAttribute[int](
        lambda fitted: math.prod(fitted.shape) if fitted.table is None else len(fitted.table.names)
    )
    # what a table's columns become; the channels of a series
    _features = FittedAttribute[NDArray[np.object_]](lambda fitted: fitted.columns)
    table_ = FittedAttribute[TableEncoding](lambda fitted: fitted.table)  # of other columns than numbers
    _n_features_out = FittedAttribute[int](lambda fitted: math.prod(fitted.code_shape))
    _loaded = FittedAttribute[bool](lambda fitted: fitted.loaded)

    @property
    def _max_memory(self) -> int | None:
        return None if self._fitted is None else self._fitted.max_memory

    def encode(self, X: Any, y: Any = None) -> Array:
        """The codes of examples, without random numbers.

        Args:
            X: examples (n, *shape_) in the units of the training data.
            y: labels (n,) or covariates, as in `fit`, for a conditional autoencoder; others ignore it.

        Returns:
            Codes (n, *code_shape_), float32 or float64 as `precision` says.

        Raises:
            DataError: the examples do not have the shape or the columns of the training data, or are not finite.

        Examples:
            >>> codes = ae.encode(X)
            >>> codes.shape, codes.dtype
            ((200, 4), dtype('float32'))
        """
        values = self._examples(X)
        return self._apply(_encoded, values, context=self._context(y, values))

    def transform(self, X: Any, y: Any = None) -> Array:
        """`encode`, with each code as one row, as the pipelines of scikit-learn require.

        Args:
            X: examples (n, *shape_) in the units of the training data.
            y: labels (n,) or covariates, as in `fit`, for a conditional autoencoder; others ignore it.

        Returns:
            Codes (n, k), where k is the product of code_shape_.

        Examples:
            >>> from sklearn.cluster import KMeans
            >>> KMeans(10, n_init=1, random_state=0).fit_predict(ae.transform(X)).shape
            (200,)
        """
        return self.encode(X, y).reshape(-1, self._n_features_out)

    def decode(self, Z: Any, y: Any = None) -> Any:
        """The reconstructions of codes.

        Args:
            Z: codes (n, *code_shape_) or (n, k).
            y: labels (n,) or covariates, as in `fit`, for a conditional autoencoder; others ignore it.

        Returns:
            Examples (n, *shape_), as floats in the units of the training data. For a table with other columns than numbers a frame, with
            the types and categories of the training data, its whole numbers rounded, within its range.

        Raises:
            DataError: the codes do not have this shape, or are not finite.

        Examples:
            >>> ae.decode(np.zeros((3, 4))).shape
            (3, 8, 8)
        """
        return self._as_table(self._decode(Z, y))

    def _decode(self, Z: Any, y: Any = None) -> Array:
        """The reconstructions of codes, as features."""
        check_is_fitted(self)
        given = as_examples(Z, shape=self.code_shape_)
        codes = without_subclass(given.values)
        if codes.shape[1:] not in {self.code_shape_, (self._n_features_out,)}:
            raise DataError(f"codes have shape {codes.shape[1:]}, but this autoencoder's have shape {self.code_shape_}")
        computable, context = ComputableRange.codes(given.positions), self._context(y, codes)
        codes = codes.reshape(-1, *self.code_shape_)
        return self._apply(_decoded, codes, computable, context)

    def inverse_transform(self, X: Any) -> Any:
        """The same as `decode`, under the name that scikit-learn uses.

        Args:
            X: codes (n, k) or (n, *code_shape_).

        Returns:
            Examples (n, *shape_), as floats in the units of the training data; a frame as for `decode`.
        """
        return self.decode(X)

    def reconstruct(self, X: Any, y: Any = None) -> Any:
        """Encodes and decodes examples. A denoising autoencoder removes their corruption.

        Args:
            X: examples (n, *shape_) in the units of the training data.
            y: labels (n,) or covariates, as in `fit`, for a conditional autoencoder; others ignore it.

        Returns:
            Reconstructions (n, *shape_), as floats in the units of X, dense also for a sparse X. For a frame with other columns than
            numbers a frame with the same columns, types and index.

        Examples:
            >>> np.array_equal(ae.reconstruct(X), ae.decode(ae.encode(X)))
            True
        """
        values = self._examples(X)
        made = self._reconstructed(values, context=self._context(y, values))
        return made if library_of(X) is None else self._as_table(made, X)

    def reconstruct_image(self, image: Any, *, tile: int = 512, out: Array | None = None) -> Array:
        """Reconstructs one image of any height and width, such as a page that a denoising autoencoder of patches restores.

        If the architecture is fully convolutional (`Conv` with ``code="map"``, trained on sides that are multiples of its stride), tiles
        are computed with a margin of its receptive field: the result is the same for every tile size, apart from rounding. Others
        reconstruct patches of the size of the training examples, which overlap by half; every pixel is their mean, weighted by its
        distance from their borders.

        The memory that it needs in addition to image and result grows with ``tile``, and not with the image.

        Args:
            image: (h, w) or (h, w, channels), in the units of the training data; an array, a memory map or a tensor.
            tile: the height and width of the parts that are computed one by one, in pixels. It is halved while it requires more memory
                than a loaded autoencoder is allowed.
            out: another array or memory map of its shape, which receives the result. Integers are rounded, and limited to the range
                of their dtype. None: a new array of floats.

        Returns:
            The reconstruction, of the image's shape and in its units.

        Raises:
            NotPossibleError: the autoencoder is conditional, or was not fitted on images.
            DataError: the image is not an array, has other axes or channels than the training examples, or a value is not finite.
            RecordError: tile or out is invalid.

        Examples:
            >>> page = np.random.default_rng(0).random((50, 31))
            >>> ae.reconstruct_image(page).shape
            (50, 31)
        """
        self._check_whole_possible("reconstruct_image", "images")
        return self._in_parts(image, 2, tile, out)

    def reconstruct_series(self, series: Any, *, tile: int = 65_536, out: Array | None = None) -> Array:
        """Reconstructs one series of any length, such as a recording that a denoising autoencoder of windows restores.

        If the architecture is fully convolutional (`Conv` with ``code="map"``, trained on windows whose length is a multiple of its
        stride; `TCN` with ``code="sequence"``), tiles are computed with a margin of its receptive field: the result is the same for
        every tile length, apart from rounding. Others reconstruct windows of the length of the training examples, which overlap by
        half; every row is their mean, weighted by its distance from their ends.

        The memory that it needs in addition to series and result grows with ``tile``, and not with the series. The rows are taken as
        equally far apart, and without a gap.

        Args:
            series: (rows, channels), or (rows,) if the training examples have no axis of channels, in the units of the training data; an
                array, a memory map or a tensor.
            tile: the rows of the parts that are computed one by one. It is halved while it requires more memory than a loaded
                autoencoder is allowed.
            out: another array or memory map of its shape, which receives the result. Integers are rounded, and limited to the range
                of their dtype. None: a new array of floats.

        Returns:
            The reconstruction, of the shape of the series and in its units.

        Raises:
            NotPossibleError: the autoencoder is conditional, or was not fitted on series.
            DataError: the series is not an array, has other axes or channels than the training examples, or a value is not finite.
            RecordError: tile or out is invalid.

        Examples:
            >>> windows = isthmus.data.Windows(np.sin(np.arange(400) / 5), length=32)
            >>> net = Autoencoder(4, architecture=Conv((8,), code="map"), epochs=1, random_state=0).fit(windows)
            >>> net.reconstruct_series(np.sin(np.arange(1001) / 5)[:, None]).shape
            (1001, 1)
        """
        self._check_whole_possible("reconstruct_series", "series")
        return self._in_parts(series, 1, tile, out)

    def _check_whole_possible(self, method: str, what: Literal["images", "series"]) -> None:
        """`NotPossibleError` unless the autoencoder was fitted on images or series, without context."""
        fitted = self._require_fitted()
        colors = fitted.kind == "windows" and self.shape_[2:] in {(1,), (3,)}
        fits = {
            "images": len(self.shape_) in {2, 3} and (fitted.kind == "images" or colors),
            "series": fitted.kind == "series",
        }
        if not fits[what]:
            raise NotPossibleError(
                f"{method} requires an autoencoder of {what}, and examples of this one have kind {fitted.kind!r} and shape "
                f"{self.shape_}; use reconstruct, or, if they are {what}, fit with kind={what!r}"
            )
        if fitted.model.architecture.context is not None:
            parts = "patches" if what == "images" else "windows"
            raise NotPossibleError(f"{method} has no y for a conditional autoencoder; use reconstruct on {parts}")

    def _in_parts(self, given: Any, axes: Literal[1, 2], tile: int, out: Array | None) -> Array:
        """The reconstruction of an image (2 axes) or a series (1 axis), part by part."""
        fitted, what, units = self._require_fitted(), *(("series", "rows") if axes == 1 else ("image", "pixels"))
        if not isinstance(tile, Integral) or tile < 1:
            raise RecordError(f"invalid tile={quoted(tile, 20)}: expected a positive number of {units}")
        values = check_whole(given, self.shape_, axes)
        if out is not None:
            check_out(out, given, values, what)
        thinned = values[tuple(slice(None, None, 1 + side // 1024 ** (3 - axes)) for side in values.shape[:axes])]
        check_units(thinned[None], fitted.model.extent, Positions(), fitted.model)
        with fitted.weights_locked():
            for part in reconstruct_parts(
                fitted.model,
                values,
                axes,
                int(tile),
                lambda model, rows: self._check_part(replace(fitted, model=model), rows),
            ):
                out = np.empty(values.shape, part.values.dtype) if out is None else out
                write_part(part, out)
        assert out is not None
        return out

    def impute(self, X: Any, y: Any = None) -> Any:
        """Replaces missing values (NaN) by their reconstruction. Observed values stay bit-identical.

        Args:
            X: examples (n, *shape_) in the units of the training data.
            y: labels (n,) or covariates, as in `fit`, for a conditional autoencoder; others ignore it.

        Returns:
            (n, *shape_) in the units and of the type of X: an array, or for a data frame a data frame of the same library, with the
            same columns and index. `set_output` does not change it. An example without any observed value becomes the reconstruction
            of the mean.

        Raises:
            NotPossibleError: the autoencoder was not fitted with missing="allow".

        Examples:
            >>> table = np.random.default_rng(0).normal(size=(100, 4))
            >>> table[0, 0] = np.nan
            >>> complete = Autoencoder(2, epochs=1, missing="allow", random_state=0).fit(table).impute(table)
            >>> int(np.isnan(complete).sum()), np.array_equal(complete[1:], table[1:])
            (0, True)
        """
        check_is_fitted(self)
        if self.model_.fill is None:
            raise NotPossibleError("impute requires an autoencoder that was fitted with missing='allow'; fit one")
        values = self._examples(X)
        made = self._reconstructed(values, context=self._context(y, values))
        complete = np.where(np.isnan(values), made, values).astype(values.dtype)
        table = self._require_fitted().table
        return like(X, complete) if table is None or library_of(X) is None else table.impute(X, values, complete)

    @grad_mode()
    @check_units_once()
    def sample(
        self,
        n: int = 1,
        random_state: int | None = None,
        *,
        method: Literal["prior", "gmm"] = "prior",
        X: Any = None,
        y: Any = None,
        draw: bool | None = None,
    ) -> Any:
        """New examples, decoded from random codes.

        Args:
            n: how many examples.
            random_state: an int makes the examples repeatable; None draws other ones in each call.
            method: "prior" samples codes from the bottleneck's prior, or from N(0, 1) if a penalty (`MMD`, `Adversarial`) makes codes
                follow it. "gmm" samples them from a Gaussian mixture, fitted to the codes of X
                (Ghosh et al. 2020). Each call fits the mixture again, always in the same way; random_state only changes the samples.
            X: examples (m, *shape_) for "gmm", best the training examples. If there are more than 5,000, the mixture is fitted to a random
                5,000, always the same ones.
            y: for a conditional autoencoder: the label or the covariates of each new example, or one for all.
            draw: draw each example from the likelihood, with its noise, instead of taking its mean. None: for frames, whose rows vary
                less than real ones without it, and not for arrays.

        Returns:
            Examples (n, *shape_), as floats in the units of the training data; a frame as for `decode`.

        Raises:
            NotPossibleError: the bottleneck has no prior, or its codes have no density.
            RecordError: n, method or random_state is invalid, or X is given with method="prior".
            DataError: method="gmm" without X.

        Examples:
            >>> generator = Autoencoder(Gaussian(2), epochs=1, random_state=0).fit(X)
            >>> generator.sample(5, random_state=0).shape
            (5, 8, 8)
            >>> ae.sample(5, random_state=0, method="gmm", X=X).shape
            (5, 8, 8)
        """
        return self._as_table(self._sample(n, random_state, method, X, y, self._draws(draw)))

    def _draws(self, draw: bool | None) -> bool:
        """Whether new examples are drawn from the likelihood; None: those of frames, if the likelihood can be drawn from."""
        fitted = self._require_fitted()
        return (fitted.table is not None and not fitted.model.likelihood.given_total) if draw is None else draw

    def _sample(
        self, n: int, random_state: int | None, method: str = "prior", X: Any = None, y: Any = None, draw: bool = False
    ) -> Array:
        """New examples, as features."""
        check_is_fitted(self)
        if not isinstance(n, Integral) or not 1 <= n < 2**31:
            raise RecordError(f"invalid n={quoted(n, 20)}: expected a positive integer below 2,147,483,648")
        if method not in {"prior", "gmm"}:
            raise RecordError(f"invalid method={method!r}: expected 'prior' or 'gmm'")
        if method == "prior" and X is not None:
            raise RecordError("X is only used by method='gmm': leave it out, or pass method='gmm'")
        seed = seed_of(random_state)
        size = self.model_.dtype.itemsize * int(n)
        codes_size, what = size * math.prod(self.code_shape_), f"{n:,} examples"
        self._check_memory(codes_size + size * math.prod(self.shape_), what, codes_size)
        mixture = self._mixture(X) if method == "gmm" else None
        codes = self._prior_codes(int(n), seed) if mixture is None else mixture.draw(int(n), seed)
        codes = codes.reshape(-1, *self.code_shape_)
        return self._drawn(codes, y, seed) if draw else self._decode(codes, y)

    def _prior_codes(self, n: int, seed: int) -> Array:
        """Codes sampled from the prior."""
        generator = seeded(self.model_.device, seed, RandomStream.SAMPLE)
        with torch.no_grad(), self._require_fitted().weights_locked():
            codes: Array = self.model_.sample_codes((n, *self.code_shape_), generator).numpy(force=True)
        return codes

    def _drawn(self, codes: Array, y: Any, seed: int) -> Array:
        """Examples drawn from the likelihood, given codes. Each batch of codes has its own random numbers."""
        fitted, context, parts = self._require_fitted(), self._context(y, codes), list[Array]()
        self._check_one_example(fitted, codes)
        model, size = fitted.model, bounded_batch_size(fitted.model, 1024)
        with torch.inference_mode(), fitted.weights_locked(), no_autocast(), onednn_matmul():
            for number, begin in enumerate(range(0, len(codes), size)):
                rows = slice(begin, begin + size)
                z = torch.as_tensor(codes[rows], dtype=model.dtype, device=model.device)
                given = None if context is None else torch.as_tensor(context[rows], device=model.device)
                generator = seeded(z.device, seed, RandomStream.LIKELIHOOD, number)
                parts.append(model.draw_raw(z, generator, given).numpy(force=True))
        return np.concatenate(parts)

    def log_likelihood(self, X: Any, y: Any = None, *, samples: int = 1000, random_state: int = 0) -> Array:
        """log p(x) of each example, estimated by importance sampling (Burda, Grosse & Salakhutdinov 2016).

        The estimate is a lower bound on average, and rises with ``samples`` to the true value. It does not depend on the other examples:
        the random numbers of an example depend on its values and on ``random_state`` alone. For a density it is in the units of the data,
        as in `score_samples`. Missing values do not count.

        Args:
            X: examples (n, *shape_) in the units of the training data.
            y: labels (n,) or covariates, as in `fit`, for a conditional autoencoder; others ignore it.
            samples: codes that are drawn for each example. The time is proportional to it.
            random_state: the seed of the codes.

        Returns:
            (n,), float64, in nats per example.

        Raises:
            NotPossibleError: the bottleneck has no posterior density, or the likelihood weighs columns.
            RecordError: samples or random_state is invalid.

        Examples:
            >>> generator = Autoencoder(Gaussian(2), epochs=1, random_state=0).fit(X)
            >>> bool((generator.log_likelihood(X[:5], samples=50) > generator.score_samples(X[:5])).mean() > 0.5)
            True
        """
        check_is_fitted(self)
        if not isinstance(samples, Integral) or not 1 <= samples < 2**31:
            raise RecordError(f"invalid samples={quoted(samples, 20)}: expected a positive integer below 2,147,483,648")
        if self.model_.likelihood.weighted:
            raise NotPossibleError(
                "log_likelihood requires a probability, and the likelihood weighs columns; use score_samples"
            )
        values, seed, fitted = self._examples(X), seed_of(random_state), self._require_fitted()
        self._check_steps(values)
        self._check_one_example(fitted, values)
        with fitted.weights_locked():
            return log_likelihoods(fitted.model, values, self._context(y, values), int(samples), seed)

    def encode_indices(self, X: Any, y: Any = None) -> NDArray[np.int64]:
        """The indices of the codebook entries that make up the code of each example.

        Args:
            X: examples (n, *shape_) in the units of the training data.
            y: labels (n,) or covariates, as in `fit`, for a conditional autoencoder; others ignore it.

        Returns:
            (n, *code_shape_[:-1]), whole numbers counted from 0.

        Raises:
            NotPossibleError: the bottleneck has no codebook.

        Examples:
            >>> quantized = isthmus.recipes.quantized(4).set_params(epochs=1, random_state=0).fit(X)
            >>> indices = quantized.encode_indices(X)
            >>> indices.shape, bool((indices < 256).all())
            ((200, 2, 2), True)
            >>> np.array_equal(quantized.decode_indices(indices), quantized.reconstruct(X))
            True
        """
        self._check_codebook()
        values = self._examples(X)
        return self._apply(_indexed, values, context=self._context(y, values)).astype(np.int64)

    def decode_indices(self, indices: Any, y: Any = None) -> Any:
        """The reconstructions of codes that are given by the indices of their codebook entries.

        Args:
            indices: (n, *code_shape_[:-1]), whole numbers counted from 0, as `encode_indices` gives them.
            y: labels (n,) or covariates, as in `fit`, for a conditional autoencoder; others ignore it.

        Returns:
            Examples (n, *shape_), as floats in the units of the training data; a frame as for `decode`.

        Raises:
            NotPossibleError: the bottleneck has no codebook.
            DataError: the indices have another shape, or there is no such entry.
        """
        size = self._check_codebook()
        given, expected = np.asarray(indices), self.code_shape_[:-1]
        if (
            given.dtype.kind not in "iu"
            or given.shape[1:] != expected
            or given.ndim != 1 + len(expected)
            or not len(given)
        ):
            shape = f"(n, {', '.join(map(str, expected))})"
            raise DataError(
                f"indices have shape {given.shape} and dtype {given.dtype}: expected whole numbers of shape {shape}"
            )
        if given.min() < 0 or given.max() >= size:
            raise DataError(
                f"indices reach from {given.min()} to {given.max()}, but the codebook has the entries 0 to {size - 1}"
            )
        return self._as_table(self._apply(_looked_up, given.astype(np.int64), "all", self._context(y, given)))

    def _check_codebook(self) -> int:
        """The number of entries of the codebook; `NotPossibleError` without one."""
        check_is_fitted(self)
        size = self.bottleneck_.codebook_size
        if size is None:
            name = type(self.bottleneck_).__name__
            raise NotPossibleError(f"{name} has no codebook, so its codes have no indices; VectorQuantized has one")
        return size

    def _mixture(self, X: Any) -> latent_density.Mixture:
        """A Gaussian mixture fitted to the codes of examples."""
        if self.bottleneck_.discrete:
            name = type(self.bottleneck_).__name__
            raise NotPossibleError(
                f"method='gmm' requires continuous codes, and {name}'s are discrete (entries of a codebook); use for example Gaussian"
            )
        if X is None:
            raise DataError(
                "method='gmm' fits a mixture to the codes of examples: pass X, preferably the training data"
            )
        values = self._examples(X)
        if self.model_.architecture.context is not None:
            raise NotPossibleError(
                "method='gmm' requires codes that do not depend on y, and this autoencoder is conditional; use method='prior'"
            )
        return latent_density.fit(
            self.transform(selected_rows(values, random_subset(len(values), latent_density.MAX_ROWS)))
        )

    def corrupt(self, X: Any, random_state: int = 0, corruption: Corruption | None = None) -> Array:
        """Corrupts examples as training does, or by another corruption.

        Args:
            X: examples (n, *shape_) in the units of the training data.
            random_state: the seed. The same seed gives the same corruption.
            corruption: a record of `isthmus.corruptions`; without it the corruption of training.

        Returns:
            Corrupted examples (n, *shape_), as floats in the units of X.

        Raises:
            RecordError: the corruption or the random state is invalid.

        Examples:
            >>> noisy = ae.corrupt(X, corruption=GaussianNoise(0.3))
            >>> noisy.shape, round(float((noisy - X).std()), 1)
            ((200, 8, 8), 0.3)
        """
        values, seed = self._examples(X), seed_of(random_state)
        if corruption is not None and not isinstance(corruption, Corruption):
            raise RecordError(f"invalid corruption={corruption!r}: expected a record of isthmus.corruptions")
        corrupt, model, parts = corruption or self.corruption_, self.model_, []
        computable = self._computable_range(X.positions if isinstance(X, Examples) else None)
        with grad_mode(), torch.inference_mode():
            for number, begin in enumerate(range(0, len(values), 1024)):
                part = np.asarray(values[begin : begin + 1024])
                computable.check_inputs(part, begin)
                raw = self._source(part)
                x = model.normalize(raw[torch.arange(len(raw))])
                generator = seeded(x.device, seed, RandomStream.SAMPLE, number)
                parts.append(model.denormalize(model.corrupt(corrupt, x, generator).x).cpu().numpy())
                if model.fill is None:
                    computable.check_results(parts[-1], part, begin)
        return attach_context(np.concatenate(parts), context_of(values))

    def score_samples(self, X: Any, y: Any = None) -> Array:
        """The negative loss of each example: higher means more similar to the training data. No random numbers are drawn.

        For a density, such as `Normal`, the scores are in the units of the data, so that scores of different scalings are comparable
        (`Model.nll`). `Bernoulli` is a probability mass of values scaled to [0, 1] and has no units. Missing values do not count:
        an example with fewer observed values has a smaller loss. With `Weighted`, scores are weighted sums of nats.

        Args:
            X: examples (n, *shape_) in the units of the training data.
            y: labels (n,) or covariates, as in `fit`, for a conditional autoencoder; others ignore it.

        Returns:
            Scores (n,), in nats per example.

        Examples:
            >>> ae.score_samples(X).shape
            (200,)
            >>> bool(ae.score_samples(X).mean() > ae.score_samples(1 - X).mean())
            True
        """
        values = self._examples(X)
        self._check_steps(values)
        return self._scores(values, context=self._context(y, values))

    @check_units_once()
    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """The mean of `score_samples`.

        Args:
            X: examples (n, *shape_) in the units of the training data.
            y: labels or covariates for a conditional autoencoder; others ignore it.
            sample_weight: weights (n,), at least 0, for a weighted mean; without it all examples count equally.

        Returns:
            The mean score, in nats per example.

        Raises:
            DataError: there is not one weight for each example, or a weight is invalid.
        """
        scores = self.score_samples(X, y)
        weights = None if sample_weight is None else mean_one(sample_weights(sample_weight, len(scores)))
        return float((scores if weights is None else scores * weights).mean(dtype=np.float64))

    def reconstruction_error(self, X: Any, per_feature: bool = False, y: Any = None) -> Array:
        """The squared error of reconstructions.

        Args:
            X: examples (n, *shape_) in the units of the training data.
            per_feature: return the squared error of each feature instead of the mean.
            y: labels (n,) or covariates, as in `fit`, for a conditional autoencoder; others ignore it.

        Returns:
            The mean squared error of each example (n,), or the squared error of each feature (n, *shape_), in squared units of X.
            A category has the error 1 if it is reconstructed as another one, else 0. Missing values have the error NaN and do not
            count in the mean.

        Examples:
            >>> ae.reconstruction_error(X).shape, ae.reconstruction_error(X, per_feature=True).shape
            ((200,), (200, 8, 8))
        """
        values, held = self._examples(X), copy(self)  # one model, even if a training replaces it meanwhile
        rows = attach_context(values, held._context(y, values))
        if per_feature:
            return held._squared_errors(without_subclass(rows))
        errors = (held._squared_errors(block) for _, block in blocks(rows))
        return np.concatenate([row_means(part.reshape(len(part), -1)) for part in errors])

    def export(
        self, folder: str | os.PathLike[str], *, parts: Sequence[str] | None = None, X: Any = None, y: Any = None
    ) -> Exported:
        """Writes ONNX files, which run without PyTorch and isthmus: encoder, decoder, reconstruct, impute and score.

        Each takes and gives the units of the data, with named inputs and outputs: scaling, the columns of a table and missing values are
        inside. Each is compared with this model before anything is written. `isthmus.runtime.load` uses the folder.

        Args:
            folder: to write. An export that is there is replaced.
            parts: some of these names; None: all that the model has.
            X: examples on which files and model are compared, at most 1,000 of them. The files take their dtype. None: random ones
                within the range of the training data.
            y: labels or covariates of X for a conditional autoencoder.

        Returns:
            The folder, and the largest relative difference of each part.

        Raises:
            DataError: the folder holds other files.
            NotPossibleError: the model cannot be exported, a file differs from it, or a package is missing.
            RecordError: there is no such part.
        """
        check_is_fitted(self)
        return export(self, folder, parts=parts, X=X, y=y)

    def to_module(self) -> AutoencoderModule:
        """A module of PyTorch from raw examples to reconstructions, also with `encode`, `decode`, `score` and `impute`.

        It has copies of the weights in PyTorch's own layers: train it further, or make it a part of another network. Scaling,
        categories and missing values are inside, so that it takes and gives what the estimator does, as tensors.

        Returns:
            The module, in evaluation mode, on the device of the autoencoder.

        Raises:
            NotPossibleError: modules of the user cannot be copied.

        Examples:
            >>> import torch
            >>> module = ae.to_module()
            >>> module(torch.from_numpy(X)).shape, module.encode(torch.from_numpy(X)).shape
            (torch.Size([200, 8, 8]), torch.Size([200, 4]))
        """
        check_is_fitted(self)
        return AutoencoderModule(self._require_fitted())

    def _squared_errors(self, rows: Array) -> Array:
        """The squared error of each value of checked examples that carry their context."""
        made, scaling = self._reconstructed(rows), self._require_fitted().records["scaling"]
        differences = scaling.differences(torch.from_numpy(made), to_tensor(rows.astype(np.float64)))
        squares: Array = np.square(differences.numpy())
        return squares

    def _table_rows(self, X: Any) -> Any:
        """A frame as its features, if the model is one of a table with other columns than numbers; other data unchanged."""
        table = self._require_fitted().table
        missing: Missing = "error" if self.model_.fill is None else "allow"
        return X if table is None else encoded(X, table, missing)

    def _as_table(self, values: Array, like: Any = None) -> Any:
        """Features as a frame, if the model is one of a table with other columns than numbers."""
        table = self._require_fitted().table
        return values if table is None else table.decode(values, like)

    def _require_fitted(self) -> FittedAttributes:
        """The fitted attributes; `NotFittedError` before `fit`."""
        check_is_fitted(self)
        assert self._fitted is not None
        return self._fitted

    def _check_memory(
        self, needed: float, what: str, given: int, rough: bool = False, how: str = "use fewer examples at a time"
    ) -> None:
        """`MemoryLimitError` if `needed` bytes exceed the limit. A loaded model's limit depends on the size of its input too."""
        known = self._require_fitted()
        limits = {"given": given if known.loaded else None, "max_memory": known.max_memory}
        check_memory(needed, what, **limits, rough=rough, how=how)

    def _check_one_example(
        self,
        fitted: FittedAttributes,
        rows: Array,
        what: str = "one example in this model",
        how: str = "use a smaller model",
    ) -> None:
        """`MemoryLimitError` if one example requires more memory, or in a loaded model more work, than is allowed."""
        needed, given = footprint(fitted.model), rows[:1].nbytes
        self._check_memory(needed.inference_bytes + needed.shared_bytes, what, given, rough=True, how=how)
        if fitted.loaded:
            check_work(needed.multiplications, what, given, max_memory=fitted.max_memory)

    def _check_part(self, fitted: FittedAttributes, rows: Array) -> None:
        """The same for a part of an image or a series."""
        size = f"{rows.shape[1]} rows" if fitted.kind == "series" else f"{rows.shape[1]} x {rows.shape[2]} pixels"
        part = f"a part of {size}, the least that this model computes,"
        self._check_one_example(fitted, rows, part, "use a model with fewer layers or channels")

    def _apply(
        self,
        function: Callable[..., torch.Tensor],
        values: Array,
        computable: ComputableRange | Literal["all"] | None = None,
        context: Array | None = None,
    ) -> Array:
        """A function of the model, applied to rows in batches; with one model, even if a training replaces it meanwhile."""
        fitted = self._require_fitted()
        self._check_one_example(fitted, values)
        with fitted.weights_locked():
            computable = ComputableRange.examples(fitted.model, fitted.columns) if computable is None else computable
            of_model = partial(function, fitted.model)
            return in_batches(of_model, values, fitted.model, self._check_memory, computable, context)

    def _reconstructed(
        self, values: Array, computable: Literal["all"] | None = None, context: Array | None = None
    ) -> Array:
        return self._apply(_reconstructed, values, computable, context)

    def _scores(self, values: Array, computable: Literal["all"] | None = None, context: Array | None = None) -> Array:
        """Minus the loss, (n,). A loss that overflows counts as the largest float."""
        return self._apply(_scored, values, computable, context)

    def _context(self, y: Any, rows: Array) -> Array | None:
        """The context (n, context) of examples or codes for a conditional autoencoder; None for others, which ignore y.

        It comes from y, or from the rows if these carry their context.
        """
        fitted = self._require_fitted()
        if fitted.model.architecture.context is None:
            return None
        if y is None and (known := context_of(rows)) is not None:
            return known
        if y is None:
            raise DataError(
                f"this autoencoder is conditional ({fitted.records['architecture']!r}): pass y, the label or the covariates of each "
                "example (a pipeline of scikit-learn passes none to transform: use the autoencoder outside of it)"
            )
        return fitted.context_rows(y, len(rows), complete=True)

    def _examples(
        self,
        X: Any,
        minimum: int = 1,
        computable: Literal["all"] | None = None,
        check_constant: bool = False,
        for_training: bool = False,
    ) -> Array:
        """Checks the shape, the columns and the values of examples. Values too large to compute with raise, unless computable="all".

        Examples for training have the shape from before the augmentation.
        """
        check_is_fitted(self)
        X = self._table_rows(X)
        columns = X.columns if isinstance(X, Examples) else None
        if columns is None and hasattr(self, "feature_names_in_") and (names := column_names(X)) is not None:
            _check_feature_names(self, sklearn_frame(X, names), reset=False)  # scikit-learn's checks test its wording
        augmentation = self._require_fitted().records["augmentation"]
        examples = shaped_examples(X, minimum=minimum, shape=self.shape_)
        values = examples.values
        augmented = for_training and augmentation.augments and augmentation.shape(values.shape[1:]) == self.shape_
        if values.ndim == 2 and len(self.shape_) == 1 and values.shape[1:] != self.shape_:
            found, wanted = values.shape[1], self.shape_[0]
            raise DataError(
                f"X has {found} features, but {type(self).__name__} is expecting {wanted} features as input"
            )
        check_shape_and_columns(self, self.shape_ if augmented else values.shape[1:], columns)
        known = self._computable_range(examples.positions)
        missing: Missing = "error" if self.model_.fill is None else "allow"
        check_computable(values, examples.at, missing, known if computable is None else None)
        self._require_fitted().records["scaling"].check(values, examples.at)
        check_units(values, known.extent, known.positions, self.model_, check_constant, computable is not None)
        return values

    def _check_steps(self, values: Array) -> None:
        """`DataError` at the first value that the likelihood cannot score: no whole number, class or level."""
        check_steps(self.model_.likelihood, values, self.model_.affine, self._computable_range().positions)

    def _computable_range(self, positions: Positions | None = None) -> ComputableRange:
        """The range of values that the model accepts. `positions` names the place of a value in messages."""
        return ComputableRange.examples(self.model_, self._require_fitted().columns, positions)

    def _source(self, values: Array) -> Source:
        device, windows = self.model_.shift.device, windows_of(values)
        if windows is not None:
            return WindowSource(windows, device)
        if (images := files_of(values)) is not None:
            return FileSource(images, device)
        if (in_blocks := blocks_of(values)) is not None:
            return source_of_blocks(in_blocks, device)
        return (MemmapSource if streamed(values) else InMemorySource)(values, device)


class ParameterError(RecordError, InvalidParameterError):  # type: ignore[misc]  # scikit-learn is untyped
    """A parameter of an estimator has an invalid type or value: an error of isthmus and of scikit-learn."""


class NamedParamErrors:
    """Raises `ParameterError`, which names parameter and value, where scikit-learn rejects a parameter."""

    _auto: ClassVar[Mapping[str, records.Record]] = {}  # what "auto" means for a component, where `DEFAULTS` differs

    def _validate_params(self) -> None:
        """scikit-learn's check; its sentence follows, because scikit-learn's own tests of estimators require it."""
        for name, value in self.get_params(deep=False).items():  # type: ignore[attr-defined]  # scikit-learn's
            if isinstance(value, int) and value.bit_length() > _MAX_BITS:  # str(value) may fail
                raise ParameterError(f"invalid {name}={quoted(value)}: expected a number within the range of float64")
        try:
            super()._validate_params()  # type: ignore[misc]
        except InvalidParameterError as error:
            expected = str(error).partition(" Got ")[0]  # "The 'epochs' parameter of Autoencoder must be ..."
            name = expected.split("'")[1]
            value = quoted(getattr(self, name))
            raise ParameterError(f"invalid {name}={value}: {expected} Got {value} instead.") from None


class RecordParams(NamedParamErrors, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """An estimator whose parameters may be records or estimators. Setting a field of a record replaces the record."""

    def set_params(self, **params: Any) -> Self:
        """Sets parameters; ``bottleneck__beta=2`` replaces the record by one with this field changed.

        Args:
            params: values by name; names of fields are written as ``parameter__field``.

        Returns:
            The estimator itself.

        Raises:
            RecordError: a parameter has no such field, or the value is invalid.
        """
        fields: dict[str, dict[str, Any]] = {}
        for name, value in params.items():
            slot, _, path = name.partition("__")
            if path and slot in self._get_param_names():
                fields.setdefault(slot, {})[path] = value
            else:
                super().set_params(**{name: value})
        for slot, values in fields.items():  # after the records themselves
            held = component(getattr(self, slot))
            if isinstance(held, BaseEstimator):
                held.set_params(**values)
                continue
            if not isinstance(held, records.Record):
                raise RecordError(
                    f"{slot}={held!r} has no field '{next(iter(values))}'; give a record first, such as {slot}=..."
                )
            setattr(self, slot, override(held, values))
        return self


class WrapsAutoencoder(NamedParamErrors):
    """An estimator with an autoencoder as parameter: an `Autoencoder`, a frozen one or "auto". It allows NaN if that does."""

    autoencoder: Any
    autoencoder_: Any

    @property
    def n_features_in_(self) -> int:
        """The number of features of an example."""
        count: int = self.autoencoder_.n_features_in_
        return count

    @property
    def feature_names_in_(self) -> NDArray[np.object_]:
        """The names of the columns, if the training examples had names."""
        names: NDArray[np.object_] = self.autoencoder_.feature_names_in_
        return names

    @property
    def _features(self) -> NDArray[np.object_]:
        """The names of the features that the columns become."""
        names: NDArray[np.object_] = self.autoencoder_._features
        return names

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]  # defined by scikit-learn's class, next in the method resolution order
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self._missing == "allow"
        return tags

    @property
    def _missing(self) -> Missing:
        """How the autoencoder treats NaN."""
        held = getattr(self.autoencoder, "estimator", self.autoencoder)
        missing: Missing = getattr(held, "missing", "error")
        return missing

    def _as_examples(self, X: Any, minimum: int = 1) -> Examples:
        """Validated examples. A frame gets the encoding of an autoencoder that is fitted already, or the kinds of one that is not."""
        held = getattr(self.autoencoder, "estimator", self.autoencoder)
        fitted = held._fitted if isinstance(held, FittedAutoencoder) and self._keeps_encoding else None
        kinds, table = getattr(held, "kinds", None), None if fitted is None else fitted.table
        return as_examples(X, minimum=minimum, missing=self._missing, kinds=kinds, table=table)

    @property
    def _keeps_encoding(self) -> bool:
        """Whether a fitted autoencoder is used as it is, and not trained again from the beginning."""
        return hasattr(self.autoencoder, "estimator")


def _encoded(model: Model, raw: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
    return model.encode(model.normalize(raw), context)


def _decoded(model: Model, z: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
    return model.decode_raw(z.to(model.dtype), context)


def _reconstructed(model: Model, raw: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
    return model.reconstruct_raw(raw, context)


def _scored(model: Model, raw: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
    x = model.normalize(raw)
    total = model.score(Batch(x, x, None, context)).total
    most = torch.finfo(total.dtype).max
    return -total.nan_to_num(nan=most, posinf=most)


def _indexed(model: Model, raw: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
    indices = model.indices(model.normalize(raw), context)
    assert indices is not None
    return indices


def _looked_up(model: Model, indices: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
    return model.decode_raw(model.bottleneck.lookup(indices, model.code_memory), context)


def seed_of(random_state: int | np.random.RandomState | None) -> int:
    """The seed: a non-negative int, given or drawn at random."""
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    if random_state is None:
        return secrets.randbits(31)
    if not isinstance(random_state, Integral) or random_state < 0:
        raise RecordError(f"invalid random_state={quoted(random_state)}: expected a non-negative integer or None")
    return int(random_state)
