"""InputWait: how long a training waits for its batches."""

from __future__ import annotations

from typing import Any


class InputWait:
    """Count the time that whoever asks a data set for a batch waits for it.

    The rest of the time goes into the steps. It is right on one device; a distribution strategy asks for batches ahead
    of the steps, and its waiting is not that of the training.

    Example:

    ```python
    wait = InputWait()
    model.fit(wait.of(batches), callbacks=[RunLogger(input_wait=wait)])
    ```
    """

    def __init__(self):
        self._seconds: Any = None

    @property
    def seconds(self) -> float | None:
        """Seconds waited since the first batch was asked for; None where nothing is counted."""
        return None if self._seconds is None else float(self._seconds.numpy())

    def of(self, batches: Any) -> Any:
        """Return the same `tf.data.Dataset`, whose batches are waited for under watch."""
        import tensorflow as tf

        if self._seconds is None:
            with tf.device("CPU:0"):
                self._seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False, name="input_wait")
        # The clock is read by the thread that asks, before it asks for the batch itself.
        clock = tf.data.Dataset.range(1).repeat().map(lambda _: tf.timestamp())

        def add(before, batch):
            # This runs when the batch is there.
            with tf.control_dependencies([self._seconds.assign_add(tf.timestamp() - before)]):
                return tf.nest.map_structure(tf.identity, batch)

        options = tf.data.Options()
        options.experimental_optimization.inject_prefetch = False
        return tf.data.Dataset.zip((clock, batches)).map(add).with_options(options)
