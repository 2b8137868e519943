"""Random keys, clicks and sizes: nothing that is typed may break the UI."""

import contextlib
import random
import string

import pytest
from textual.errors import NoWidget

from keras_tricks.runs import process
from tui.app import KerasTricksApp

NAMED_KEYS = """
space enter escape tab shift+tab up down left right home end pageup pagedown backspace delete plus minus slash
question_mark comma full_stop colon equals_sign less_than_sign greater_than_sign left_square_bracket asterisk
right_square_bracket left_parenthesis exclamation_mark quotation_mark ctrl+p ctrl+s ctrl+d ctrl+u ctrl+a f1 f2 f5 f6
"""
KEYS = (*string.ascii_letters.replace("q", ""), *string.digits, *NAMED_KEYS.split())
SIZES = ((80, 24), (120, 36), (240, 60), (20, 6), (80, 10))


@pytest.fixture
def crowded(store, monkeypatch):
    """Runs of several states, and trainers that end at once without a word."""
    popen = process.subprocess.Popen

    def harmless(arguments, **options):
        return popen(["true"], **options)

    monkeypatch.setattr(process.subprocess, "Popen", harmless)
    store.add("20270101T000000Z-quickstart-0a1b", epochs=4, done=4, end="finished")
    store.add("20270102T000000Z-quickstart-2c3d", epochs=4, done=1, end="failed", error="OSError: disk full")
    store.add("20270103T000000Z-quickstart-4e5f", epochs=4, done=2, end="stopped")
    store.add_live("20270104T000000Z-quickstart-6071", epochs=4, done=2, losses=[(10, float("nan"))])
    return store


@pytest.mark.parametrize(
    ("seed", "length"), [(1, 120), pytest.param(2, 10_000, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])]
)
async def test_random_input(seed, length, crowded, make_app, monkeypatch):
    async def stay(app):
        """Do not quit, as a click on the footer or the command palette may ask for."""

    monkeypatch.setattr(KerasTricksApp, "action_quit", stay)
    draw = random.Random(seed)
    app = make_app("launch")
    past = []
    async with app.run_test(size=SIZES[0]) as pilot:
        await pilot.pause(0.5)
        for _ in range(length):
            kind = draw.random()
            try:
                if kind < 0.94:
                    past.append(draw.choice(KEYS))
                    await pilot.press(past[-1])
                elif kind < 0.98:
                    place = draw.randrange(app.size.width), draw.randrange(app.size.height)
                    past.append(place)
                    # A screen that has just come back learns the size of the terminal a moment later.
                    with contextlib.suppress(NoWidget):
                        await pilot.click(offset=place)
                else:
                    past.append(draw.choice(SIZES))
                    await pilot.resize_terminal(*past[-1])
            except Exception as error:
                raise AssertionError(f"after {past[-40:]}") from error
            assert app.is_running, f"It ended after {past[-40:]}."
        await pilot.pause()
        assert app.is_running
        assert app.screen.size == app.size
    assert app._exception is None
