"""`train.run`: a run that is stopped, killed or damaged ends as one that was left alone."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_tricks import Recipe, RecipeError, tricks
from keras_tricks.runs import Run, RunError, RunWriter, create_run, request_stop, schema, start, wait

RECIPE = Recipe(
    name="small",
    model="resnet20",
    data="digits",
    image_size=8,
    epochs=4,
    batch_size=128,
    tricks=(
        tricks.LinearScaling(),
        tricks.CosineDecay(),
        tricks.Warmup(epochs=1),
        tricks.ZeroGamma(),
        tricks.NoBiasDecay(),
        tricks.ResnetVariant(variant="D"),
        tricks.LabelSmoothing(),
        tricks.Mixup(),
        tricks.Cutmix(),
    ),
)


def new_run(tmp_path, recipe=RECIPE, name="small"):
    return create_run(tmp_path, name, recipe.model_dump(mode="json"))


def weights(directory):
    from keras_tricks import saved_model

    return saved_model.load(directory / schema.MODEL_FILE).model.get_weights()


def assert_same_end(directory, other):
    for ours, theirs in zip(weights(directory), weights(other), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
        ours, theirs = (Run(path).metrics().series(name) for path in (directory, other))
        assert ours[0] == theirs[0]
        np.testing.assert_allclose(ours[1], theirs[1], rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    from keras_tricks import train

    directory = new_run(tmp_path_factory.mktemp("unbroken"))
    train.run(RECIPE, directory)
    return directory


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def test_a_finished_run_holds_all_that_it_should(unbroken):
    run = Run(unbroken)
    status = run.status()
    assert (status.state, status.epoch, status.epochs, status.step) == ("finished", 4, 4, 44)
    plots = [f"plots/{name}.png" for name in ("learning_curves", "diagnostics", "confusion")]
    for file in ("recipe.json", "model.keras", "result.json", *plots, "train.log"):
        assert (unbroken / file).stat().st_size > 0
    assert run.result()["metrics"]["val_accuracy"] == run.metrics().series("val_accuracy")[1][-1]
    assert 0 <= run.result()["calibration_error"] <= 1
    for name in ("gradient_norm", "weight_norm", "input_wait"):
        assert len(run.metrics().series(name)[1]) == 4
    assert run.result()["best"]["value"] == max(run.metrics().series("val_accuracy")[1])
    assert [event.kind for event in run.events()].count("checkpoint") == 4
    assert Recipe.from_document(run.document()["recipe"]) == RECIPE
    from keras_tricks import saved_model

    assert saved_model.load(unbroken / "model.keras").class_names == tuple("0123456789")


@pytest.mark.slow
def test_killed_in_epoch_3_and_resumed_it_ends_the_same(tmp_path, unbroken):
    directory = new_run(tmp_path)
    run = Run(directory)
    pid = start(Run(directory))

    def in_epoch_3():
        rows = run.metrics().rows
        return any(row.step > 22 for row in rows)

    wait_for(in_epoch_3)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert run.status().state == "lost"
    assert run.status().epoch in (2, 3)
    start(Run(directory))
    assert wait(run, timeout_s=120).state == "finished"
    assert run.status().attempt == 2
    assert_same_end(directory, unbroken)


@pytest.mark.slow
def test_stopped_within_an_epoch_and_resumed_it_ends_the_same(tmp_path, unbroken, monkeypatch):
    from keras_tricks import train
    from keras_tricks.callbacks import StopRequested

    directory = new_run(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(RunWriter, "stop_requested", lambda writer: writer.status.step == 27)
        with pytest.raises(StopRequested, match="Stopped after 2 of 4 epochs, at step 27"):
            train.run(RECIPE, directory)
    assert Run(directory).status().state == "stopped"
    assert (directory / schema.CHECKPOINTS / "epoch-0002-step-0000005.weights.h5").exists()
    train.run(RECIPE, directory)
    assert [row.step for row in Run(directory).metrics().rows] == [row.step for row in Run(unbroken).metrics().rows]
    assert_same_end(directory, unbroken)


def test_a_stop_file_stops_it(tmp_path):
    directory = new_run(tmp_path, RECIPE.changed(epochs=500))
    run = Run(directory)
    pid = start(run)
    wait_for(lambda: run.status().state == "running")
    request_stop(run)
    assert wait(run, timeout_s=60).state == "stopped"
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130


@pytest.mark.slow
def test_sigterm_stops_it(tmp_path):
    directory = new_run(tmp_path, RECIPE.changed(epochs=500))
    run = Run(directory)
    pid = start(Run(directory))
    wait_for(lambda: run.status().state == "running")
    os.kill(pid, signal.SIGTERM)
    assert wait(run, timeout_s=60).state == "stopped"
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130


def test_a_second_trainer_is_refused_and_the_first_is_left_alone(tmp_path):
    from keras_tricks import train

    directory = new_run(tmp_path)
    with RunWriter(directory) as writer:
        writer.begin(epochs=1, steps=1)
        before = (directory / schema.METRICS_FILE).read_bytes()
        with pytest.raises(RunError, match="is being trained by process"):
            train.run(RECIPE, directory)
        assert (directory / schema.METRICS_FILE).read_bytes() == before
        assert Run(directory).status().state == "running"


def test_a_failure_is_on_record(tmp_path):
    from keras_tricks import train
    from keras_tricks.callbacks import DivergedError

    recipe = RECIPE.changed(learning_rate=1000.0, epochs=30, tricks=())
    directory = new_run(tmp_path, recipe)
    with pytest.raises(DivergedError):
        train.run(recipe, directory)
    status = Run(directory).status()
    assert status.state == "failed"
    assert status.error.startswith("DivergedError: At step ")
    assert "Traceback" in (directory / schema.LOG_FILE).read_text()


def test_errors_of_the_recipe_stop_it_before_anything_is_trained(tmp_path):
    from keras_tricks import train

    with pytest.raises(RecipeError, match="exclude each other"):
        train.build(RECIPE.with_trick(tricks.StepDecay(epochs=(2,))))
    with pytest.raises(RecipeError, match="cifar10"):
        train.load_data(RECIPE.changed(data="cifar10", data_dir=str(tmp_path)))


def test_two_replicas_give_what_one_device_gives(two_replicas):
    from keras_tricks import data, train

    digits = data.load("digits")
    recipe = RECIPE.changed(epochs=2)
    ends = []
    for replicas in (1, 2):
        training = train.build(recipe.changed(replicas=replicas), digits)
        assert (training.replicas.strategy is None) == (replicas == 1)
        training.model.fit(
            training.training_batches(),
            epochs=1,
            steps_per_epoch=training.facts.steps_per_epoch,
            shuffle=False,
            verbose=0,
        )
        ends.append((training.model.get_weights(), training.model.evaluate(training.validation_batches(), verbose=0)))
    for one, two in zip(ends[0][0], ends[1][0], strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=2e-5)
    np.testing.assert_allclose(ends[0][1], ends[1][1], rtol=0, atol=1e-4)


def test_more_replicas_than_devices_are_refused():
    from keras_tricks import train

    with pytest.raises(RecipeError, match="Set replicas="):
        train.build(RECIPE.changed(replicas=64))


@pytest.mark.slow
def test_tensorboard_logs_on_request(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is an extra")
    from keras_tricks import train

    recipe = RECIPE.changed(epochs=1, tensorboard=True, tricks=())
    directory = new_run(tmp_path, recipe)
    train.run(recipe, directory)
    assert list(directory.glob("tensorboard/*/events.out.tfevents.*"))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_train_resume_and_evaluate(tmp_path, backend):
    pytest.importorskip(backend)
    environment = {**os.environ, "KERAS_BACKEND": backend, "KERAS_TRICKS_RUNS": str(tmp_path)}

    def keras_tricks(*words):
        answer = subprocess.run(
            [sys.executable, "-m", "keras_tricks", *words], env=environment, capture_output=True, text=True
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    keras_tricks("train", "quickstart", "--set", "epochs=3", "--set", "image_size=8", "--set", "batch_size=256")
    (directory,) = tmp_path.iterdir()
    whole = weights(directory)
    # Take the last epoch back, as if the run had been killed in it.
    for file in ("epoch-0003.weights.h5", "epoch-0003.json"):
        (directory / schema.CHECKPOINTS / file).unlink()
    status = json.loads((directory / schema.STATUS_FILE).read_text())
    (directory / schema.STATUS_FILE).write_text(json.dumps({**status, "state": "running"}))
    keras_tricks("runs", "resume", "last")
    assert Run(directory).status().attempt == 2
    for ours, theirs in zip(weights(directory), whole, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    evaluated = json.loads(keras_tricks("evaluate", "last", "--json"))
    assert evaluated["accuracy"] == pytest.approx(Run(directory).result()["metrics"]["val_accuracy"], abs=1e-5)


@pytest.mark.slow
def test_a_run_on_two_replicas_goes_on_within_an_epoch(tmp_path, two_replicas, monkeypatch):
    from keras_tricks import train
    from keras_tricks.callbacks import StopRequested

    recipe = RECIPE.changed(epochs=2, replicas=2)
    whole, broken = new_run(tmp_path, recipe, "whole"), new_run(tmp_path, recipe, "broken")
    train.run(recipe, whole)
    with monkeypatch.context() as patched:
        patched.setattr(RunWriter, "stop_requested", lambda writer: writer.status.step == 15)
        with pytest.raises(StopRequested):
            train.run(recipe, broken)
    train.run(recipe, broken)
    for ours, theirs in zip(weights(broken), weights(whole), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    for name in ("loss", "accuracy", "val_loss"):
        np.testing.assert_allclose(
            Run(broken).metrics().series(name)[1], Run(whole).metrics().series(name)[1], rtol=0, atol=1e-4
        )
    assert train.trained(whole).replicas.count == 1


@pytest.mark.slow
def test_stopped_while_it_loads_within_an_epoch_it_keeps_the_epochs_metrics(tmp_path, unbroken, monkeypatch):
    from keras_tricks import train
    from keras_tricks.callbacks import StopRequested

    directory = new_run(tmp_path)
    for step in (27, 27):
        with monkeypatch.context() as patched:
            patched.setattr(RunWriter, "stop_requested", lambda writer, at=step: writer.status.step == at)
            with pytest.raises(StopRequested):
                train.run(RECIPE, directory)
    train.run(RECIPE, directory)
    assert_same_end(directory, unbroken)


def test_a_second_signal_in_the_epoch_saves_nothing(tmp_path, monkeypatch):
    from keras_tricks import train

    directory = new_run(tmp_path)

    def interrupt(writer):
        if writer.status.step == 15:
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(RunWriter, "stop_requested", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train.run(RECIPE, directory)
    assert sorted(path.name for path in (directory / schema.CHECKPOINTS).glob("*.h5")) == ["epoch-0001.weights.h5"]
    assert Run(directory).status().state == "stopped"


@pytest.mark.parametrize("images", [1, 33, 65, 104, 360, 361])
@pytest.mark.parametrize("replicas", [1, 2, 4])
def test_no_replica_is_left_without_a_validation_image(images, replicas):
    from keras_tricks.training import evaluation_batch_size

    try:
        batch_size = evaluation_batch_size(images, 32, replicas)
    except RecipeError:
        assert images < replicas or all(
            0 < images % b <= b // replicas * (replicas - 1) for b in range(replicas, 33, replicas)
        )
        return
    assert batch_size <= 32
    assert batch_size % replicas == 0
    rest = images % batch_size or batch_size
    assert rest > batch_size // replicas * (replicas - 1)


def test_a_run_cannot_go_on_with_another_backend(tmp_path):
    from keras_tricks import train

    directory = new_run(tmp_path)
    with RunWriter(directory) as writer:
        writer.update("stopped", backend="another")
    with pytest.raises(RunError, match="Set KERAS_BACKEND=another"):
        train.run(RECIPE, directory)


def test_a_run_that_is_all_warmup_after_rounding_has_a_schedule():
    from keras_tricks import data, train

    recipe = Recipe(epochs=1, batch_size=700, image_size=8, tricks=(tricks.Warmup(epochs=0.9), tricks.CosineDecay()))
    assert recipe.problems() == []
    _, facts = train.check(recipe, data.load("digits"))
    assert (facts.warmup_steps, facts.total_steps) == (2, 2)


def test_too_few_images_for_a_batch_are_refused_before_training():
    from keras_tricks import train

    with pytest.raises(RecipeError, match="choose a smaller batch"):
        train.check(RECIPE.changed(batch_size=1000), small_data())


def small_data():
    from keras_tricks import data

    whole = data.load("digits")
    return dataclasses.replace(whole, train=whole.validation)
