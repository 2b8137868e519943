"""SIGKILL, at any moment: the run ends as if nothing had happened, and loses at most the epoch in progress."""

import os
import random
import signal
import time

import pytest
from faults_trainer import (
    RECIPE,
    STEPS_PER_EPOCH,
    assert_same_end,
    killed_before_the_facts_of_epoch_3,
    killed_while_it_writes_the_weights_of_epoch_2,
    left_over,
    new_run,
    starts_of_attempts,
    steps_done,
    wait_for,
)

from keras_tricks.runs import Run, schema, start, wait


def test_killed_within_an_epoch_and_twice_within_a_checkpoint(tmp_path, start_trainer, small_model, unbroken):
    from keras_tricks import train

    directory = new_run(tmp_path)
    run, checkpoints = Run(directory), directory / schema.CHECKPOINTS

    first = start_trainer(directory, seconds_a_step=0.1)
    wait_for(lambda: steps_done(directory) > STEPS_PER_EPOCH + 2)
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    assert run.status().state == "lost"
    assert run.status().epoch == 1

    second = start_trainer(directory, fault=killed_while_it_writes_the_weights_of_epoch_2)
    second.join(60)
    assert second.exitcode == -signal.SIGKILL
    assert run.status().state == "lost"
    assert [path.name.split(".", 2)[2] for path in left_over(checkpoints)] == ["epoch-0002.weights.h5"]
    assert not (checkpoints / "epoch-0002.weights.h5").exists()

    third = start_trainer(directory, fault=killed_before_the_facts_of_epoch_3)
    third.join(60)
    assert third.exitcode == -signal.SIGKILL
    assert (checkpoints / "epoch-0003.weights.h5").exists()
    assert not (checkpoints / "epoch-0003.json").exists()
    assert left_over(checkpoints) == []

    train.run(RECIPE, directory)
    assert starts_of_attempts(directory) == [0, 11, 11, 22]
    warnings = [event.message for event in run.events() if event.kind == "warning"]
    assert any(str(checkpoints / "epoch-0003.json") in warning for warning in warnings)
    assert left_over(directory) == []
    assert_same_end(directory, unbroken)


@pytest.mark.slow
def test_killed_ten_times_at_random_moments(tmp_path):
    """The whole way: `keras-tricks train-run` with a ResNet, as the launcher starts it."""
    from keras_tricks import train

    recipe = RECIPE.changed(epochs=12)
    whole, directory = new_run(tmp_path / "whole", recipe), new_run(tmp_path / "broken", recipe)
    train.run(recipe, whole)
    run, draw = Run(directory), random.Random(1812)
    killed_at = []
    for _ in range(10):
        begun_before = starts_of_attempts(directory)
        # Often enough an epoch is finished, so that there is an end.
        further = draw.choice([0, 1, 5, draw.randrange(STEPS_PER_EPOCH, 2 * STEPS_PER_EPOCH)])
        pid = start(run)

        def is_there(begun_before=begun_before, further=further):
            begun = starts_of_attempts(directory)
            return len(begun) > len(begun_before) and steps_done(directory) >= begun[-1] + further

        wait_for(is_there, seconds=180)
        time.sleep(draw.random() * 0.3)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert run.status().state == "lost"
        killed_at.append(steps_done(directory))
    start(run)
    assert wait(run, timeout_s=300).state == "finished"
    begun = starts_of_attempts(directory)
    assert begun[0] == 0
    assert len(begun) == 11
    for killed, resumed in zip(killed_at, begun[1:], strict=True):
        assert 0 <= killed - resumed <= STEPS_PER_EPOCH
    assert left_over(directory) == []
    assert_same_end(directory, whole)


def test_the_result_says_where_the_best_checkpoint_is(unbroken):
    result = Run(unbroken).result()
    assert result["best_checkpoint"] == f"checkpoints/epoch-{result['best']['epoch']:04d}.weights.h5"
    assert (unbroken / result["best_checkpoint"]).exists()
