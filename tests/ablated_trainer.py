"""A process that poses as the trainer of an ablation's cells, and does what the seed of the recipe says."""

import json
import os
import sys
import time
from pathlib import Path

from keras_tricks.ablation.launch_local import THREADS
from keras_tricks.runs import RunWriter, open_run

SUCCEEDS, IMPROVES, FAILS, REFUSES, WAITS_ONCE = 0, 1, 2, 3, 4
"""It trains, with another result for each trick; does so too, and better; diverges; ends before it writes anything;
trains until it is asked to stop, and to the end when it goes on from the checkpoint."""

_PATIENCE_S = 60.0

COMMAND = (sys.executable, str(Path(__file__).resolve()))


def train(directory):
    """Do what the recipe in a run directory says."""
    recipe = open_run(directory).recipe()
    does, tricks = recipe["seed"], len(recipe["tricks"])
    if does == REFUSES:
        sys.exit("keras-tricks: nothing works here")
    checkpoint = directory / "checkpoints" / "epoch-0001.weights.h5"
    with RunWriter(directory) as writer:
        noted = {name: os.environ.get(name) for name in (*THREADS, "CUDA_VISIBLE_DEVICES")}
        (directory / "environment.json").write_text(json.dumps({**noted, "resumes": checkpoint.exists()}))
        writer.begin(epochs=2, steps=2)
        if does == FAILS:
            writer.end("failed", "DivergedError: the loss is NaN")
            return
        resumes = checkpoint.exists()
        checkpoint.parent.mkdir(exist_ok=True)
        checkpoint.touch()
        deadline = time.monotonic() + _PATIENCE_S
        while does == WAITS_ONCE and not resumes and time.monotonic() < deadline:
            if writer.stop_requested():
                writer.end("stopped")
                return
            time.sleep(0.02)
        for epoch in (1, 2):
            accuracy = 0.5 + 0.1 * epoch + 0.01 * tricks * (1 + does) + 0.001 * does
            values = {"val_accuracy": accuracy, "val_loss": 1 / epoch, "epoch_seconds": 2.0, "images_per_second": 640.0}
            writer.metrics("epoch", epoch=epoch, step=epoch, values=values)
            writer.update(epoch=epoch, step=epoch, last=values)
        writer.end("finished")


if __name__ == "__main__":
    train(Path(sys.argv[1]))
