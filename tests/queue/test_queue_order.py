"""The order of the queue: as a value, against a plain model; and as files, changed by several processes at once."""

import json
import shutil
import subprocess
import sys

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from keras_tricks import tricks
from keras_tricks.presets import presets
from keras_tricks.queue import QueueLister, RunQueue, lane_name, place_of
from keras_tricks.queue.lane import lane_environment, shares_devices
from keras_tricks.queue.order import Order
from keras_tricks.runs import RunError, list_runs

LANES = ("all", "cpu", "gpu0")


class OrderMachine(RuleBasedStateMachine):
    """Lanes as lists: those taken, and those that wait."""

    def __init__(self):
        super().__init__()
        self.order = Order()
        self.taken = {lane: [] for lane in LANES}
        self.waiting = {lane: [] for lane in LANES}
        self.gone = []
        self.made = 0

    @rule(lane=st.sampled_from(LANES))
    def add(self, lane):
        self.made += 1
        self.order = self.order.with_added(f"run{self.made}", lane, self.made)
        self.waiting[lane].append(f"run{self.made}")

    @precondition(lambda self: any(self.waiting.values()))
    @rule(data=st.data(), place=st.sampled_from(["up", "down", "first", "last"]))
    def move(self, data, place):
        lane, run = self._some(data, self.waiting)
        self.order = self.order.with_moved(run, place)
        runs = self.waiting[lane]
        now = runs.index(run)
        runs.remove(run)
        runs.insert({"up": max(now - 1, 0), "down": now + 1, "first": 0, "last": len(runs)}[place], run)

    @precondition(lambda self: any(self.waiting.values()))
    @rule(data=st.data(), new_lane=st.sampled_from(LANES), number=st.integers(-1, 5))
    def move_to_place(self, data, new_lane, number):
        lane, run = self._some(data, self.waiting)
        rest = [other for other in self.waiting[new_lane] if other != run]
        if not 1 <= number <= len(rest) + 1:
            with pytest.raises(RunError, match=f"Expected a place from 1 to {len(rest) + 1}"):
                self.order.with_moved(run, number, new_lane)
            return
        self.order = self.order.with_moved(run, number, new_lane)
        self.waiting[lane].remove(run)
        self.waiting[new_lane].insert(number - 1, run)

    @precondition(lambda self: any(self.waiting.values()))
    @rule(data=st.data())
    def take(self, data):
        lane, run = self._some(data, self.waiting)
        self.order = self.order.with_begun(run, 1.0)
        self.waiting[lane].remove(run)
        self.taken[lane].insert(0, run)

    @precondition(lambda self: any(self.taken.values()))
    @rule(data=st.data())
    def end(self, data):
        lane, run = self._some(data, self.taken)
        with pytest.raises(RunError, match="has been taken"):
            self.order.with_moved(run, "first")
        self.order = self.order.with_ended(run, 2.0)
        self.taken[lane].remove(run)
        self.gone.append(run)

    @precondition(lambda self: any(self.waiting.values()))
    @rule(data=st.data())
    def remove(self, data):
        lane, run = self._some(data, self.waiting)
        self.order = self.order.without(run)
        self.waiting[lane].remove(run)
        with pytest.raises(RunError, match="not in the queue"):
            self.order.without(run)

    @invariant()
    def they_agree(self):
        for lane in LANES:
            assert [item.run for item in self.order.items(lane)] == self.taken[lane] + self.waiting[lane]
            assert [item.run for item in self.order.waiting(lane)] == self.waiting[lane]
        assert [entry.run for entry in self.order.ended] == self.gone[-50:]
        assert all(self.order.lanes.values()), "An empty lane is none."
        assert Order.model_validate_json(self.order.model_dump_json()) == self.order

    def _some(self, data, lanes):
        return data.draw(st.sampled_from([(lane, run) for lane, runs in lanes.items() for run in runs]))


TestOrder = OrderMachine.TestCase
TestOrder.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


CHANGES = """
import sys
from keras_tricks.presets import presets
from keras_tricks.queue import RunQueue

queue = RunQueue(sys.argv[1])
recipe = presets()["quickstart"]
runs = [queue.add(recipe.changed(seed=int(sys.argv[2]))) for _ in range(4)]
queue.move(runs[3].id, "first")
queue.move(runs[0].id, 1, "cpu")
queue.remove(runs[1].id)
"""


def test_changes_by_several_processes_at_once_lose_nothing(tmp_path):
    root = tmp_path / "runs"
    children = [subprocess.Popen([sys.executable, "-c", CHANGES, str(root), str(seed)]) for seed in range(4)]
    assert [child.wait() for child in children] == [0] * 4
    queue = RunQueue(root).read()
    runs = {run.id: run.recipe()["seed"] for run in list_runs(root)}
    for lane, count in {"all": 2, "cpu": 1}.items():
        items = next(found for found in queue.lanes if found.name == lane).items
        assert sorted(runs.pop(item.run) for item in items) == sorted(list(range(4)) * count)
    assert not runs


def test_nothing_is_left_of_a_run_that_cannot_be_queued(queue, monkeypatch):
    recipe = presets()["quickstart"]
    with pytest.raises(RunError, match="There is no folder /nono"):
        queue.add(recipe.changed(data="folder:/nono"))
    with pytest.raises(RunError, match="Expected a lane"):
        queue.add(recipe, lane="tpu")
    assert not queue.root.exists()
    run = queue.add(recipe)
    order = queue.root / ".queue" / "order.json"
    order.write_text("{")
    with pytest.raises(RunError, match=r"order\.json cannot be read"):
        queue.add(recipe)
    order.write_text(json.dumps({"schema_version": 99}))
    with pytest.raises(RunError, match="schema version 99"):
        queue.read()
    assert [found.id for found in list_runs(queue.root)] == [run.id]


def test_a_run_whose_directory_is_gone_is_listed_as_that_and_can_be_taken_out(queue):
    run = queue.add(presets()["quickstart"])
    lister = QueueLister(queue.root)
    first = lister.look().lanes[0].runs[0].summary
    assert lister.look().lanes[0].runs[0].summary is first, "It is read once."
    shutil.rmtree(run.directory)
    gone = lister.look().lanes[0].runs[0].summary
    assert (gone.state, gone.error) == ("broken", "Its directory was removed.")
    queue.remove(run.id)
    assert lister.look().lanes == ()


def test_what_differs_from_the_preset_is_listed(queue):
    recipe = presets()["quickstart"].changed(epochs=3).without_trick("label_smoothing")
    recipe = recipe.with_trick(tricks.GradientClipping()).with_trick(tricks.CosineDecay(final_fraction=0.5))
    queue.add(recipe, ablation={"id": "a", "variant": "only mixup", "place": 1})
    queue.add(recipe.changed(name="of_my_own"))
    own, other = (run.differs for run in QueueLister(queue.root).look().lanes[0].runs)
    assert own == "only mixup epochs=3 -label_smoothing cosine_decay.final_fraction=0.5 +gradient_clipping"
    assert other.startswith("linear_scaling cosine_decay warmup")


def test_relative_paths_of_a_recipe_mean_the_folder_where_it_was_queued(queue, tmp_path, monkeypatch):
    (tmp_path / "images" / "cat").mkdir(parents=True)
    (tmp_path / "images" / "dog").mkdir()
    for kind in ("cat", "dog"):
        (tmp_path / "images" / kind / "0.png").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    run = queue.add(presets()["quickstart"].changed(data="folder:images"), parent="a", ablation={"id": "b"})
    assert run.recipe()["data"] == f"folder:{tmp_path / 'images'}"
    assert (run.document()["parent"], run.document()["ablation"]) == ("a", {"id": "b"})


@pytest.mark.parametrize(
    ("text", "name"), [("all", "all"), ("cpu", "cpu"), ("gpu0", "gpu0"), ("gpu01", "gpu1"), ("gpu3,0", "gpu0,3")]
)
def test_a_lane_has_one_spelling(text, name):
    assert lane_name(text) == name


@pytest.mark.parametrize("text", ["", "ALL", "gpu", "gpu-1", "gpu0,0", "gpu0,gpu1", "gpu1,", "../all", "gpu0 "])
def test_other_lanes_are_refused(text):
    with pytest.raises(RunError, match="Expected a lane: all, cpu, gpu0"):
        lane_name(text)


def test_a_lane_shows_its_devices_only():
    assert lane_environment("all", {"A": "1"}) == {"A": "1"}
    assert lane_environment("cpu", {"CUDA_VISIBLE_DEVICES": "3"}) == {"CUDA_VISIBLE_DEVICES": "-1"}
    shown = lane_environment("gpu1,10", {})
    assert shown == {"CUDA_VISIBLE_DEVICES": "1,10", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert lane_environment("gpu1", {"CUDA_VISIBLE_DEVICES": "4,MIG-x"})["CUDA_VISIBLE_DEVICES"] == "MIG-x"
    for hidden in ("", "-1"):
        with pytest.raises(RunError, match="shows 0"):
            lane_environment("gpu0", {"CUDA_VISIBLE_DEVICES": hidden})


def test_which_lanes_train_on_the_same_devices():
    lanes = ("all", "cpu", "gpu0", "gpu0,3", "gpu1,2")
    shared = {
        frozenset((one, other)) for one in lanes for other in lanes if one != other and shares_devices(one, other)
    }
    assert shared == {frozenset(("all", gpu)) for gpu in lanes[2:]} | {frozenset(("gpu0", "gpu0,3"))}


def test_places():
    assert [place_of(text) for text in ("3", "up", "last")] == [3, "up", "last"]
    for text in ("-1", "1.5", "top", "²"):
        with pytest.raises(RunError, match="Expected a place"):
            place_of(text)
