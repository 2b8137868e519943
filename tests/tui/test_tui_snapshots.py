"""What the three modes look like, at both sizes, with a frozen clock and fixed data."""

import re
import time

import pytest

from keras_tricks import Recipe, tricks

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


@pytest.fixture
def runs(store):
    for run_id, arguments in RUNS:
        store.add(run_id, **arguments)
    directory = store.add_live(LIVE)
    log = directory / "train.log"
    log.write_text("".join(f"00:00:{index:02d} {line[9:]}" for index, line in enumerate(log.open())))
    return store


@pytest.fixture
def settle(until):
    """Wait until the screen says certain words at its top right, and does not change any more."""

    def make(words):
        async def wait(pilot):
            screen = pilot.app.screen
            await until(pilot, lambda: screen.query(".subject"))
            await until(pilot, lambda: words in str(screen.query_one(".subject").content), seconds=30)
            before, now = "", picture(pilot.app)
            while now != before:
                await pilot.pause(0.15)
                before, now = now, picture(pilot.app)

        return wait

    return make


def picture(app):
    return re.sub(r"terminal-\d+", "", app.export_screenshot())


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize(
    ("mode", "words"),
    [("launch", "running"), ("live", "quickstart"), ("runs", "4 runs")],
    ids=["launch", "live", "runs"],
)
def test_mode(mode, words, size, runs, make_app, settle, snap_compare):
    assert snap_compare(make_app(mode), terminal_size=size, run_before=settle(words))


def test_without_colours(runs, make_app, settle, snap_compare, monkeypatch):
    """Symbols and letters say what the colours say; plots can be drawn."""
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(make_app("live"), terminal_size=(80, 24), run_before=settle("quickstart"))
