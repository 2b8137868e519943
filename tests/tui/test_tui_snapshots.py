"""What the three modes look like, at both sizes, with a frozen clock and fixed data."""

import time

import pytest

RUNS = (
    ("20270101T000000Z-quickstart-0a1b", {"epochs": 20, "done": 20, "end": "finished"}),
    ("20270102T000000Z-quickstart-2c3d", {"epochs": 20, "done": 3, "end": "failed", "error": "OSError: disk full"}),
    ("20270103T000000Z-quickstart-4e5f", {"epochs": 20, "done": 5, "end": "stopped"}),
)
LIVE = "20270104T000000Z-quickstart-6071"
SIZES = ((80, 24), (120, 36))


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


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("mode", ["launch", "live", "runs"])
def test_mode(mode, size, runs, make_app, until, snap_compare):
    async def settle(pilot):
        screen = pilot.app.screen
        words = {"launch": "running", "live": "quickstart", "runs": "4 runs"}[mode]
        await until(pilot, lambda: screen.query(".subject"))
        await until(pilot, lambda: words in str(screen.query_one(".subject").content))
        await until(pilot, lambda: mode != "launch" or screen.query("#tricks TrickRow"))
        await pilot.pause(0.3)

    assert snap_compare(make_app(mode), terminal_size=size, run_before=settle)


def test_without_colours(runs, make_app, until, snap_compare, monkeypatch):
    """Symbols and letters say what the colours say."""
    monkeypatch.setenv("NO_COLOR", "1")

    async def settle(pilot):
        await until(pilot, lambda: "4 runs" in str(pilot.app.screen.query_one(".subject").content))
        await pilot.pause(0.3)

    assert snap_compare(make_app("runs"), terminal_size=(80, 24), run_before=settle)
