"""The user's own recipes: save, find, rename, delete, and files that are broken."""

import json
import re

import pytest

from keras_tricks import Recipe, RecipeError, tricks
from keras_tricks.presets import closest_recipe, command, find_recipe, presets
from keras_tricks.user_recipes import (
    find_user_recipe,
    recipes_directory,
    remove_recipe,
    rename_recipe,
    save_recipe,
    user_recipes,
)

MINE = Recipe(name="x", model="nf_resnet20", epochs=3, tricks=(tricks.Mixup(alpha=0.4),))


@pytest.fixture(autouse=True)
def _config(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_TRICKS_CONFIG", str(tmp_path / "config"))


def test_save_find_rename_remove():
    assert user_recipes() == []
    saved = save_recipe(MINE, "mine")
    assert saved == MINE.changed(name="mine")
    assert find_recipe("mine") == find_user_recipe("mine") == saved
    assert [(own.name, own.recipe, own.error) for own in user_recipes()] == [("mine", saved, "")]
    rename_recipe("mine", "other-1.5")
    assert find_user_recipe("mine") is None
    assert find_recipe("other-1.5") == MINE.changed(name="other-1.5")
    with pytest.raises(RecipeError, match=r"Did you mean other-1\.5"):
        find_recipe("other-1.4")
    remove_recipe("other-1.5")
    assert user_recipes() == []


def test_nothing_is_overwritten_unasked():
    first = save_recipe(MINE, "a")
    save_recipe(MINE.changed(epochs=9), "b")
    for change in (lambda: save_recipe(MINE.changed(epochs=7), "a"), lambda: rename_recipe("b", "a")):
        with pytest.raises(RecipeError, match="You have a recipe a already"):
            change()
    assert find_recipe("a") == first
    assert save_recipe(MINE.changed(epochs=7), "a", replace=True).epochs == 7
    rename_recipe("b", "a", replace=True)
    assert find_recipe("a").epochs == 9
    rename_recipe("a", "a")
    assert [own.name for own in user_recipes()] == ["a"]


@pytest.mark.parametrize("name", ["quickstart", "cifar10-resnet20-d", "", "a b", "a/b", "../x", ".x", "-x", "x.json"])
def test_names_that_cannot_be(name):
    with pytest.raises(RecipeError, match=r"preset|name"):
        save_recipe(MINE, name)
    assert find_user_recipe(name) is None
    assert not recipes_directory().exists()


@pytest.mark.parametrize("change", [remove_recipe, lambda name: rename_recipe(name, "new")])
def test_what_is_not_there(change):
    with pytest.raises(RecipeError, match=r"no recipe .nonesuch.\. There is none"):
        change("nonesuch")
    with pytest.raises(RecipeError, match="quickstart comes with the package"):
        change("quickstart")


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("bad.json", "{", "is not valid JSON"),
        ("bad.json", json.dumps({"epochs": 0}), "epochs"),
        ("bad.json", json.dumps({"schema_version": 99}), "newer|Upgrade"),
        ("quickstart.json", MINE.to_json(), "is a preset. Choose another name. Rename the file"),
        ("a b.json", MINE.to_json(), "Rename the file"),
    ],
)
def test_a_broken_file_is_listed_with_its_reason(file, content, reason):
    save_recipe(MINE, "good")
    (recipes_directory() / file).write_text(content)
    broken = next(own for own in user_recipes() if own.name != "good")
    assert broken.recipe is None
    assert re.search(reason, broken.error)
    assert find_recipe("good").epochs == 3
    if file == "bad.json":
        with pytest.raises(RecipeError, match=reason):
            find_recipe("bad")
        remove_recipe("bad")
        assert [own.name for own in user_recipes()] == ["good"]


def test_a_link_that_leads_nowhere_can_be_removed(tmp_path):
    recipes_directory().mkdir(parents=True)
    (recipes_directory() / "gone.json").symlink_to(tmp_path / "nowhere.json")
    assert [(own.name, own.recipe) for own in user_recipes()] == [("gone", None)]
    remove_recipe("gone")
    assert user_recipes() == []


def test_a_file_is_called_after_its_name():
    save_recipe(MINE, "a")
    (recipes_directory() / "b.json").write_text((recipes_directory() / "a.json").read_text())
    assert find_recipe("b").name == "b"


def test_paths_hold_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert save_recipe(MINE.changed(data="folder:photos"), "mine").data == f"folder:{tmp_path}/photos"


def test_a_folder_that_cannot_be_written():
    recipes_directory().parent.mkdir(parents=True)
    recipes_directory().write_text("")
    with pytest.raises(RecipeError, match="cannot be written"):
        save_recipe(MINE, "mine")


def test_the_closest_recipe_gives_the_shortest_command():
    quickstart = presets()["quickstart"]
    assert closest_recipe(quickstart.changed(epochs=3)) is quickstart
    assert closest_recipe(quickstart.changed(name="other")) is quickstart
    mine = save_recipe(MINE, "mine")
    assert closest_recipe(MINE.changed(seed=3)) == mine
    assert command(find_recipe("mine").changed(seed=3), "mine") == "keras-tricks train mine --set seed=3"
    assert command(mine, mine) == "keras-tricks train mine"
