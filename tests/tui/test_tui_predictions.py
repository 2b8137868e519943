"""Confusion matrix, classes, confused pairs and worst images of a run."""

import subprocess
import sys

import numpy as np
import pytest
from textual.widgets import ContentSwitcher, DataTable, OptionList, Static

from keras_tricks.predictions import PredictionCounter, Predictions
from keras_tricks.runs import schema
from tui.screens import predictions as screens
from tui.screens.help import HelpScreen, HelpText
from tui.screens.predictions import PredictionsScreen
from tui.widgets.confusion_matrix import ConfusionMatrix
from tui.widgets.image_preview import ImagePreview, fitted

RUN = "20270101T000000Z-quickstart-aaaa"
NAMES = ("cat", "dog", "owl")


def three_classes():
    """Four cats of which one is taken for a dog, and a dog taken for an owl with more certainty."""
    counter = PredictionCounter(NAMES, paths=[f"images/{place}.png" for place in range(6)])
    logits = np.array([[4.0, 0, 0], [4, 0, 0], [4, 0, 0], [0, 1, 0], [0, 0, 6], [0, 0, 3]])
    pixels = np.zeros((6, 8, 8, 3), np.uint8)
    pixels[:, :4] = 250, 10, 10
    counter.add(logits, np.array([0, 0, 0, 0, 1, 2]), pixels)
    return counter.predictions()


@pytest.fixture
def open_predictions(make_app, store, until, monkeypatch):
    """Open the app on a run's predictions, which `written` may be."""
    monkeypatch.setenv("COLORTERM", "truecolor")

    async def open_screen(pilot):
        await until(pilot, lambda: pilot.app.screen.query("#run-detail"))
        await until(pilot, lambda: pilot.app.screen.chosen_run() is not None)
        await pilot.press("w")
        await until(pilot, lambda: isinstance(pilot.app.screen, PredictionsScreen))
        return pilot.app.screen

    def start(written=None):
        directory = store.add(RUN, epochs=2, done=2, end="finished")
        if written is not None:
            written.save(directory / schema.PREDICTIONS_FILE)
        return make_app("runs"), open_screen

    return start


def text(screen, selector):
    return str(screen.query_one(selector, Static).content)


def line(widget, y):
    return "".join(segment.text for segment in widget.render_line(y))


async def test_each_view_and_the_way_back(open_predictions, until):
    app, open_screen = open_predictions(three_classes())
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_screen(pilot)
        await until(pilot, lambda: screen.query_one(ContentSwitcher).current == "matrix")
        assert "Matrix of quickstart aaaa · 6 images · accuracy .6667 · 2 wrong" in text(screen, "#predictions-title")
        matrix = screen.query_one(ConfusionMatrix)
        assert [line(matrix, y).split() for y in range(4)] == [
            ["true↓", "→", "cat", "dog", "owl"],
            ["cat", "3", "1", "·"],
            ["dog", "·", "·", "1"],
            ["owl", "·", "·", "1"],
        ]
        assert text(screen, "#cell") == "cat: 1 of 4 (25.0%) taken for dog"
        await pilot.press("left")
        assert text(screen, "#cell") == "cat: 3 of 4 (75.0%) found"
        await pilot.click(ConfusionMatrix, offset=(26, 2))
        assert text(screen, "#cell") == "dog: 1 of 1 (100.0%) taken for owl"
        await pilot.press("end", "right", "down")
        assert text(screen, "#cell") == "owl: 1 of 1 (100.0%) found"

        await pilot.press("c")
        table = screen.query_one("#classes", DataTable)
        assert [str(row[0]) for row in map(table.get_row_at, range(3))] == ["dog", "cat", "owl"]
        assert list(map(str, table.get_row_at(1)))[1:] == [".7500", "████████", "1.0000", "4", "3"]
        await pilot.press("o", "o")
        assert [str(row[0]) for row in map(table.get_row_at, range(3))] == ["cat", "dog", "owl"]

        await pilot.press("p")
        pairs = screen.query_one("#pairs", DataTable)
        assert [list(map(str, pairs.get_row_at(row))) for row in range(2)] == [
            ["cat", "dog", "1", ".2500"],
            ["dog", "owl", "1", "1.0000"],
        ]

        await pilot.press("w")
        assert screen.query_one(OptionList).option_count == 6
        assert "images/4.png" in text(screen, "#worst-about") and "is dog  loss 6.0" in text(screen, "#worst-about")
        await pilot.press("down")
        assert "images/3.png" in text(screen, "#worst-about")
        await pilot.press("escape")
        assert app.screen.MODE == "runs"


@pytest.mark.parametrize("no_color", [False, True])
async def test_images_are_half_blocks_in_color_and_shades_without(open_predictions, until, monkeypatch, no_color):
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    app, open_screen = open_predictions(three_classes())
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_screen(pilot)
        await until(pilot, lambda: screen.query_one(ContentSwitcher).current == "matrix")
        await pilot.press("w")
        preview = screen.query_one(ImagePreview)
        await until(pilot, lambda: preview.size.height > 0)
        # 8 x 8 pixels, the upper half red, in 14 lines: three times as large.
        first = next(iter(preview.render_line(0)))
        if no_color:
            assert line(preview, 0).rstrip() == "-" * 24 and line(preview, 8).strip() == ""
        else:
            assert first.text == "▀" and first.style.color.triplet == first.style.bgcolor.triplet == (250, 10, 10)
            assert line(preview, 11).rstrip() == "▀" * 24 and line(preview, 12).strip() == ""


async def test_many_classes_begin_with_the_pairs_and_the_matrix_scrolls(open_predictions, until):
    names = tuple(f"species number {index}" for index in range(1000))
    counts = {(index, index): 48 for index in range(1000)} | {(900, 3): 5}
    app, open_screen = open_predictions(Predictions(names, counts))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_screen(pilot)
        await until(pilot, lambda: screen.query_one(ContentSwitcher).current == "pairs")
        await pilot.press("m")
        matrix = screen.query_one(ConfusionMatrix)
        assert "900" in line(matrix, matrix.cursor[0] - matrix.scroll_offset.y + 1)
        assert text(screen, "#cell") == "species number 900: 5 of 53 (9.4%) taken for species number 3"
        await pilot.press("home")
        assert line(matrix, 1).split()[:4] == ["0", "species", "number", "48"]
        await pilot.press("end")
        assert line(matrix, 0).split()[-1] == "999" and "48" in line(matrix, matrix.size.height - 1)
        await pilot.press("pageup")
        assert matrix.cursor == (999 - matrix.size.height + 2, 999)
        await pilot.resize_terminal(120, 36)
        await pilot.pause()
        assert line(matrix, 0).split()[-1] == "999"


async def test_a_child_process_makes_what_is_absent(open_predictions, store, until, monkeypatch):
    app, open_screen = open_predictions()
    started = []

    def child(command, **options):
        started.append(command)
        path = store.root / RUN / schema.PREDICTIONS_FILE
        code = "import sys; print('keras-tricks: No data.', file=sys.stderr); sys.exit(2)"
        if len(started) == 2:
            three_classes().save(path.with_name("made.npz"))
            code = f"import os; os.rename({str(path.with_name('made.npz'))!r}, {str(path)!r})"
        return subprocess.Popen([sys.executable, "-c", code], **options)

    monkeypatch.setattr(screens, "Popen", child)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_screen(pilot)
        await until(pilot, lambda: "There is no predictions.npz yet" in text(screen, "#predictions-note"))
        assert screen.check_action("view", ("matrix",)) is None
        await pilot.press("e")
        await until(pilot, lambda: "The evaluation failed: No data." in text(screen, "#predictions-note"))
        await pilot.press("e")
        await until(pilot, lambda: screen.query_one(ContentSwitcher).current == "matrix")
        assert not screen.query_one("#predictions-note").display
    assert started[0][1:] == ["-m", "keras_tricks", "evaluate", str(store.root / RUN)]


async def test_a_damaged_file_says_so_and_leaving_ends_the_child(open_predictions, store, until, monkeypatch):
    app, open_screen = open_predictions(three_classes())
    (store.root / RUN / schema.PREDICTIONS_FILE).write_bytes(b"PK")
    children = []

    def child(command, **options):
        children.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], **options))
        return children[0]

    monkeypatch.setattr(screens, "Popen", child)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await open_screen(pilot)
        await until(pilot, lambda: "cannot be read: It is no .npz file" in text(screen, "#predictions-note"))
        await pilot.press("e")
        await until(pilot, lambda: children)
        assert "keras-tricks evaluate runs" in text(screen, "#predictions-note")
        assert screen.check_action("evaluate", ()) is None
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is not screen)
    assert children[0].wait(timeout=30) != 0


async def test_help_begins_with_the_keys_of_this_screen(open_predictions, until):
    app, open_screen = open_predictions(three_classes())
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_screen(pilot)
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen) and app.screen.query(HelpText))
        assert list(app.screen.query_one(HelpText)._sections)[1] == "Predictions"
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)


async def test_runs_without_a_model_have_no_predictions(make_app, store, until):
    store.add(RUN, epochs=2, done=0)
    store.rewrite_status(store.root / RUN, state="queued")
    app = make_app("runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: pilot.app.screen.query("#run-detail"))
        await until(pilot, lambda: pilot.app.screen.chosen_run() is not None)
        assert app.screen.check_action("predictions", ()) is None


def test_images_keep_their_aspect():
    image = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3)
    assert fitted(image, 20, 12).shape == (12, 8, 3)
    assert fitted(image, 4, 6) is not None and fitted(image, 3, 3).shape[0] == 3
    large = np.zeros((64, 32, 3), np.uint8)
    for width, height in ((40, 20), (10, 60), (1, 1), (64, 63)):
        height_, width_ = fitted(large, width, height).shape[:2]
        assert 1 <= height_ <= height and 1 <= width_ <= width
