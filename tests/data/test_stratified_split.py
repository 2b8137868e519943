import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_tricks.data.stratified_split import stratified_split


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 5),
)
def test_every_class_gives_its_share(labels, fraction, seed):
    names = [f"image {index}" for index in range(len(labels))]
    train, validation = stratified_split(labels, names, fraction, seed)
    assert sorted([*train, *validation]) == list(range(len(labels)))
    for label in set(labels):
        size = labels.count(label)
        held_out = sum(labels[index] == label for index in validation)
        assert held_out == min(max(1, round(fraction * size)), size - 1)


def test_an_image_stays_on_its_side_whatever_the_order():
    names = [f"image {index}" for index in range(50)]
    labels = [index % 2 for index in range(50)]
    _, held_out = stratified_split(labels, names, 0.3, 0)
    _, reversed_ = stratified_split(labels[::-1], names[::-1], 0.3, 0)
    assert {names[index] for index in held_out} == {names[::-1][index] for index in reversed_}


def test_the_split_is_this_one_for_ever():
    _, held_out = stratified_split([0] * 20, [str(index) for index in range(20)], 0.25, 0)
    assert held_out.tolist() == [1, 2, 3, 9, 11]


def test_another_seed_gives_another_split():
    names = [str(index) for index in range(100)]
    splits = [stratified_split(np.zeros(100), names, 0.5, seed)[0].tolist() for seed in range(3)]
    assert len(set(map(tuple, splits))) == 3


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5])
def test_impossible_shares(fraction):
    with pytest.raises(ValueError, match=f"Received: validation_fraction={fraction}"):
        stratified_split([0, 0], ["a", "b"], fraction, 0)
