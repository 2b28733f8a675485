"""Which value is taken: made curves whose elbow is known, and those that have none."""

from __future__ import annotations

import numpy as np
import pytest

from isthmus.experiments.model_selection import elbow, select, within_one_error

SIZES = [2, 4, 8, 16, 32, 64]


def broken(place: int, before: float = 0.5, after: float = 0.95, units: float = 1.0) -> np.ndarray:
    """Errors that each doubling multiplies by one number up to a place, and by another beyond."""
    factors = [before if i <= place else after for i in range(1, len(SIZES))]
    return units * np.cumprod([1.0, *factors])


@pytest.mark.parametrize("place", [1, 2, 3, 4])
@pytest.mark.parametrize("units", [1e-6, 1.0, 255.0**2])
def test_the_elbow_of_a_broken_line_is_where_it_breaks_in_any_units(place: int, units: float) -> None:
    assert elbow(SIZES, broken(place, units=units)) == place


def test_the_elbow_is_the_intrinsic_dimension_of_pca_errors() -> None:
    """Eight directions of equal variance and noise: the error that k components leave is known."""
    left = [max(8 - k, 0) + 1e-2 * (128 - k) / 120 for k in SIZES]
    assert elbow(SIZES, left) == SIZES.index(8)


def test_power_laws_rising_and_flat_curves_have_no_elbow() -> None:
    x = np.array(SIZES, dtype=float)
    for curve in (1 / x, x**-0.3, 5 * x**-2.0, x, np.ones(6), 1 - 1e-4 * np.arange(6), broken(3, 0.95, 0.5)):
        assert elbow(SIZES, curve) is None
        assert select(SIZES, curve[:, None], size=True).why.count("no elbow") == 1
    assert elbow([4, 8], [1.0, 0.1]) is None


def test_noise_neither_moves_nor_creates_an_elbow() -> None:
    random = np.random.default_rng(0)
    straight = np.array(SIZES, dtype=float) ** -0.7
    found = [elbow(SIZES, broken(3) * random.lognormal(0, 0.05, 6)) for _ in range(200)]
    invented = [elbow(SIZES, straight * random.lognormal(0, 0.05, 6)) for _ in range(200)]
    assert found.count(3) >= 196
    assert invented.count(None) >= 196


def test_errors_below_zero_keep_a_linear_axis() -> None:
    assert elbow(SIZES, [0, -100, -200, -205, -208, -210]) == 2
    assert elbow(SIZES, [0, -10, -20, -30, -40, -50]) is None
    assert elbow(SIZES, [1, 0.5, 0.25, 0, 0, 0]) == 3  # nothing left to lose


def test_the_one_standard_error_rule_equals_a_hand_computation() -> None:
    errors = np.array([[9.0, 9.0, 9.0], [3.4, 3.5, 3.6], [3.0, 3.3, 3.6], [3.2, 2.9, 3.5]])
    bound = errors[3].mean() + np.std([3.2, 2.9, 3.5], ddof=1) / np.sqrt(3)
    assert bound == pytest.approx(3.3732, abs=1e-4)
    assert within_one_error(errors) == [2, 3]
    assert within_one_error(errors[:, :1]) == [2]
    flat = np.array([[1.02, 0.98], [1.01, 0.99], [0.97, 1.01]])
    assert select([4, 8, 16], flat, size=True)[:2] == (0, "one standard error")


def test_the_best_of_words_and_the_first_of_equals() -> None:
    assert select(["a", "b", "c"], [[2.0], [1.0], [1.0]])[:2] == (1, "best")
    assert "c" in select(["a", "b", "c"], [[2.0, 2.0], [0.9, 1.1], [1.0, 1.01]]).why
    # standard deviations 0.1; the lead over b is 0.08: more than the standard error 0.058, less than the deviation
    why = select(["a", "b", "c"], [[0.9, 1.0, 1.1], [0.98, 1.08, 1.18], [1.9, 2.0, 2.1]]).why
    assert why == "the lowest error; its lead over b is within the standard deviation over random states"
