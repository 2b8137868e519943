"""A recipe while it is being edited."""

import shlex

import pytest

from keras_tricks import presets
from tui.draft import Draft, value_text


@pytest.fixture
def draft():
    return Draft(presets.presets()["quickstart"])


def test_starts_as_its_preset(draft):
    assert not draft.edited
    assert draft.problems() == []
    assert draft.command() == "keras-tricks train quickstart"


def test_edits_change_the_recipe_and_the_command(draft):
    draft.edit("epochs", " 5 ")
    draft.edit("mixup.alpha", "0.4")
    draft.toggle("cosine_decay")
    assert draft.recipe.epochs == 5
    assert draft.recipe.trick("mixup").alpha == 0.4
    assert draft.edited
    words = shlex.split(draft.command())
    assert words == draft.argv
    settings = [words[index + 1] for index, word in enumerate(words) if word.startswith("--")]
    assert settings == ["epochs=5", "cosine_decay", "mixup.alpha=0.4"]


def test_the_command_gives_the_recipe_back(draft):
    draft.edit("batch_size", "32")
    draft.edit("data", "folder:/my images")
    draft.toggle("warmup")
    draft.toggle("cutmix")
    draft.edit("cutmix.alpha", "0.5")
    options = {"--set": [], "--trick": [], "--no-trick": []}
    words = shlex.split(draft.command())[3:]
    for option, value in zip(words[::2], words[1::2], strict=True):
        options[option].append(value)
    again = presets.change(draft.base, options["--set"], options["--trick"], options["--no-trick"])
    assert again == draft.recipe


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("epochs", "abc"),
        ("epochs", ""),
        ("epochs", "0"),
        ("learning_rate", "-1"),
        ("mixup.alpha", "11"),
        ("warmup.kind", "sudden"),
        ("name", "a b"),
    ],
)
def test_a_wrong_value_is_kept_and_told(draft, where, text):
    before = draft.recipe
    draft.edit(where, text)
    assert draft.text(where) == text
    assert draft.recipe == before
    assert draft.edited
    [problem] = draft.problems()
    assert (problem.level, problem.where) == ("error", where)
    draft.edit(where, Draft(draft.base).text(where))
    assert draft.problems() == []
    assert not draft.edited


@pytest.mark.parametrize(
    ("where", "texts"), [("epochs", ("7", "", "1", "1e", "1e9x")), ("mixup.alpha", ("0.5", "1", "1x"))]
)
def test_a_wrong_text_goes_back_to_the_value_before_its_editing(draft, where, texts):
    draft.edit(where, texts[0])
    draft.begin_editing(where)
    before = draft.recipe
    for text in texts[1:]:
        draft.edit(where, text)
    draft.begin_editing(where)
    assert draft.recipe == before
    assert draft.left_out == {where: texts[-1]}
    assert [problem.where for problem in draft.problems()] == [where]


def test_the_latest_wrong_value_is_told_first(draft):
    for where, text in (("epochs", "x"), ("batch_size", "y"), ("epochs", "1.5")):
        draft.edit(where, text)
    assert [problem.message for problem in draft.problems()] == [
        "epochs: input should be a valid integer. Received: '1.5'",
        "batch_size: input should be a valid integer. Received: 'y'",
    ]


def test_a_wrong_value_of_a_trick_that_is_off_is_no_problem(draft):
    draft.edit("mixup.alpha", "x")
    draft.toggle("mixup")
    assert draft.problems() == []
    draft.toggle("mixup")
    assert [problem.where for problem in draft.problems()] == ["mixup.alpha"]


def test_a_trick_keeps_its_parameters_while_it_is_off(draft):
    draft.edit("label_smoothing.epsilon", "0.2")
    draft.toggle("label_smoothing")
    assert not draft.is_on("label_smoothing")
    draft.toggle("label_smoothing")
    assert draft.recipe.trick("label_smoothing").epsilon == 0.2


def test_an_optional_field_is_unset_by_no_text(draft):
    draft.edit("image_size", "32")
    assert draft.recipe.image_size == 32
    draft.edit("image_size", "")
    assert draft.recipe.image_size is None
    assert draft.text("image_size") == ""


def test_precision_is_the_trick(draft):
    assert draft.text("precision") == "float32"
    draft.edit("precision", "bfloat16")
    assert draft.recipe.trick("mixed_precision").dtype == "bfloat16"
    assert "mixed_precision.dtype=bfloat16" in draft.command()
    draft.edit("mixed_precision.dtype", "float16")
    assert draft.text("precision") == "float16"
    draft.edit("mixed_precision.dtype", "float17")
    draft.edit("precision", "bfloat16")
    assert draft.problems() == []
    draft.edit("precision", "float32")
    assert not draft.edited
    draft.toggle("mixed_precision")
    assert draft.text("precision") == "bfloat16"


def test_the_draft_of_a_run_has_the_command_of_a_recipe_that_is_there(draft):
    recipe = draft.base.changed(name="other", epochs=3)
    child = Draft(recipe, draft.base, parent="a-run")
    assert not child.edited
    child.edit("seed", "4")
    assert child.command() == "keras-tricks train quickstart --set name=other --set epochs=3 --set seed=4"


def test_memory_of_the_chosen_model(draft):
    small = draft.memory().total
    draft.edit("batch_size", "128")
    assert draft.memory().total > small
    draft.edit("model", "resnet50")
    assert draft.memory().parameters > 23e6
    draft.edit("data", "No Such")
    assert draft.memory() is None


def test_revert_forgets_everything(draft):
    draft.edit("epochs", "x")
    draft.edit("seed", "7")
    draft.toggle("mixup")
    draft.revert()
    assert not draft.edited
    assert draft.text("epochs") == "20"
    assert draft.is_on("mixup")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "true"), (5.0, "5"), (0.1, "0.1"), (1e-5, "1e-05"), ((30.0, 60.5), "30,60.5"), ("D", "D")],
)
def test_values_as_text(value, text):
    assert value_text(value) == text
