"""InputWait: how long a training waits for its batches."""

from __future__ import annotations

import uuid
from typing import Any

_TAG = "input_wait"


class InputWait:
    """Count the time that whoever asks a data set for a batch waits for it.

    The rest of the time goes into the steps. It is right on one device; a distribution strategy asks for batches ahead
    of the steps, and its waiting is not that of the training. `tf.data` itself counts.

    Example:

    ```python
    wait = InputWait()
    model.fit(wait.of(batches), callbacks=[RunLogger(input_wait=wait)])
    ```
    """

    def __init__(self):
        self._counts: Any = None
        self._watched: list[Any] = []

    @property
    def seconds(self) -> float | None:
        """Seconds waited since the first batch was asked for; None where nothing is counted."""
        if self._counts is None:
            return None
        import tensorflow as tf

        summary = tf.raw_ops.StatsAggregatorSummary(iterator=self._counts).numpy()
        counted = {value.tag: value.histo.sum for value in tf.compat.v1.Summary.FromString(summary).value}
        return counted.get(_TAG, 0.0) / 1e6

    def of(self, batches: Any) -> Any:
        """Return the same `tf.data.Dataset`, whose batches are waited for under watch."""
        import tensorflow as tf

        components = tf.nest.flatten(batches.element_spec)
        same = {
            "output_types": [component.dtype for component in components],
            "output_shapes": [component.shape for component in components],
        }
        with tf.device("CPU:0"):
            if self._counts is None:
                # Handles of one name are one.
                self._counts = tf.raw_ops.StatsAggregatorHandle(shared_name=f"{_TAG}-{uuid.uuid4()}")
            # A function of our own that reads the clock would cost ten times as much.
            timed = tf.raw_ops.LatencyStatsDataset(
                input_dataset=tf.data.experimental.to_variant(batches), tag=_TAG, **same
            )
            counted = tf.raw_ops.SetStatsAggregatorDataset(
                input_dataset=timed, stats_aggregator=self._counts, tag="", counter_prefix="", **same
            )
        # A variant does not keep the functions that it is made of.
        self._watched.append(batches)
        options = tf.data.Options()
        options.experimental_optimization.inject_prefetch = False
        return tf.data.experimental.from_variant(counted, batches.element_spec).with_options(options)
