"""From the launch screen into the queue: a recipe, and its variants."""

import pytest
from textual.widgets import Button, Static

from keras_tricks.queue import RunQueue
from keras_tricks.runs import RunError, list_runs
from tui import lanes
from tui.screens.variants import VariantsScreen
from tui.widgets.setup_panel import FieldRow

ABSENT_PID = 2**22 + 1


@pytest.fixture
def app(make_app):
    return make_app("launch")


@pytest.fixture(autouse=True)
def runners(monkeypatch):
    """The lanes whose runners were started; none is."""
    started = []

    def ensure_runner(self, lane="all"):
        started.append(lane)
        return ABSENT_PID

    monkeypatch.setattr(RunQueue, "ensure_runner", ensure_runner)
    monkeypatch.setattr(lanes, "_gpu_count", lambda: 0)
    return started


def queued(store):
    return {lane.name: len(lane.items) for lane in RunQueue(store.root).read().lanes if lane.items}


async def ready(pilot, until):
    await until(pilot, lambda: pilot.app.screen.query(FieldRow))


async def test_a_recipe_is_queued(app, store, runners, until):
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await ready(pilot, until)
        app.screen.draft.edit("epochs", "3")
        await pilot.press("a")
        await until(pilot, lambda: queued(store) == {"all": 1})
        [run] = list_runs(store.root)
        assert run.status().state == "queued"
        assert run.document()["argv"] == ["keras-tricks", "train", "quickstart", "--set", "epochs=3"]
        assert runners == []
        await until(pilot, lambda: not app.screen._busy)
        await pilot.press("A")
        await until(pilot, lambda: runners == ["all"])
        assert queued(store) == {"all": 2}
        assert app.current_mode == "launch"


async def test_the_lane_is_asked_for_where_there_are_several(app, store, runners, monkeypatch, until):
    monkeypatch.setattr(lanes, "_gpu_count", lambda: 2)
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, until)
        await pilot.press("A")
        await until(pilot, lambda: app.screen.query("#lanes"))
        await pilot.press("escape", "A")
        await until(pilot, lambda: app.screen.query("#lanes"))
        await pilot.press("down", "down", "enter")
        await until(pilot, lambda: runners == ["gpu1"])
        assert queued(store) == {"gpu1": 1}


async def test_errors_are_shown_before_anything_is_queued(app, store, until):
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await ready(pilot, until)
        app.screen.draft.edit("model", "nf_resnet20")
        for key, refusal in (("a", "Not queued."), ("V", "No variants.")):
            await pilot.press(key)
            await until(pilot, lambda words=refusal: words in list(app._notifications)[-1].message)
            assert app.screen.focused.where in ("zero_gamma", "resnet_variant")
        assert list_runs(store.root) == []


async def test_variants_are_chosen_seen_and_queued(app, store, runners, until):
    store.add("20270101T000000Z-quickstart-aaaa", done=20, end="finished")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await ready(pilot, until)
        await until(pilot, lambda: app.screen._rows)
        await pilot.press("V")
        await until(pilot, lambda: isinstance(app.screen, VariantsScreen) and app.screen.query("#yes"))
        screen = app.screen
        assert "without mixup" in str(screen.query_one("#variants-text", Static).content)
        assert str(screen.query_one("#variants-total", Static).content).startswith("9 runs, 180 epochs in all, about")
        await pilot.press("left")
        assert "+ mixup" in str(screen.query_one("#variants-text", Static).content)
        await pilot.press("down", "end", "-", "x")
        assert "Expected seeds as" in str(screen.query_one("#variants-total", Static).content)
        assert screen.query_one("#yes", Button).disabled
        await pilot.press("f5")
        assert app.screen is screen
        await pilot.press("backspace", "1")
        assert "seeds 0, 1" in str(screen.query_one("#variants-text", Static).content)
        await pilot.press("f5")
        await until(pilot, lambda: runners == ["all"])
        assert queued(store) == {"all": 18}
        ablations = [run.document()["ablation"] for run in list_runs(store.root) if run.document()["ablation"]]
        assert len({one["id"] for one in ablations}) == 1
        assert {one["design"] for one in ablations} == {"stack"}
        assert {one["variant"] for one in ablations} >= {"baseline", "+ mixup"}


async def test_variants_that_cannot_be_queued_leave_nothing(app, store, monkeypatch, until):
    add, calls = RunQueue.add, []

    def full_after_two(self, *words, **options):
        calls.append(words)
        if len(calls) > 2:
            raise RunError("the disk is full")
        return add(self, *words, **options)

    monkeypatch.setattr(RunQueue, "add", full_after_two)
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await ready(pilot, until)
        await pilot.press("V")
        await until(pilot, lambda: isinstance(app.screen, VariantsScreen) and app.screen.query("#yes"))
        await pilot.click("#yes")
        await until(pilot, lambda: any("the disk is full" in notice.message for notice in app._notifications))
        assert list_runs(store.root) == []
        assert queued(store) == {}


def test_lanes_to_choose_from(store, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert [lane.name for lane in lanes.lane_choices(store.root)] == ["all", "gpu0", "gpu1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert [lane.name for lane in lanes.lane_choices(store.root)] == ["all"]
