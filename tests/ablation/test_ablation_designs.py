"""Designs of ablations: what is on in each variant, in the papers' order, and what always holds."""

from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_tricks import Recipe, RecipeError
from keras_tricks.ablation.designs import DESIGNS, in_paper_order, parse_seeds, variants
from keras_tricks.presets import presets
from keras_tricks.trick import Source, Trick
from keras_tricks.tricks import TRICKS

QUICKSTART = presets()["quickstart"]
PAPER_ORDER = [
    "linear_scaling",
    "warmup",
    "zero_gamma",
    "no_bias_decay",
    "resnet_variant",
    "cosine_decay",
    "label_smoothing",
    "mixup",
]

some_tricks = st.sets(st.sampled_from(sorted(TRICKS)), min_size=1)
some_seeds = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=3, unique=True)


def on(recipe):
    return {trick.name for trick in recipe.tricks}


def test_leave_one_out():
    runs = variants(QUICKSTART, "leave-one-out")
    assert [run.name for run in runs] == ["all tricks", *(f"without {name}" for name in PAPER_ORDER)]
    assert on(runs[0].recipe) == on(QUICKSTART)
    for run, name in zip(runs[1:], PAPER_ORDER, strict=True):
        assert on(run.recipe) == on(QUICKSTART) - {name}
    assert runs[1].recipe.name == "quickstart-without-linear_scaling"


def test_one_at_a_time():
    runs = variants(QUICKSTART, "one-at-a-time")
    assert [run.name for run in runs] == ["baseline", *(f"only {name}" for name in PAPER_ORDER)]
    assert [on(run.recipe) for run in runs] == [set(), *({name} for name in PAPER_ORDER)]
    assert runs[1].recipe.tricks == (QUICKSTART.trick("linear_scaling"),)


def test_stack_in_the_papers_order():
    runs = variants(QUICKSTART, "stack", (3, 1))
    assert [run.name for run in runs][::2] == ["baseline", *(f"+ {name}" for name in PAPER_ORDER)]
    assert [run.seed for run in runs][:4] == [3, 1, 3, 1]
    assert [run.place for run in runs][:4] == [0, 0, 1, 1]
    assert runs[2].recipe.name == "quickstart-plus-linear_scaling-s3"
    for place, run in enumerate(runs[::2]):
        assert on(run.recipe) == set(PAPER_ORDER[:place])
    assert runs[-1].recipe.tricks == QUICKSTART.tricks


def test_the_papers_come_one_after_the_other():
    tricks = [TRICKS[name]() for name in ("sharpness_aware", "weight_averaging", "adaptive_gradient_clipping", "mixup")]
    names = [trick.name for trick in in_paper_order(tricks)]
    assert names == ["mixup", "adaptive_gradient_clipping", "weight_averaging", "sharpness_aware"]


def test_a_trick_is_never_without_those_that_it_needs(monkeypatch):
    class Leaning(Trick):
        """Need the last of the paper's tricks."""

        source: ClassVar = Source(*TRICKS["linear_scaling"].source)
        group: ClassVar = "Schedule"
        needs: ClassVar = frozenset({"mixup"})

        def change_data(self, data, facts):
            return data

    monkeypatch.setitem(TRICKS, "leaning", Leaning)
    recipe = QUICKSTART.with_trick(Leaning())
    assert not [error for design in DESIGNS for run in variants(recipe, design) for error in run.errors]
    names = {design: [run.name for run in variants(recipe, design)] for design in DESIGNS}
    assert {"without mixup and leaning", "without leaning"} < set(names["leave-one-out"])
    assert {"only leaning with mixup", "only mixup"} < set(names["one-at-a-time"])
    assert names["stack"][-2:] == ["+ mixup", "+ leaning"]


@settings(deadline=None, max_examples=50)
@given(names=some_tricks, seeds=some_seeds, design=st.sampled_from(DESIGNS))
def test_what_holds_for_all_designs(names, seeds, design):
    recipe = Recipe(model="nf_resnet20", epochs=90, tricks=tuple(TRICKS[name]() for name in sorted(names)))
    runs = variants(recipe, design, seeds)
    assert len(runs) == (len(names) + 1) * len(seeds)
    assert len({(run.name, run.seed) for run in runs}) == len(runs)
    assert len({(run.place, run.seed) for run in runs}) == len(runs)
    for run in runs:
        assert on(run.recipe) <= names
        assert run.recipe.seed == run.seed
        assert run.recipe.changed(name=recipe.name, seed=recipe.seed, tricks=recipe.tricks) == recipe
        assert all(trick in recipe.tricks for trick in run.recipe.tricks)
    if not [problem for problem in recipe.problems() if problem.level == "error"]:
        assert not [error for run in runs for error in run.errors]


@settings(deadline=None)
@given(names=some_tricks)
def test_the_papers_order_is_an_order(names):
    tricks = [TRICKS[name]() for name in sorted(names)]
    ordered = in_paper_order(tricks)
    assert sorted(trick.name for trick in ordered) == sorted(names)
    assert in_paper_order(reversed(tricks)) == ordered


def test_long_names_stay_names():
    recipe = QUICKSTART.changed(name="x" * 80)
    assert max(len(run.recipe.name) for run in variants(recipe, "leave-one-out", (0, 1))) == 80


@pytest.mark.parametrize(
    ("text", "seeds"), [("0", (0,)), ("0-2", (0, 1, 2)), ("3, 1", (3, 1)), ("0-1,7", (0, 1, 7)), ("5-5", (5,))]
)
def test_seeds_as_typed(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "1,,2", "-1", "2-0", "0-1000", "1.5"])
def test_seeds_that_are_none(text):
    with pytest.raises(RecipeError, match="Expected seeds as"):
        parse_seeds(text)


@pytest.mark.parametrize(
    ("changes", "design", "seeds", "words"),
    [
        ({}, "all", (0,), "leave-one-out.*Received: design='all'"),
        ({"tricks": ()}, "stack", (0,), "has no tricks"),
        ({}, "stack", (), "Received: none"),
        ({}, "stack", (1, 1), "none twice. Received: 1, 1"),
        ({}, "stack", (2**31,), "Received: 2147483648"),
    ],
)
def test_what_cannot_be_ablated(changes, design, seeds, words):
    with pytest.raises(RecipeError, match=words):
        variants(QUICKSTART.changed(**changes), design, seeds)
