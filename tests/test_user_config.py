"""The user's folder and preferences: kept, checked, and never lost."""

import json

import pytest

from keras_tricks.user_config import PREFERENCES_FILE, ConfigError, Preferences, config_directory


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_TRICKS_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config"


def test_the_folder_is_the_users_unless_named(folder, monkeypatch):
    assert config_directory() == folder
    monkeypatch.delenv("KERAS_TRICKS_CONFIG")
    assert config_directory().name == "keras-tricks"


def test_preferences_are_kept_with_what_a_newer_version_wrote(folder):
    assert Preferences.load() == Preferences()
    folder.mkdir()
    (folder / PREFERENCES_FILE).write_text(json.dumps({"refresh_s": 5, "of_a_newer_version": [1]}))
    Preferences.load().changed(theme="nord", keys={"live.stop": "x"}).save()
    written = json.loads((folder / PREFERENCES_FILE).read_text())
    assert written["of_a_newer_version"] == [1]
    assert (written["theme"], written["refresh_s"], written["keys"]) == ("nord", 5.0, {"live.stop": "x"})
    assert Preferences.load().theme == "nord"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ('{"refresh_s": -1}', "refresh_s.*greater than 0.*Received: -1"),
        ("[]", "Received"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_the_way_out(folder, text, words):
    folder.mkdir()
    (folder / PREFERENCES_FILE).write_text(text)
    with pytest.raises(ConfigError, match=f"{PREFERENCES_FILE}.*{words}"):
        Preferences.load()


def test_a_folder_that_cannot_be_written_is_named(folder):
    folder.parent.joinpath("config").write_text("a file in its place")
    with pytest.raises(ConfigError, match="cannot be written"):
        Preferences(theme="nord").save()
