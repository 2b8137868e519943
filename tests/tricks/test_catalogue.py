"""What holds for every trick of the catalogue."""

import pytest
from pydantic import ValidationError

from keras_tricks import Recipe
from keras_tricks.cli.catalogue import allowed
from keras_tricks.trick import FEATURES, Source, Trick
from keras_tricks.tricks import TRICKS, trick_class

every_trick = pytest.mark.parametrize("kind", TRICKS.values(), ids=TRICKS)
numbers = [
    (kind, field, bound, sign)
    for kind in TRICKS.values()
    for field, info in kind.model_fields.items()
    for limit in info.metadata
    for bound, sign in ((getattr(limit, "ge", None), -1), (getattr(limit, "le", None), 1))
    if bound is not None
]
open_numbers = [
    (kind, field, bound)
    for kind in TRICKS.values()
    for field, info in kind.model_fields.items()
    for limit in info.metadata
    for bound in (getattr(limit, "gt", None), getattr(limit, "lt", None))
    if bound is not None
]


@every_trick
def test_defaults_construct_and_the_trick_is_frozen(kind):
    trick = kind()
    assert isinstance(trick, Trick)
    for field in kind.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(trick, field, 1)


@every_trick
def test_help_source_and_stages_exist(kind):
    assert kind.summary().endswith(".")
    assert len(kind.help()) > len(kind.summary())
    assert isinstance(kind.source, Source)
    assert kind.source.url.startswith("https://arxiv.org/abs/")
    assert kind.source.section
    assert kind.group
    assert kind.stages()
    for info in kind.model_fields.values():
        assert info.description.endswith(".")


@every_trick
def test_needs_and_conflicts_name_something_that_exists(kind):
    assert kind.needs <= FEATURES.keys() | TRICKS.keys()
    for other in kind.conflicts:
        assert kind.name in TRICKS[other].conflicts, f"{other} does not say that it excludes {kind.name}"


@pytest.mark.parametrize(("kind", "field", "bound", "sign"), numbers)
def test_closed_limits_hold(kind, field, bound, sign):
    assert getattr(kind(**{field: bound}), field) == bound
    with pytest.raises(ValidationError):
        kind(**{field: bound + sign})


@pytest.mark.parametrize(("kind", "field", "bound"), open_numbers)
def test_open_limits_hold(kind, field, bound):
    with pytest.raises(ValidationError):
        kind(**{field: bound})


@every_trick
def test_unknown_parameters_are_refused(kind):
    with pytest.raises(ValidationError):
        kind(no_such_parameter=1)


@every_trick
def test_every_number_has_a_range(kind):
    for field, info in kind.model_fields.items():
        if info.annotation in (int, float):
            assert allowed(info), f"{kind.name}.{field} has no range"


@every_trick
def test_json_and_script_round_trip(kind):
    recipe = Recipe(tricks=(kind(),))
    assert Recipe.from_json(recipe.to_json()) == recipe
    namespace = {"__name__": "a script"}
    exec(recipe.to_script(), namespace)
    assert namespace["RECIPE"] == recipe


def test_an_unknown_name_gets_the_closest_ones():
    with pytest.raises(ValueError, match=r"There is no trick .mixpu.\. Did you mean mixup"):
        trick_class("mixpu")
