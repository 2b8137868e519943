"""What the terminal UI remembers, and keys of one's own."""

import json

import pytest

from keras_tricks.user_config import PREFERENCES_FILE, Preferences
from tui.screens.help import HelpScreen, HelpText


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_TRICKS_CONFIG", str(tmp_path / "config"))
    (tmp_path / "config").mkdir()
    return tmp_path / "config"


async def test_a_theme_is_remembered_and_keys_are_ones_own(folder, make_app, until):
    Preferences(keys={"app.help": "f9", "app.runs": "ctrl+r"}).save()
    app = make_app("launch")
    async with app.run_test() as pilot:
        await pilot.press("f9")
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("escape", "ctrl+r")
        await until(pilot, lambda: app.current_mode == "runs")
        app.theme = "nord"
        await until(pilot, lambda: Preferences.load().theme == "nord")
    assert make_app("launch").theme == "nord"
    assert Preferences.load().keys == {"app.help": "f9", "app.runs": "ctrl+r"}


async def test_a_broken_file_is_said_and_left_alone(folder, make_app, until):
    (folder / PREFERENCES_FILE).write_text("{")
    app = make_app("launch")
    async with app.run_test() as pilot:
        await until(pilot, lambda: any("cannot be read" in note.message for note in app._notifications))
        app.theme = "nord"
        await pilot.pause()
    assert (folder / PREFERENCES_FILE).read_text() == "{"


def test_over_ssh_it_looks_and_moves_less(make_app, monkeypatch, folder):
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    assert make_app("launch").refresh_s == 1
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 22 10.0.0.2 22")
    assert make_app("launch").refresh_s == 2
    (folder / PREFERENCES_FILE).write_text(json.dumps({"refresh_s": 0.5}))
    assert make_app("launch").refresh_s == 0.5


async def test_help_begins_with_the_mode_and_names_the_keys_of_ones_own(folder, make_app):
    keys = {"live.zoom": "f8", "live.stop": "x", "launch.launch": "a,f5", "app.help": "?", "live.log_y": "ctrl+shfit"}
    Preferences(keys=keys).save()
    async with make_app("queue").run_test(size=(80, 20)) as pilot:
        await pilot.press("question_mark")
        lines = str(pilot.app.screen.query_one(HelpText).render()).splitlines()
    assert [line.split() for line in lines[1:4]] == [
        ["live.stop", "✗", "no", "such", "id"],
        ["live.log_y", "✗", "there", "is", "no", "key", "'ctrl+shfit'"],
        ["launch.launch", "✗", "a", "is", "the", "key", "of", "launch.queue", "too"],
    ]
    assert lines.index("Queue") < lines.index("Launch")
    assert sum(line.split() == ["live.zoom", "f8:", "Zoom"] for line in lines) == 1
    assert all(line.startswith(" ") or not line or line[0].isupper() for line in lines), "Words left their column."
    assert any(str(folder / PREFERENCES_FILE) in line for line in lines)
