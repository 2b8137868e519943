"""Workers in processes of their own: they train as one process does, end together, and go on with another number."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from keras_tricks import Recipe, tricks
from keras_tricks.cluster import tf_config
from keras_tricks.cluster.launch_local import free_ports
from keras_tricks.runs import Run, create_run, schema

RECIPE = Recipe(
    name="workers",
    model="nf_resnet20",
    data="digits",
    image_size=8,
    epochs=2,
    batch_size=240,
    learning_rate=0.3,
    tricks=(
        tricks.CosineDecay(),
        tricks.Warmup(epochs=1),
        tricks.NoBiasDecay(),
        tricks.LabelSmoothing(),
        tricks.Mixup(),
        tricks.Cutmix(),
        tricks.AdaptiveGradientClipping(),
        tricks.WeightAveraging(),
    ),
)
SHORT_STEPS = RECIPE.changed(batch_size=48, learning_rate=0.1)

OVERFLOW = """
import keras
import numpy as np
import tensorflow as tf

from keras_tricks.distribute import ReplicaModel
from keras_tricks.optimizers import SGD


def train_through_overflow(strategy):
    x = np.random.default_rng(7).normal(size=(48, 6, 6, 2)).astype("float32")
    y = np.eye(3, dtype="float32")[np.arange(48) % 3]
    # The second batch overflows on its way back, in the half of worker 1.
    example_weights = np.ones(48, "float32")
    example_weights[16 + 12 : 16 + 16] = 1e6
    keras.utils.set_random_seed(3)
    keras.config.set_dtype_policy("mixed_float16")
    with strategy.scope():
        inputs = keras.Input((6, 6, 2))
        features = keras.layers.BatchNormalization(synchronized=True)(keras.layers.Conv2D(4, 3)(inputs))
        outputs = keras.layers.Dense(3, dtype="float32")(keras.layers.Flatten()(keras.ops.tanh(features)))
        model = ReplicaModel.of(keras.Model(inputs, outputs))
        model.compile(SGD(0.1, momentum=0.9), keras.losses.CategoricalCrossentropy(from_logits=True))
    scales = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: scales.append(float(model.optimizer.dynamic_scale.numpy()))
    )
    batches = tf.data.Dataset.from_tensor_slices((x, y, example_weights)).batch(16)
    model.fit(batches, shuffle=False, verbose=0, callbacks=[look])
    keras.config.set_dtype_policy("float32")
    weights = [weight.tolist() for weight in model.get_weights()]
    return {"scales": scales, "skipped": int(model.optimizer.skipped_steps.numpy()), "weights": weights}
"""

TRAIN = """
import json
import sys
from pathlib import Path

from keras_tricks import Recipe, train
from keras_tricks.cluster import find_workers
from keras_tricks.distribute.multi_worker import join
from keras_tricks.runs import Run

directory = Path(sys.argv[1])
workers = find_workers()
with join(workers) as team:
    before(team)
    if workers.is_chief:
        train.run(Recipe.from_document(Run(directory).recipe()), directory, team=team)
    else:
        train.follow(team)
"""

REPORT_OVERFLOW = (
    OVERFLOW
    + """
def before(team):
    report = train_through_overflow(team.strategy)
    Path(sys.argv[2], f"{team.workers.index}.json").write_text(json.dumps(report))
"""
)


def new_run(root, recipe=RECIPE):
    return create_run(root, recipe.name, recipe.model_dump(mode="json"))


def start_workers(script, count, *arguments):
    """Start the workers as processes and return them."""
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(count))
    return [
        subprocess.Popen(
            [sys.executable, "-c", script + TRAIN, *map(str, arguments)],
            env={**os.environ, "TF_CONFIG": tf_config(addresses, index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(count)
    ]


def end_of(workers, timeout_s=180):
    """Wait for all workers; return their exit codes and what they printed."""
    try:
        outputs = [worker.communicate(timeout=timeout_s)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    return [worker.returncode for worker in workers], outputs


@pytest.fixture
def launch():
    """Train in a run directory, or go on there, with workers that the command line launches; return the launcher."""
    launchers = []

    def run(directory, count):
        words = ["runs", "resume", str(directory), "--launcher", "local", "--workers", str(count)]
        launcher = subprocess.Popen(
            [sys.executable, "-m", "keras_tricks", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        launchers.append(launcher)
        return launcher

    yield run
    for launcher in launchers:
        if launcher.poll() is None:
            for child in psutil.Process(launcher.pid).children():
                child.kill()
            launcher.kill()
        launcher.communicate()


def worker_process(launcher, index):
    """The process of a worker that a launcher has started."""
    for child in psutil.Process(launcher.pid).children():
        if json.loads(child.environ()["TF_CONFIG"])["task"]["index"] == index:
            return child
    raise AssertionError(f"There is no worker {index}.")


def wait_for(condition, timeout_s=120):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def assert_same_end(directory, other, tolerance=1e-5):
    import keras_tricks.layers  # noqa: F401  registers the layers that are in the files
    from keras_tricks import saved_model

    ends = [saved_model.load(path / schema.MODEL_FILE).model.get_weights() for path in (directory, other)]
    for ours, theirs in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
        ours, theirs = (Run(path).metrics().series(name) for path in (directory, other))
        assert ours[0] == theirs[0]
        np.testing.assert_allclose(ours[1], theirs[1], rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The run of one process."""
    from keras_tricks import train

    directory = new_run(tmp_path_factory.mktemp("unbroken"))
    train.run(RECIPE, directory)
    return directory


def test_two_processes_are_as_one_also_when_one_of_them_overflows(tmp_path, unbroken):
    directory = new_run(tmp_path)
    codes, outputs = end_of(start_workers(REPORT_OVERFLOW, 2, directory, tmp_path))
    assert codes == [0, 0], outputs
    assert_same_end(directory, unbroken)
    assert Run(directory).status().state == "finished"
    norms = [Run(path).metrics().series("gradient_norm", "step") for path in (directory, unbroken)]
    assert norms[0][0] == norms[1][0] != []
    np.testing.assert_allclose(norms[0][1], norms[1][1], rtol=1e-3)

    first, second = (json.loads((tmp_path / f"{index}.json").read_text()) for index in range(2))
    assert first == second
    assert first["skipped"] == 1
    start, overflow, after = first["scales"]
    assert (overflow, after) == (start / 2, start / 2)
    assert all(np.isfinite(weight).all() for weight in first["weights"])
    assert any(np.any(weight) for weight in first["weights"])


@pytest.mark.slow
def test_a_killed_worker_fails_the_run_and_one_process_goes_on_with_it(tmp_path, unbroken, launch):
    from keras_tricks import train

    directory = new_run(tmp_path)
    launcher = launch(directory, 2)
    wait_for((directory / "checkpoints" / "epoch-0001.json").exists)
    worker_process(launcher, 1).send_signal(signal.SIGKILL)
    _, words = launcher.communicate(timeout=60)
    assert launcher.returncode not in (0, 130)
    status = Run(directory).status()
    assert status.state == "failed"
    assert "worker 1 (127.0.0.1) was lost" in status.error
    assert "worker 1 (127.0.0.1) was lost" in words
    assert (directory / "worker-1.log").exists()

    train.run(RECIPE, directory)
    assert Run(directory).status().attempt == 2
    assert_same_end(directory, unbroken)


@pytest.mark.slow
def test_a_signal_at_one_worker_stops_all_at_one_step_and_three_go_on(tmp_path, launch):
    from keras_tricks import train

    unbroken = new_run(tmp_path / "unbroken", SHORT_STEPS)
    train.run(SHORT_STEPS, unbroken)
    directory = new_run(tmp_path, SHORT_STEPS)
    launcher = launch(directory, 2)
    wait_for(lambda: any(row.kind == "step" for row in Run(directory).metrics().rows))
    worker_process(launcher, 1).send_signal(signal.SIGTERM)
    _, words = launcher.communicate(timeout=60)
    assert launcher.returncode == 130, words
    status = Run(directory).status()
    assert status.state == "stopped"
    assert status.step in (10, 20)
    assert list((directory / "checkpoints").glob("epoch-0000-step-*.weights.h5"))

    launcher = launch(directory, 3)
    _, words = launcher.communicate(timeout=180)
    assert launcher.returncode == 0, words
    assert Run(directory).status().attempt == 2
    assert_same_end(directory, unbroken)


ERROR = """
def before(team):
    import keras

    class Broken(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                raise OSError("no such image")

    if team.workers.index == 1:
        build = train.build
        def with_error(*arguments, **settings):
            training = build(*arguments, **settings)
            training.callbacks.append(Broken())
            return training
        train.build = with_error
"""

NOT_A_NUMBER = """
def before(team):
    from keras_tricks import data

    if team.workers.index == 1:
        batches = data.training_batches
        def poisoned(*arguments, **settings):
            return batches(*arguments, **settings).map(lambda images, labels: (images * float("nan"), labels))
        data.training_batches = poisoned
"""

DEATH_OF_THE_CHIEF = """
def before(team):
    import os, keras

    class Killed(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                os.kill(os.getpid(), 9)

    if team.workers.is_chief:
        build = train.build
        def with_death(*arguments, **settings):
            training = build(*arguments, **settings)
            training.callbacks.append(Killed())
            return training
        train.build = with_death
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "codes", "state", "error", "words"),
    [
        (ERROR, [1, 1], "failed", "worker 1 (127.0.0.1) failed: OSError: no such image", "OSError: no such image"),
        (NOT_A_NUMBER, [1, 1], "failed", "DivergedError", "the chief (127.0.0.1) failed: DivergedError"),
        (DEATH_OF_THE_CHIEF, [-9, 1], "lost", None, "the chief (127.0.0.1) was lost"),
    ],
    ids=["error", "nan", "chief"],
)
def test_what_ends_one_worker_ends_all(tmp_path, script, codes, state, error, words):
    directory = new_run(tmp_path)
    ends, outputs = end_of(start_workers(script, 2, directory))
    assert ends == codes, outputs
    status = Run(directory).status()
    assert status.state == state
    assert error is None or error in status.error
    assert words in outputs[1]


@pytest.mark.slow
def test_ray_starts_two_workers(tmp_path, unbroken):
    pytest.importorskip("ray.train", reason="needs the extra ray")
    directory = new_run(tmp_path)
    words = [sys.executable, "-m", "keras_tricks", "runs", "resume", str(directory), "--launcher", "ray"]
    answer = subprocess.run([*words, "--workers", "2"], capture_output=True, text=True, timeout=600, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "epoch 2/2" in answer.stdout
    assert_same_end(directory, unbroken)
