"""What an export may not replace, also by force."""

import pytest

from keras_tricks.export_formats import check_target
from keras_tricks.runs import RunError


def test_a_folder_is_replaced_only_if_it_is_a_saved_model(tmp_path):
    mine = tmp_path / "mine"
    (mine / "variables").mkdir(parents=True)
    (mine / "saved_model.pb").touch()
    check_target(mine, "saved_model", overwrite=True)
    (mine / "thesis.txt").touch()
    with pytest.raises(RunError, match="is no SavedModel"):
        check_target(mine, "saved_model", overwrite=True)


@pytest.mark.parametrize("content", [[], ["thesis.txt"], ["model.keras", "recipe.json"]])
def test_other_folders_are_never_replaced(tmp_path, content):
    for name in content:
        (tmp_path / name).touch()
    with pytest.raises(RunError, match="is no SavedModel"):
        check_target(tmp_path, "saved_model", overwrite=True)


def test_the_model_of_a_run_is_never_replaced(tmp_path):
    for name in ("model.keras", "recipe.json"):
        (tmp_path / name).touch()
    with pytest.raises(RunError, match="run's own model"):
        check_target(tmp_path / "model.keras", "keras", overwrite=True)
    check_target(tmp_path / "other.keras", "keras", overwrite=True)
