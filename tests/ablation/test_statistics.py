"""Paired differences: the numbers of scipy.stats, and what must hold for any numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from keras_tricks.ablation import paired_difference, spread

values = st.floats(-100, 100)
pairs = st.dictionaries(st.integers(0, 20), st.tuples(values, values), min_size=1, max_size=8)


def sides(drawn):
    return [{seed: pair[side] for seed, pair in drawn.items()} for side in (0, 1)]


@given(pairs.filter(lambda drawn: len(drawn) > 1))
def test_the_interval_is_that_of_the_paired_t_test(drawn):
    base, other = sides(drawn)
    found = paired_difference(base, other)
    differences = [other[seed] - base[seed] for seed in base]
    if max(differences) - min(differences) < 1e-6:
        return
    expected = stats.ttest_rel([other[seed] for seed in base], [base[seed] for seed in base]).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-9)
    assert found.mean == pytest.approx(sum(differences) / len(differences), abs=1e-9)


@given(pairs)
def test_the_other_way_round_it_is_the_negative(drawn):
    base, other = sides(drawn)
    there, back = paired_difference(base, other), paired_difference(other, base)
    assert there.mean == pytest.approx(-back.mean)
    if there.n > 1:
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


@given(pairs, values)
def test_what_all_runs_share_does_not_count(drawn, shift):
    base, other = sides(drawn)
    plain = paired_difference(base, other)
    shifted = paired_difference(*({seed: value + shift for seed, value in side.items()} for side in (base, other)))
    assert shifted.mean == pytest.approx(plain.mean, abs=1e-9)
    if plain.n > 1:
        assert (shifted.low, shifted.high) == pytest.approx((plain.low, plain.high), abs=1e-8)


def test_one_seed_gives_no_interval():
    found = paired_difference({3: 0.5}, {3: 0.7})
    assert (found.mean, found.low, found.high, found.n) == (pytest.approx(0.2), None, None, 1)
    assert not found.is_clear


def test_seeds_without_a_partner_or_a_value_are_left_out_and_named():
    found = paired_difference({0: 1.0, 1: 2.0, 2: math.nan, 4: 3.0}, {0: 1.5, 1: 2.5, 2: 1.0, 3: 9.0})
    assert (found.mean, found.seeds, found.left_out) == (0.5, (0, 1), (2, 3, 4))
    assert found.is_clear
    with pytest.raises(ValueError, match=r"\[0\] and \[1\]"):
        paired_difference({0: 1.0}, {1: 1.0})


def test_mean_and_spread():
    assert spread([1.0, 3.0]).deviation == pytest.approx(math.sqrt(2))
    assert spread([5.0]).deviation is None
    with pytest.raises(ValueError, match="at least one"):
        spread([])
