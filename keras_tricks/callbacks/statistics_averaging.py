"""StatisticsAveraging: one set of batch statistics for all replicas."""

from __future__ import annotations

from typing import Any

import keras

from keras_tricks.keras_private import all_layers


class StatisticsAveraging(keras.callbacks.Callback):
    """Replace each replica's moving statistics of batch normalizations by their mean over all replicas.

    For `BatchNormalization(synchronized=False)` on replicas: each normalizes its own part of a batch and keeps its own
    moving statistics, which drift apart; Keras evaluates and saves those of the first one. This takes their mean before
    each evaluation and at the end of each epoch, on all workers. Without replicas it does nothing.

    Example:

    ```python
    model.fit(batches, callbacks=[StatisticsAveraging()])
    ```
    """

    def on_train_begin(self, logs=None):
        """Find the statistics."""
        self._average = _averaging_function(self.model)

    def on_test_begin(self, logs=None):
        """Evaluate with the mean."""
        _averaging_function(self.model)()

    def on_epoch_end(self, epoch, logs=None):
        """Keep the mean."""
        self._average()


def _averaging_function(model: keras.Model) -> Any:
    if keras.backend.backend() != "tensorflow" or model.distribute_strategy.num_replicas_in_sync == 1:
        return lambda: None
    import tensorflow as tf

    strategy = model.distribute_strategy
    statistics = [
        variable.value
        for layer in all_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization)
        for variable in layer.non_trainable_variables
    ]

    @tf.function(autograph=False)
    def means():
        own = strategy.run(lambda: [tf.convert_to_tensor(variable) for variable in statistics])
        return [strategy.reduce(tf.distribute.ReduceOp.MEAN, each, axis=None) for each in own]

    def average():
        for variable, mean in zip(statistics, means(), strict=True):
            variable.assign(mean)

    return average if statistics else lambda: None
