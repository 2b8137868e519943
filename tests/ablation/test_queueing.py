"""The runs of an ablation in the queue: all or none, and as the command line puts them there."""

import pytest

from keras_tricks.ablation.designs import DESIGNS, variants
from keras_tricks.ablation.queueing import queue_variants
from keras_tricks.cli import main
from keras_tricks.cli.variants_command import DesignName
from keras_tricks.presets import presets
from keras_tricks.queue import RunQueue
from keras_tricks.runs import RunError, list_runs

QUICKSTART = presets()["quickstart"]


def queued(root):
    return [item.run for lane in RunQueue(root).read().lanes for item in lane.items]


def test_the_runs_share_an_id_and_say_their_place(tmp_path):
    runs = variants(QUICKSTART, "stack", (0, 1))
    added = queue_variants(RunQueue(tmp_path), runs, "stack", "quickstart", lane="gpu0", parent="an-older-run")
    documents = [run.document() for run in added]
    assert [run.id for run in added] == queued(tmp_path)
    assert [lane.name for lane in RunQueue(tmp_path).read().lanes if lane.items] == ["gpu0"]
    assert len({document["ablation"]["id"] for document in documents}) == 1
    told = [
        (document["ablation"]["variant"], document["ablation"]["place"], document["seed"]) for document in documents
    ]
    assert told == [(run.name, run.place, run.seed) for run in runs]
    assert {document["ablation"]["design"] for document in documents} == {"stack"}
    assert {document["parent"] for document in documents} == {"an-older-run"}
    assert documents[0]["argv"][:4] == ["keras-tricks", "train", "quickstart", "--set"]
    assert documents[0]["recipe"]["tricks"] == []


def test_nothing_is_left_when_one_cannot_be_added(tmp_path, monkeypatch):
    add, calls = RunQueue.add, []

    def full_after_three(self, *words, **options):
        calls.append(words)
        if len(calls) > 3:
            raise RunError("the disk is full")
        return add(self, *words, **options)

    monkeypatch.setattr(RunQueue, "add", full_after_three)
    with pytest.raises(RunError, match="disk is full"):
        queue_variants(RunQueue(tmp_path), variants(QUICKSTART, "stack"), "stack", "quickstart")
    assert len(calls) == 4
    assert list_runs(tmp_path) == []
    assert queued(tmp_path) == []


def test_nothing_is_begun_when_one_has_an_error(tmp_path):
    broken = QUICKSTART.changed(model="nf_resnet20")
    with pytest.raises(RunError, match=r"all tricks: .*zero_gamma needs"):
        queue_variants(RunQueue(tmp_path), variants(broken, "leave-one-out"), "leave-one-out", "quickstart")
    assert list_runs(tmp_path) == []


def test_the_command_knows_the_designs():
    assert tuple(DesignName) == DESIGNS


@pytest.fixture
def command(capsys, tmp_path):
    def run(*words):
        with pytest.raises(SystemExit) as caught:
            main(["queue", "variants", *words, "--runs-dir", str(tmp_path)])
        return caught.value.code or 0, *capsys.readouterr()

    return run


def test_the_command(command, tmp_path):
    code, out, _ = command("quickstart", "--design", "stack", "--seeds", "0-1", "--no-trick", "mixup", "--dry-run")
    assert code == 0
    assert "+ label_smoothing" in out and "quickstart-baseline-s1" in out and "mixup" not in out
    assert list_runs(tmp_path) == []
    code, out, _ = command("quickstart", "--seeds", "5", "--set", "epochs=2", "--no-start")
    assert code == 0
    assert len(queued(tmp_path)) == len(out.splitlines()) == 9
    assert {run.recipe()["epochs"] for run in list_runs(tmp_path)} == {2}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["quickstart", "--seeds", "2-0"], "Expected seeds as"),
        (["quickstart", "--design", "none"], "none"),
        (["quickstart", "--lane", "tpu"], "Expected a lane"),
        (["quickstart", "--set", "model=nf_resnet20"], "zero_gamma needs"),
        (["nonesuch"], "There is no recipe"),
    ],
)
def test_bad_input(command, tmp_path, words, reason):
    code, _, err = command(*words)
    assert code == 2 and reason in err
    assert list_runs(tmp_path) == []
