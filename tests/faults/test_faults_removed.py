"""A run's directory is removed under it: the run says so, ends at once, and brings nothing back."""

import shutil
import time

from faults_trainer import new_run, steps_done, wait_for


def test_a_removed_directory_ends_the_run(tmp_path, start_trainer):
    directory = new_run(tmp_path / "runs")
    trainer = start_trainer(directory, seconds_a_step=1.5)
    wait_for(lambda: steps_done(directory) > 0)
    while directory.exists():
        # The trainer writes meanwhile, like anybody's rm this may have to go twice.
        shutil.rmtree(directory, ignore_errors=True)
    # It would go on for a minute.
    trainer.join(30)
    assert trainer.exitcode == 1
    said = (tmp_path / "terminal").read_text()
    assert said.count(f"{directory} was removed while the run was trained in it") == 1
    assert "Traceback" not in said
    assert not directory.exists()


def test_the_parent_of_all_runs_is_not_brought_back_either(tmp_path):
    import keras
    import numpy as np
    import pytest

    from keras_tricks.callbacks import Checkpoint, RunLogger
    from keras_tricks.runs import RunWriter, StorageError

    class Remove(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                shutil.rmtree(tmp_path / "runs")

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(loss="mse")
    with RunWriter(new_run(tmp_path / "runs")) as run:
        callbacks = [RunLogger(run), Checkpoint(run.directory / "checkpoints", run=run), Remove()]
        with pytest.raises(StorageError, match="was removed"):
            model.fit(np.zeros((8, 3)), np.zeros((8, 2)), epochs=3, callbacks=callbacks, verbose=0)
        time.sleep(1.5)
    assert not (tmp_path / "runs").exists()
