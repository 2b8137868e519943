"""Signal propagation: what happens to mean and variance from block to block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from keras import ops

from keras_tricks.layers import ACTIVATION_GAMMAS, SkipInit

_END = "_add"


@dataclass(frozen=True)
class BlockSignal:
    """What a batch looks like at one residual block.

    Means and variances of a channel are taken over the batch, the height and the width, and then
    averaged over the channels.

    Args:
        block: Name of the block, such as `"stage1_block1"`.
        squared_mean: Average over the channels of the squared mean, at the output of the block.
        variance: Average over the channels of the variance, at the output of the block.
        branch_squared_mean: The same of the residual branch, before stochastic depth, skip gain and alpha.
        branch_variance: The same.
        predicted_variance: Variance at the output that the network's constants are made for; None for networks that
            normalize.
    """

    block: str
    squared_mean: float
    variance: float
    branch_squared_mean: float
    branch_variance: float
    predicted_variance: float | None


@dataclass(frozen=True)
class SignalPropagation:
    """What a batch looks like at every residual block of a model.

    Args:
        model: Name of the model.
        rows: The blocks, from the input to the output.
    """

    model: str
    rows: tuple[BlockSignal, ...]

    def plot(self, path: str | Path) -> Path:
        """Draw the three plots of the paper side by side as a PNG file.

        They are the average squared mean and the average variance of the channels at the output of each block, the
        latter with its prediction, and the average variance at the end of each residual branch.

        Args:
            path: The file; its folder is made if absent.

        Returns:
            The file.
        """
        from matplotlib.figure import Figure

        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure = Figure(figsize=(12, 3.8), layout="constrained")
        panels = (
            ("Squared mean of the channels", "squared_mean"),
            ("Variance of the channels", "variance"),
            ("Variance of the residual branch", "branch_variance"),
        )
        numbers = range(1, len(self.rows) + 1)
        for axes, (title, name) in zip(figure.subplots(1, 3), panels, strict=True):
            values = [getattr(row, name) for row in self.rows]
            axes.plot(numbers, values, marker="o", markersize=3, color="#4477aa", label="measured")
            predicted = [row.predicted_variance for row in self.rows]
            if name == "variance" and None not in predicted:
                axes.plot(numbers, predicted, linestyle="--", color="#cc6677", label="predicted")
                axes.legend(frameon=False)
            if min(values) > 0 and max(values) > 100 * min(values):
                axes.set_yscale("log")
            else:
                axes.set_ylim(bottom=0)
            axes.set_title(title)
            axes.set_xlabel("block")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(alpha=0.3)
        figure.suptitle(self.model)
        figure.savefig(path, dpi=120)
        return path


def signal_propagation(model: keras.Model, batch: Any, skip_gain: float | None = None) -> SignalPropagation:
    """Measure what a batch looks like at every residual block of a model in inference.

    In a network that has just been built every skip gain is zero, so that the branches do not reach the outputs of the
    blocks. The plots of the paper are of networks without skip gains: ask for `skip_gain=1`.

    The prediction is that of a network at its start, for inputs of variance 1. Measured variances fall below it where
    small maps are mostly zero padding, and in NFNets at the average pools of shortcuts: to a quarter if the images are
    noise, by less the smoother they are.

    Args:
        model: A model of `keras_tricks.models`, with or without its top.
        batch: Images, as the model takes them; noise with mean 0 and variance 1 in the paper.
        skip_gain: What every skip gain is during the measurement; the model is as before afterwards. Defaults to
            None, the model's own.

    Raises:
        ValueError: If the model has no residual blocks, or `skip_gain` is given and it has no skip gains.

    Example:

        noise = keras.random.normal((16, 192, 192, 3))
        signal_propagation(NFNetF0(), noise, skip_gain=1).plot("spp.png")

    Source: Brock et al. 2021, arXiv 2101.08692, section 3.
    """
    found = {layer.name: layer for layer in model.layers}
    blocks = [name.removesuffix(_END) for name in found if name.endswith(_END)]
    if not blocks:
        raise ValueError(
            f"Expected a model of keras_tricks.models with residual blocks. Received: model={model.name!r}"
        )
    tensors = {block: (found[block + _END].output, _branch(found, block)) for block in blocks}
    statistics = {block: [*_moments(output), *_moments(branch)] for block, (output, branch) in tensors.items()}
    with _skip_gains(model, skip_gain):
        predicted = dict(_predicted_variances(found, blocks))
        measured = keras.Model(model.input, statistics).predict_on_batch(batch)
    return SignalPropagation(
        model.name,
        tuple(BlockSignal(block, *map(float, measured[block]), predicted.get(block)) for block in blocks),
    )


def _branch(found: dict[str, keras.layers.Layer], block: str) -> Any:
    """Return the end of the residual branch, before what only scales it towards the sum."""
    if f"{block}_skip" not in found:
        return found[block + _END].input[1]
    features = found[f"{block}_conv3"].output
    gate = found.get(f"{block}_se")
    return features if gate is None else ops.multiply(features, gate.output)


def _moments(x: Any) -> tuple[Any, Any]:
    """Return the average squared mean and the average variance of the channels."""
    x = ops.cast(x, "float32")
    means = ops.mean(x, axis=(0, 1, 2))
    return ops.mean(ops.square(means)), ops.mean(ops.var(x, axis=(0, 1, 2)))


def _predicted_variances(found: dict[str, keras.layers.Layer], blocks: list[str]) -> Iterator[tuple[str, float]]:
    variance = 1.0
    for block in blocks:
        skip = found.get(f"{block}_skip")
        if not isinstance(skip, SkipInit):
            return
        # What is left of the kernel's scale without gamma is 1 / the expected standard deviation.
        downscale = found[f"{block}_conv1"].scale / ACTIVATION_GAMMAS[found[f"{block}_act1"].activation]
        branch = variance * downscale**2
        shortcut = branch if f"{block}_shortcut_conv" in found else variance
        variance = shortcut + branch * (skip.scale * float(skip.skip_gain)) ** 2
        yield block, variance


@contextmanager
def _skip_gains(model: keras.Model, value: float | None) -> Iterator[None]:
    gains = [] if value is None else [layer.skip_gain for layer in model.layers if isinstance(layer, SkipInit)]
    if value is not None and not gains:
        raise ValueError(
            f"Expected skip_gain=None for a model without skip gains, {model.name}. Received: skip_gain={value!r}"
        )
    before = [float(gain) for gain in gains]
    try:
        for gain in gains:
            gain.assign(value)
        yield
    finally:
        for gain, own in zip(gains, before, strict=True):
            gain.assign(own)
