"""What the modes look like, and what lies over them, at both sizes, with a frozen clock and fixed data."""

import re
import time
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pytest

from keras_tricks import Recipe, tricks
from keras_tricks.predictions import PredictionCounter
from keras_tricks.queue import RunQueue
from keras_tricks.runs import new_run, schema

RUNS = (
    ("20270101T000000Z-quickstart-0a1b", {"epochs": 20, "done": 20, "end": "finished"}),
    ("20270102T000000Z-quickstart-2c3d", {"epochs": 20, "done": 3, "end": "failed", "error": "OSError: disk full"}),
    ("20270103T000000Z-quickstart-4e5f", {"epochs": 20, "done": 5, "end": "stopped"}),
)
LIVE = "20270104T000000Z-quickstart-6071"
SIZES = ((80, 24), (120, 36))


PRESETS = {
    recipe.name: recipe
    for recipe in (
        Recipe(name="cifar10_resnet20_d", data="cifar10"),
        Recipe(name="digits", tricks=(tricks.CosineDecay(), tricks.LabelSmoothing(), tricks.Mixup())),
        Recipe(name="imagenet_resnet50_d_tricks", model="resnet50", data="imagenet2012"),
        Recipe(
            name="quickstart",
            description="A recipe that does not change, for a picture that does not either.",
            published="97 % (nowhere)",
            epochs=20,
            tricks=(
                tricks.LinearScaling(),
                tricks.Warmup(epochs=2),
                tricks.CosineDecay(),
                tricks.StepDecay(epochs=(10, 15)),
                tricks.ResnetVariant(),
                tricks.Mixup(alpha=0.3),
            ),
        ),
    )
}


@pytest.fixture(autouse=True)
def _fixed_presets(monkeypatch):
    for module in ("keras_tricks.presets", "tui.app"):
        monkeypatch.setattr(f"{module}.presets", lambda: PRESETS)


@pytest.fixture(autouse=True)
def _utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def predictions():
    """Of ten digits, some taken for their neighbours."""
    draw = np.random.default_rng(0)
    truth = np.arange(200) % 10
    logits = draw.normal(size=(200, 10)) + 3.0 * np.eye(10)[truth]
    counter = PredictionCounter([str(digit) for digit in range(10)])
    counter.add(logits, truth, np.tile(np.arange(64, dtype=np.uint8).reshape(8, 8, 1) * 4, (200, 1, 1, 3)))
    return counter.predictions()


@pytest.fixture
def runs(store):
    for run_id, arguments in RUNS:
        store.add(run_id, **arguments)
    predictions().save(store.root / RUNS[0][0] / schema.PREDICTIONS_FILE)
    directory = store.add_live(LIVE)
    log = directory / "train.log"
    log.write_text("".join(f"00:00:{index:02d} {line[9:]}" for index, line in enumerate(log.open())))
    return store


@pytest.fixture
def settle(until):
    """Wait until the screen says certain words at its top right, press keys, and wait until it changes no more.

    `over` says that the last key opens something over the screen.
    """

    def make(words, keys=(), *, over=False):
        async def wait(pilot):
            screen = pilot.app.screen
            await until(pilot, lambda: screen.query(".subject"))
            await until(pilot, lambda: words in str(screen.query_one(".subject").content))
            await pilot.pause(0.3)
            for key in keys:
                await pilot.press(key)
            if over:
                await until(pilot, lambda: pilot.app.screen.is_modal)
            before, now = "", picture(pilot.app)
            while now != before:
                await pilot.pause(0.15)
                before, now = now, picture(pilot.app)

        return wait

    return make


def picture(app):
    return re.sub(r"terminal-\d+", "", app.export_screenshot())


def at_each_size(test):
    return pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")(test)


@at_each_size
@pytest.mark.parametrize(
    ("mode", "words"),
    [("launch", "running"), ("live", "quickstart"), ("runs", "4 runs")],
    ids=["launch", "live", "runs"],
)
def test_mode(mode, words, size, runs, make_app, settle, snap_compare):
    assert snap_compare(make_app(mode), terminal_size=size, run_before=settle(words))


@at_each_size
@pytest.mark.parametrize(
    ("mode", "words", "keys"),
    [
        pytest.param("launch", "running", "question_mark", id="help"),
        pytest.param("launch", "running", "up up V", id="variants"),
        pytest.param("launch", "running", "v", id="command"),
        pytest.param("live", "quickstart", "c", id="charts"),
        pytest.param("runs", "4 runs", "c", id="columns"),
        pytest.param("runs", "4 runs", "down D", id="delete"),
        pytest.param("runs", "4 runs", "end w", id="predictions"),
        pytest.param("runs", "4 runs", "end w w", id="worst"),
    ],
)
def test_what_lies_over_a_mode(mode, words, keys, size, runs, make_app, settle, snap_compare):
    assert snap_compare(make_app(mode), terminal_size=size, run_before=settle(words, keys.split(), over=True))


@at_each_size
@pytest.mark.parametrize("key", ["t", "d", "c", "a"], ids=["values", "differences", "curves", "ablation"])
def test_compare(key, size, store, make_app, settle, snap_compare):
    for place, (variant, changes) in enumerate({"baseline": {"tricks": ()}, "+ mixup": {}}.items()):
        for seed in range(3):
            store.add(
                f"2027020{seed + 1}T000000Z-quickstart-{place}{seed}c4",
                end="finished",
                done=20,
                changes={"seed": seed, **changes},
                ablation={"id": "5eed", "design": "stack", "variant": variant, "place": place},
                gain=0.3 * place * (1 + seed) - 0.5 * seed - 3,
            )
    app = make_app("compare")
    app.selection.mark(sorted(store.root.iterdir()))
    assert snap_compare(app, terminal_size=size, run_before=settle("6 runs", [key]))


@at_each_size
def test_queue(size, runs, make_app, settle, snap_compare, monkeypatch):
    queue, now = RunQueue(runs.root), runs.now
    monkeypatch.setattr(new_run.secrets, "token_hex", lambda size: "7e57")
    monkeypatch.setattr(new_run, "datetime", SimpleNamespace(now=lambda zone: datetime.fromtimestamp(now, zone)))
    monkeypatch.setattr(time, "time", runs.clock)
    for minutes, (lane, seed) in enumerate([("all", 0), ("all", 1), ("gpu0,1", 2)]):
        now = runs.now + 60 * minutes
        queue.add(PRESETS["digits"].changed(seed=seed, epochs=20 + minutes), lane=lane)
    monkeypatch.undo()
    assert snap_compare(make_app("queue"), terminal_size=size, run_before=settle("3"))


def test_without_colours(runs, make_app, settle, snap_compare, monkeypatch):
    """Symbols and letters say what the colours say; plots can be drawn."""
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(make_app("live"), terminal_size=(80, 24), run_before=settle("quickstart"))
