"""What the mean of the last epochs' weights gains over the last ones: rates that are large or small, that fall or stay.

    python benchmarks/checkpoint_averaging.py

ResNet-20 on the digits, without download. Each row is the validation accuracy of the mean of the last 5 epochs less
that of the last weights of the same training, in points, over the seeds.
"""

from __future__ import annotations

import argparse
import os
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from keras_tricks import Recipe, tricks
from keras_tricks.callbacks import CheckpointAveraging
from keras_tricks.presets import presets
from keras_tricks.training import build

AVERAGED = 5


def gain(recipe: Recipe) -> float:
    """Train, and return what the mean gains in validation accuracy."""
    training = build(recipe)
    validation = training.validation_batches()
    raw: list[float] = []

    class AtTheEnd(keras.callbacks.Callback):
        """Look at the weights before they are averaged."""

        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            """Evaluate after the last epoch."""
            if epoch == recipe.epochs - 1:
                raw.append(self.model.evaluate(validation, verbose=0, return_dict=True)["accuracy"])

    training.model.fit(
        training.training_batches(),
        epochs=recipe.epochs,
        steps_per_epoch=training.facts.steps_per_epoch,
        shuffle=False,
        verbose=0,
        callbacks=[AtTheEnd(), CheckpointAveraging(AVERAGED)],
    )
    mean = training.model.evaluate(validation, verbose=0, return_dict=True)["accuracy"]
    return float(mean - raw[0])


def main() -> None:
    """Print a row for each rate and schedule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    print(f"{'learning rate':>13}  {'schedule':8}  gain in points, mean ± standard deviation of n={chosen.seeds}")
    for rate in (0.05, 0.4):
        for name, schedule in (("constant", ()), ("cosine", (tricks.CosineDecay(),))):
            base = presets()["quickstart"].changed(tricks=schedule, epochs=chosen.epochs, learning_rate=rate)
            gains = [100 * gain(base.changed(seed=seed)) for seed in range(chosen.seeds)]
            spread = f"{statistics.fmean(gains):+5.1f} ± {statistics.stdev(gains):.1f}"
            print(f"{rate:13}  {name:8}  {spread}", flush=True)


if __name__ == "__main__":
    main()
