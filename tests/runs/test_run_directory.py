"""The run directory: what the writer writes is what the reader reads, through kills, full disks and torn lines."""

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_tricks import runs
from keras_tricks.runs import Best, MetricsHistory, Run, RunError, RunWriter, schema


@pytest.fixture
def directory(tmp_path):
    return runs.create_run(tmp_path / "runs", "a name/with: signs", {"seed": 3}, argv=["x"])


def trainer(directory, body="time.sleep(60)"):
    """Start a process that holds the run as a trainer does."""
    script = f"""
        import sys, time
        from keras_tricks.runs import RunWriter
        with RunWriter(sys.argv[1]) as run:
            run.begin(epochs=3, steps=30)
            print("ready", flush=True)
            {body}
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(directory)],
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert child.stdout.readline() == "ready\n"
    return child


def test_a_new_run_is_queued_and_named_after_its_recipe(directory):
    run = Run(directory)
    assert run.status().state == "queued"
    assert run.document()["recipe"] == {"seed": 3}
    assert "a-name-with-signs" in run.id
    assert run.document()["versions"]["python"]


def test_status_metrics_events_and_result_come_back(directory):
    with RunWriter(directory) as writer:
        writer.begin(epochs=2, steps=20)
        writer.metrics("step", epoch=0, step=5, values={"loss": math.nan, "rate": math.inf})
        writer.metrics("epoch", epoch=1, step=10, values={"loss": 1.5})
        writer.event("checkpoint", "epoch 1 saved")
        writer.result({"metrics": {"loss": math.nan}})
        writer.end("finished")
    run = Run(directory)
    assert run.status().state == "finished"
    assert run.status().attempt == 1
    history = run.metrics()
    assert history.series("loss") == ([10], [1.5])
    first = history.rows[0].values
    assert math.isnan(first["loss"])
    assert first["rate"] == math.inf
    assert run.events()[0].message == "epoch 1 saved"
    assert math.isnan(run.result()["metrics"]["loss"])
    assert "epoch 1 saved" in run.log_tail()[-1]


def test_a_second_writer_is_refused_and_the_first_goes_on(directory):
    with RunWriter(directory) as writer:
        with pytest.raises(RunError, match="is being trained by process"):
            RunWriter(directory)
        writer.metrics("step", epoch=0, step=1, values={})
    RunWriter(directory).close()


def test_reading_does_not_release_the_writers_lock(directory):
    with RunWriter(directory) as writer:
        writer.begin(epochs=1, steps=1)
        assert Run(directory).is_locked()
        assert Run(directory).is_locked()
        assert Run(directory).status().state == "running"


def test_a_killed_trainer_is_lost_at_once(directory):
    child = trainer(directory)
    assert Run(directory).status().state == "running"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert Run(directory).status().state == "lost"


def test_kill_and_stop_reach_the_process(directory):
    child = trainer(directory)
    run = Run(directory)
    runs.request_stop(run)
    assert (directory / schema.STOP_FILE).exists()
    runs.kill(run)
    assert child.wait(timeout=10) == -signal.SIGKILL
    with pytest.raises(RunError, match="is not running: it is lost"):
        runs.kill(run)
    with pytest.raises(RunError, match="is not running"):
        runs.request_stop(run)


def test_a_reused_process_id_is_never_signalled(directory):
    child = trainer(directory)
    status = json.loads((directory / schema.STATUS_FILE).read_text())
    child.kill()
    child.wait()
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        # The lock is held by another writer, so that the run counts as alive with the wrong process.
        with RunWriter(directory) as writer:
            writer.status = writer.status.model_copy(
                update={"pid": bystander.pid, "pid_created": status["pid_created"] - 1000, "state": "running"}
            )
            writer._write_status()
            with pytest.raises(RunError, match="no process any more"):
                runs.kill(Run(directory))
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_rows_that_a_resumed_attempt_repeats_do_not_count(directory):
    with RunWriter(directory) as writer:
        writer.begin(epochs=3, steps=30)
        writer.metrics("epoch", epoch=1, step=10, values={"loss": 3.0})
        writer.metrics("step", epoch=1, step=15, values={"loss": 2.5})
        writer.metrics("epoch", epoch=2, step=20, values={"loss": 2.0})
    history = Run(directory).metrics()
    with RunWriter(directory) as writer:
        assert writer.status.attempt == 2
        writer.begin(epochs=3, steps=30, epoch=1, step=10)
        writer.metrics("epoch", epoch=2, step=20, values={"loss": 1.9})
    history.update()
    assert history.series("loss") == ([10, 20], [3.0, 1.9])
    assert Run(directory).metrics().series("loss") == ([10, 20], [3.0, 1.9])


@pytest.mark.parametrize(("epoch", "kept"), [(0, False), (1, False), (2, True)])
def test_the_best_epoch_is_forgotten_where_it_is_trained_again(directory, epoch, kept):
    best = Best(metric="val_accuracy", value=0.9, epoch=2)
    with RunWriter(directory) as writer:
        writer.begin(epochs=3, steps=30)
        writer.update(epoch=2, step=20, best=best)
    with RunWriter(directory) as writer:
        writer.begin(epochs=3, steps=30, epoch=epoch, step=10 * epoch)
    assert Run(directory).status().best == (best if kept else None)


def test_a_half_written_line_waits_and_a_torn_one_does_not_swallow_the_next(directory):
    path = directory / schema.METRICS_FILE
    line = schema.encode({"kind": "epoch", "t": 0, "attempt": 1, "epoch": 1, "step": 1, "values": {"a": 1.0}})
    path.write_text(line + "\n" + line[:20])
    history = MetricsHistory(path)
    assert len(history.update()) == 1
    assert history.update() == []
    with RunWriter(directory) as writer:
        writer.metrics("epoch", epoch=2, step=2, values={"a": 2.0})
    history.update()
    assert history.series("a") == ([1, 2], [1.0, 2.0])
    assert history.broken_lines == 1


def test_a_replaced_file_is_read_from_its_start(directory):
    path = directory / schema.METRICS_FILE
    row = {"kind": "epoch", "t": 0, "attempt": 1, "epoch": 1, "step": 1, "values": {"a": 1.0}}
    path.write_text((schema.encode(row) + "\n") * 3)
    history = MetricsHistory(path)
    history.update()
    replacement = path.with_suffix(".new")
    replacement.write_text(schema.encode({**row, "values": {"a": 7.0}}) + "\n")
    replacement.replace(path)
    history.update()
    assert history.series("a") == ([1], [7.0])


@given(
    rows=st.lists(
        st.dictionaries(
            st.sampled_from(["loss", "accuracy", "rate"]),
            st.floats(allow_nan=True, allow_infinity=True),
            max_size=3,
        ),
        max_size=12,
    ),
    cuts=st.lists(st.integers(0, 4000), max_size=5),
)
@settings(max_examples=60, deadline=None)
def test_any_way_of_cutting_the_file_reads_the_same(tmp_path_factory, rows, cuts):
    text = "".join(
        schema.encode({"kind": "step", "t": 0.0, "attempt": 1, "epoch": 0, "step": n, "values": values}) + "\n"
        for n, values in enumerate(rows)
    ).encode()
    path = tmp_path_factory.mktemp("cut") / "metrics.jsonl"
    history = MetricsHistory(path)
    for cut in [*sorted(cuts), len(text)]:
        path.open("ab").close()
        with path.open("r+b") as file:
            file.write(text[: min(cut, len(text))])
        history.update()
    assert [repr(row.values) for row in history.rows] == [repr(dict(values)) for values in rows]


def test_unknown_keys_are_ignored_and_a_newer_schema_is_refused(directory):
    path = directory / schema.STATUS_FILE
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "from_the_future": 1}))
    assert Run(directory).status().state == "queued"
    path.write_text(json.dumps({**document, "schema_version": 2}))
    with pytest.raises(RunError, match="Upgrade keras-tricks"):
        Run(directory).status()


def test_broken_directories_say_what_is_wrong(tmp_path, directory):
    with pytest.raises(RunError, match=r"is not a run: it has no recipe\.json"):
        Run(tmp_path)
    (directory / schema.STATUS_FILE).write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        Run(directory).status()
    (directory / schema.STATUS_FILE).unlink()
    with pytest.raises(RunError, match=r"has no status\.json: the run is incomplete"):
        Run(directory).status()


def test_a_folder_that_cannot_be_written_says_so_and_keeps_nothing(tmp_path):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(RunError, match="Cannot write to"):
        runs.create_run(in_the_way / "runs", "x", {})


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_an_error_and_leaves_the_old_files_whole(tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", mount], check=False).returncode:
        pytest.skip("this system does not let root mount a tmpfs")
    try:
        directory = runs.create_run(mount / "runs", "x", {})
        with RunWriter(directory) as writer:
            writer.begin(epochs=1, steps=10)
            with pytest.raises(OSError, match="No space left"):
                for step in range(10_000):
                    writer.metrics("step", epoch=0, step=step, values={"loss": 1.0})
        assert Run(directory).status().state == "lost"
        assert len(Run(directory).metrics().rows) > 100
        with pytest.raises(RunError, match="No space left"):
            runs.create_run(mount / "runs", "y", {"filler": "z" * 70_000})
        assert [run.id for run in runs.list_runs(mount / "runs")] == [directory.name]
    finally:
        subprocess.run(["umount", mount], check=True)


def test_find_run_takes_ids_parts_paths_and_last(tmp_path):
    first = runs.create_run(tmp_path, "alpha", {})
    time.sleep(0.01)
    second = runs.create_run(tmp_path, "beta", {})
    assert runs.find_run(tmp_path, "alpha").directory == first
    assert runs.find_run(tmp_path, second.name).directory == second
    assert runs.find_run(tmp_path, str(first)).directory == first
    with pytest.raises(RunError, match="means 2 runs"):
        runs.find_run(tmp_path, "-")
    with pytest.raises(RunError, match="There is no run 'gamma'"):
        runs.find_run(tmp_path, "gamma")
    zeta = runs.create_run(tmp_path, "zeta", {})
    assert runs.find_run(tmp_path, "last").directory == zeta
    time.sleep(0.01)
    aardvark = runs.create_run(tmp_path, "aardvark", {})
    assert runs.find_run(tmp_path, "last").directory == aardvark


def test_remove_refuses_a_run_that_is_trained(directory):
    with RunWriter(directory) as writer:
        writer.begin(epochs=1, steps=1)
        with pytest.raises(RunError, match="Stop it first"):
            runs.remove(Run(directory))
    runs.remove(Run(directory))
    assert not directory.exists()


def test_the_heartbeat_beats_while_the_trainer_is_busy(directory):
    with RunWriter(directory) as writer:
        writer.begin(epochs=1, steps=1)
        before = Run(directory).status().heartbeat
        time.sleep(1.5)
        assert Run(directory).status().heartbeat > before


def test_a_run_named_like_a_number_keeps_its_name(tmp_path):
    directory = runs.create_run(tmp_path, "NaN", {"name": "NaN"})
    assert Run(directory).recipe() == {"name": "NaN"}
    assert Run(directory).document()["name"] == "NaN"


def test_a_run_without_a_recipe_says_so_and_is_not_started(tmp_path):
    run = Run(runs.create_run(tmp_path, "fit", None))
    with pytest.raises(RunError, match="has no recipe"):
        run.recipe()
    with pytest.raises(RunError, match="has no recipe"):
        runs.start(run, resume=True)
    assert not run.log_tail() and run.status().state == "queued"


def test_a_starting_run_is_not_removed(directory):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        status = json.loads((directory / schema.STATUS_FILE).read_text())
        (directory / schema.STATUS_FILE).write_text(json.dumps({**status, "state": "starting", "pid": child.pid}))
        with pytest.raises(RunError, match="Stop it first"):
            runs.remove(Run(directory))
    finally:
        child.kill()
        child.wait()
    runs.remove(Run(directory))


def test_a_status_of_the_wrong_shape_does_not_stop_a_new_attempt(directory):
    (directory / schema.STATUS_FILE).write_text('{"epoch": "many"}')
    with RunWriter(directory) as writer:
        assert writer.status.attempt == 1
