"""The runner of a lane, as a real process: order, failures, kills, stops."""

import errno
import os
import shutil
import signal
import subprocess
import sys

import psutil
import pytest
from queued_trainer import COMMAND, DIES, FAILS, LINGERS, REFUSES, SUCCEEDS, WAITS

from keras_tricks.queue import QueueLister, runner
from keras_tricks.queue.folder import QueueFolder
from keras_tricks.queue.runner import LaneRunner
from keras_tricks.runs import RunError, RunWriter, fail, request_stop, schema, spawn


def lane_of(queue, name="all"):
    return next(lane for lane in queue.read().lanes if lane.name == name)


def is_idle(queue, name="all"):
    return not lane_of(queue, name).is_alive


def state(run):
    return run.status().state


def trainers(run):
    """The processes that train a run."""
    found = psutil.process_iter(["cmdline"])
    return [process.pid for process in found if (process.info["cmdline"] or [""])[-1] == str(run.directory.resolve())]


def kill_runner(queue, pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert is_idle(queue)


def test_runs_are_trained_in_order_and_none_that_ends_badly_stops_the_lane(queue, add, until):
    runs = [add(does) for does in (SUCCEEDS, FAILS, REFUSES, DIES)]
    removed, damaged = add(), add()
    shutil.rmtree(removed.directory)
    (damaged.directory / schema.STATUS_FILE).write_text("{")
    last = add()
    pid = queue.ensure_runner()
    assert os.getsid(pid) == pid, "It has a session of its own."
    until(lambda: is_idle(queue))

    assert [state(run) for run in (*runs, last)] == ["finished", "failed", "failed", "lost", "finished"]
    assert runs[2].status().error == "keras-tricks: nothing works here"
    queue_now = queue.read()
    assert [entry.run for entry in queue_now.ended] == [run.id for run in (*runs, removed, damaged, last)]
    assert not lane_of(queue).items
    assert lane_of(queue).runner.reason == "its lane is empty"
    log = queue.log("all").read_text()
    assert f"{removed.id}: it was removed" in log
    assert f"{damaged.id}: " in log
    listed = QueueLister(queue.root).look().ended
    assert [run.summary.state for run in listed] == [
        "finished",
        "broken",
        "broken",
        "lost",
        "failed",
        "failed",
        "finished",
    ]


def test_a_lane_has_one_runner_which_outlives_who_started_it(queue, add, until):
    run = add(WAITS)
    code = f"from keras_tricks.queue import RunQueue; print(RunQueue({str(queue.root)!r}, {COMMAND!r}).ensure_runner())"
    pid = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert queue.ensure_runner() is None
    assert lane_of(queue).runner.pid == pid
    until(lambda: state(run) == "running")
    assert len(trainers(run)) == 1
    request_stop(run)
    until(lambda: is_idle(queue))
    assert state(run) == "stopped"


def test_after_a_killed_runner_the_next_one_waits_for_the_run_that_goes_on(queue, add, until):
    first, second = add(WAITS), add()
    pid = queue.ensure_runner()
    until(lambda: state(first) == "running")
    kill_runner(queue, pid)
    assert state(first) == "running"
    assert QueueLister(queue.root).look().lanes[0].state == "gone"

    assert queue.ensure_runner() is not None
    until(lambda: "waits for process" in queue.log("all").read_text())
    assert (state(first), state(second)) == ("running", "queued")
    with pytest.raises(RunError, match="taken by the runner"):
        queue.remove(first.id)
    request_stop(first)
    until(lambda: is_idle(queue))
    assert (state(first), state(second)) == ("stopped", "finished")
    assert second.status().started > first.status().ended


def test_a_run_that_somebody_started_by_hand_is_waited_for(queue, add, until):
    other, by_hand = add(), add(WAITS)
    subprocess.Popen([*COMMAND, str(by_hand.directory)], start_new_session=True)
    until(lambda: state(by_hand) == "running")
    queue.ensure_runner()
    until(lambda: "waits for process" in queue.log("all").read_text())
    assert state(other) == "queued"
    queue.stop()
    assert lane_of(queue).is_stopping
    assert queue.ensure_runner() is None
    assert lane_of(queue).is_stopping
    queue.start()
    assert not lane_of(queue).is_stopping
    request_stop(by_hand)
    until(lambda: is_idle(queue))
    assert state(other) == "finished"


def test_stop_lets_the_run_in_progress_end_and_now_ends_it_too(queue, add, until):
    with pytest.raises(RunError, match="Nothing is queued"):
        queue.stop()
    first, second, third = add(WAITS), add(WAITS), add()
    queue.ensure_runner()
    until(lambda: state(first) == "running")
    queue.stop()
    request_stop(first)
    until(lambda: is_idle(queue))
    assert [state(run) for run in (first, second, third)] == ["stopped", "queued", "queued"]
    assert lane_of(queue).runner.reason == "it was asked to stop"
    with pytest.raises(RunError, match="no runner"):
        queue.stop()

    queue.start()
    until(lambda: state(second) == "running")
    queue.stop(now=True)
    until(lambda: is_idle(queue))
    assert [state(run) for run in (second, third)] == ["stopped", "queued"]


def test_lanes_run_side_by_side_with_their_devices(queue, add, until, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa,GPU-bb,GPU-cc")
    lanes = ("all", "cpu", "gpu1", "gpu2,0")
    runs = [add(WAITS, lane) for lane in lanes]
    for lane in lanes:
        queue.ensure_runner(lane)
    until(lambda: all(state(run) == "running" for run in runs))
    devices = [(run.directory / "devices").read_text() for run in runs]
    assert devices == ["GPU-aa,GPU-bb,GPU-cc", "-1", "GPU-bb", "GPU-aa,GPU-cc"]
    shared = {lane.name: lane.shares_with for lane in QueueLister(queue.root).look().lanes}
    assert shared == {"all": ("gpu0,2", "gpu1"), "cpu": (), "gpu0,2": ("all",), "gpu1": ("all",)}
    with pytest.raises(RunError, match="no GPU 3"):
        queue.ensure_runner("gpu3")


def test_a_queue_that_was_removed_is_not_brought_back(queue, add, until):
    run = add(WAITS)
    pid = queue.ensure_runner()
    until(lambda: state(run) == "running")
    shutil.rmtree(queue.root)
    assert os.waitpid(pid, 0)[1] == 0
    assert not queue.root.exists()


def run_here(queue):
    """Be the runner of the lane."""
    folder = QueueFolder(queue.root)
    with folder.changing():
        lock = folder.take_lane("all")
    LaneRunner(queue.root, "all", os.dup(lock.fileno()), COMMAND).run()
    lock.close()


def test_a_trainer_that_does_not_end_after_its_last_word_is_killed(queue, add, monkeypatch):
    monkeypatch.setattr(runner, "_PATIENCE_S", 0.3)
    lingering, last = add(LINGERS), add()
    run_here(queue)
    assert [state(run) for run in (lingering, last)] == ["finished", "finished"]
    assert not trainers(lingering)


def test_a_run_that_cannot_be_started_is_marked_as_failed(queue, add, monkeypatch):
    first, second = add(), add()
    (first.directory / schema.LOG_FILE).mkdir()
    run_here(queue)
    assert state(first) == "failed"
    assert "Cannot start" in first.status().error
    assert state(second) == "finished"


def test_a_request_to_stop_now_counts_also_while_the_trainer_is_being_started(queue, add, monkeypatch):
    run, other = add(WAITS), add()
    spawn = runner.spawn

    def asked_meanwhile(*arguments, **options):
        queue.stop(now=True)
        return spawn(*arguments, **options)

    monkeypatch.setattr(runner, "spawn", asked_meanwhile)
    run_here(queue)
    assert (state(run), state(other)) == ("stopped", "queued")


def test_without_room_for_its_files_the_runner_ends_and_what_waits_stays(queue, add, monkeypatch, capsys):
    run = add()
    folder = QueueFolder(queue.root)
    monkeypatch.setattr(QueueFolder, "write", lambda *_: (_ for _ in ()).throw(RunError("No room.")))
    run_here(queue)
    assert "the runner ends: No room." in capsys.readouterr().out
    assert folder.order().waiting("all")[0].run == run.id


def test_a_run_that_ended_before_its_turn_is_passed_over(queue, add, until):
    run = add()
    os.waitpid(start_stand_in(run), 0)
    run_here(queue)
    assert run.status().attempt == 1
    assert queue.read().ended[0].run == run.id


def start_stand_in(run):
    return subprocess.Popen([*COMMAND, str(run.directory)]).pid


def test_nothing_is_left_running_where_the_start_cannot_be_noted(queue, add, monkeypatch):
    def no_room(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    run = add(WAITS)
    with monkeypatch.context() as patch:
        patch.setattr("keras_tricks.queue.folder.write_atomically", no_room)
        with pytest.raises(RunError, match=r"all\.json: No space left"):
            queue.ensure_runner()
        patch.setattr("keras_tricks.runs.process.write_atomically", no_room)
        with pytest.raises(RunError, match="Cannot start"):
            spawn(run, trainer=COMMAND)
        with pytest.raises(RunError, match="Cannot write"):
            fail(run, "why")
    assert is_idle(queue)
    assert not trainers(run)
    assert state(run) == "queued"


def test_a_run_that_is_trained_is_not_marked_as_failed(add):
    run = add()
    with RunWriter(run.directory) as writer:
        writer.begin(epochs=1, steps=1)
        with pytest.raises(RunError, match="Stop it first"):
            fail(run, "why")
    assert state(run) == "lost"
