"""ReplicaModel: a functional model with the trainer that is right on replicas."""

from __future__ import annotations

from typing import Any

import keras

from keras_tricks.distribute.trainer import ReplicaTrainer

OPTIONS = ("accumulation_steps", "extra_losses", "compiled_loss_weight", "gradient_method")


class ReplicaModel(ReplicaTrainer, keras.Model):
    """A functional model that trains right on replicas: see `ReplicaTrainer` for what that means and its arguments.

    Example:

    ```python
    with strategy.scope():
        model = ReplicaModel.of(nfnet_f0(weights=None, classes=10), accumulation_steps=4)
        model.compile(SGD(0.1), "categorical_crossentropy")
    model.fit(batches)
    ```

    `save` writes the plain model, which whoever loads it can use without this package's trainer; the optimizer is not
    saved with it. `callbacks.Checkpoint` keeps both.
    """

    @classmethod
    def of(cls, model: keras.Model, **options: Any) -> ReplicaModel:
        """Return a model of the same layers and variables.

        Args:
            model: A functional or sequential model, built. The options of a `ReplicaModel` stay, but for those given.
            **options: Arguments of `ReplicaTrainer`.

        Raises:
            ValueError: `model` has no graph of layers or a train step of its own, or there is no such option.
        """
        try:
            if isinstance(model, keras.Sequential):
                (inputs,), (outputs,) = model.inputs, model.outputs
            else:
                inputs, outputs = model.input, model.output
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(
                "Expected a functional model, or a sequential one that is built; let another one have ReplicaTrainer "
                f"as its first base. Received: model={model!r}"
            ) from error
        if isinstance(model, ReplicaTrainer):
            options = {**model._training_options(), **options}
        elif type(model).train_step is not keras.Model.train_step:
            raise ValueError(
                "Expected a model with Keras's own train step; let the class have ReplicaTrainer as its first base, "
                f"and pass its loss in extra_losses. Received: {type(model).__name__} with a train_step"
            )
        unknown = sorted(set(options) - set(OPTIONS))
        if unknown:
            raise ValueError(f"Expected one of {', '.join(OPTIONS)}. Received: {unknown[0]}={options[unknown[0]]!r}")
        replica_model = cls(inputs, outputs, name=model.name, **options)
        replica_model.dtype_policy = model.dtype_policy
        return replica_model

    def plain(self) -> keras.Model:
        """Return a `keras.Model` of the same layers and variables."""
        return keras.Model(self.input, self.output, name=self.name)

    def save(self, filepath, *args, **kwargs):
        """Save the plain model."""
        self.plain().save(filepath, *args, **kwargs)
