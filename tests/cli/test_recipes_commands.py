"""`keras-tricks recipes`: list, save, show, rename and delete."""

import json

import pytest

from keras_tricks import Recipe
from keras_tricks.cli import main
from keras_tricks.presets import presets
from keras_tricks.user_recipes import recipes_directory


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """Run the command line; return exit code, standard output and standard error."""
    monkeypatch.setenv("KERAS_TRICKS_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("KERAS_TRICKS_RUNS", str(tmp_path / "runs"))

    def run(*words):
        with pytest.raises(SystemExit) as caught:
            main(list(words))
        out, err = capsys.readouterr()
        return caught.value.code or 0, out, err

    return run


SAVE = ("recipes", "save", "mine", "--from", "quickstart", "--set", "epochs=3", "--trick", "mixup.alpha=0.5")


def test_a_saved_recipe_is_listed_shown_and_trained(command, tmp_path):
    assert command(*SAVE, "--no-trick", "zero_gamma")[:2] == (0, "saved mine: keras-tricks train mine\n")
    _, out, _ = command("recipes")
    assert out.index("quickstart") < out.index("Your recipes") < out.index("mine")
    names = [document["name"] for document in json.loads(command("recipes", "--json")[1])]
    assert names == [*presets(), "mine"]
    assert "epochs         3" in command("train", "mine", "--dry-run")[1]

    recipe = Recipe.from_json(command("recipes", "show", "mine", "--json")[1])
    assert (recipe.name, recipe.epochs, recipe.trick("mixup").alpha) == ("mine", 3, 0.5)
    script = tmp_path / "script.py"
    script.write_text(command("recipes", "show", "mine", "--script")[1])
    assert Recipe.load(script) == recipe
    shown = command("recipes", "show", "mine")[1]
    assert "keras-tricks train quickstart --set name=mine --set epochs=3 --no-trick zero_gamma" in shown
    assert command("recipes", "show", "quickstart")[1].endswith("keras-tricks train quickstart\n")


def test_rename_replace_and_remove(command, monkeypatch):
    command(*SAVE)
    code, _, err = command(*SAVE)
    assert code == 2 and "You have a recipe mine already" in err and "--replace" in err
    assert command(*SAVE, "--replace")[0] == 0
    assert command("recipes", "rename", "mine", "other")[0] == 0
    questions = []
    monkeypatch.setattr("typer.confirm", lambda question: questions.append(question))
    command("recipes", "rm", "other")
    assert len(questions) == 1 and (recipes_directory() / "other.json").exists()
    assert command("recipes", "rm", "other", "--yes")[0] == 0
    assert not (recipes_directory() / "other.json").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["save", "quickstart", "--from", "quickstart"], "quickstart is a preset"),
        (["save", "a b", "--from", "quickstart"], "Expected 1 to 80 letters"),
        (["save", "mine", "--from", "nonesuch"], "There is no recipe 'nonesuch'"),
        (["save", "mine", "--from", "quickstart", "--set", "epochs=0"], "epochs"),
        (["rm", "nonesuch"], "You have saved no recipe 'nonesuch'"),
        (["rename", "quickstart", "mine"], "comes with the package"),
        (["show", "nonesuch"], "There is no recipe"),
        (["show", "quickstart", "--json", "--script"], "Choose one"),
    ],
)
def test_bad_input_is_one_line(command, words, reason):
    code, out, err = command("recipes", *words)
    assert code == 2
    assert reason in err and len(err.splitlines()) == 1
    assert "Traceback" not in out + err


def test_a_broken_file_is_told_beside_the_list(command):
    recipes_directory().mkdir(parents=True)
    (recipes_directory() / "bad.json").write_text("{")
    code, out, err = command("recipes")
    assert code == 0
    assert "quickstart" in out
    assert "broken recipe" in err and "bad.json is not valid JSON" in err
    assert command("train", "bad", "--dry-run")[0] == 2
    assert command("recipes", "rm", "bad", "--yes")[0] == 0
