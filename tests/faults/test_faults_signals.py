"""Ctrl-C, SIGTERM and a second trainer: the run stops within the epoch, but only when it is meant."""

import os
import signal

from faults_trainer import (
    RECIPE,
    STEPS_PER_EPOCH,
    assert_same_end,
    left_over,
    new_run,
    starts_of_attempts,
    steps_done,
    wait_for,
)

from keras_tricks.runs import Run, schema


def test_a_second_trainer_a_ctrl_c_and_a_sigterm(tmp_path, start_trainer, small_model, unbroken):
    from keras_tricks import train

    directory, terminal = new_run(tmp_path), tmp_path / "terminal"
    first = start_trainer(directory, seconds_a_step=0.15)
    wait_for(lambda: steps_done(directory) > 1)
    second = start_trainer(directory)
    second.join(60)
    assert second.exitcode == 2
    assert f"is being trained by process {first.pid}" in terminal.read_text()
    assert (Run(directory).status().state, Run(directory).status().attempt) == ("running", 1)

    for trainer, number, epoch in ((first, signal.SIGINT, 1), (None, signal.SIGTERM, 2)):
        trainer = trainer or start_trainer(directory, seconds_a_step=0.15)
        begun = epoch * STEPS_PER_EPOCH
        wait_for(lambda begun=begun: steps_done(directory) > begun + 1)
        os.kill(trainer.pid, number)
        trainer.join(30)
        assert trainer.exitcode == 130
        status = Run(directory).status()
        assert (status.state, status.epoch, status.error) == ("stopped", epoch, None)
        assert begun + 1 < status.step < begun + STEPS_PER_EPOCH
        checkpoint = f"epoch-{epoch:04d}-step-{status.step - begun:07d}.json"
        assert (directory / schema.CHECKPOINTS / checkpoint).exists()
        assert Run(directory).events()[-1].message == f"Stopped after {epoch} of 4 epochs, at step {status.step}."
        assert f"at step {status.step}. `keras-tricks runs resume {directory.name}` goes on." in terminal.read_text()
        assert left_over(directory) == []

    train.run(RECIPE, directory)
    assert starts_of_attempts(directory)[2] == status.step
    assert_same_end(directory, unbroken)
