"""Networks of convolutions that are each batch-normalized and activated, without residual branches: their builder."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from keras import layers

from keras_tricks.model_facts import ModelFacts, model_facts
from keras_tricks.models.arguments import check_arguments, check_rate
from keras_tricks.models.classifier import finish_model

_DOCUMENTATION = """Build {title}.

{description}

{count:.3f} M parameters at {classes} classes. Convolutions have no bias; their kernels are drawn as
in our ResNets (normal, variance 2 / fan out). Batch normalization has momentum 0.9 and epsilon
1e-3.

Args:
    include_top: Whether to end in global average pooling, dropout and a classifier.
    weights: None (random), `"imagenet"` (those that Keras publishes; images normalized by
        `keras_tricks.weights.imagenet_preprocessing`), or the path of a `.weights.h5` or `.keras`
        file of the same architecture.
    input_shape: `(height, width, channels)`, channels last. The height and the width may be None;
        otherwise at least {smallest} pixels.
    pooling: Without the top: None returns the last feature maps, `"avg"` or `"max"` pools them
        globally. Ignored with the top.
    classes: Number of classes. Ignored without the top.
    classifier_activation: Activation of the classifier; None returns logits. Ignored without the
        top. Under mixed precision the classifier and its activation stay in float32.
    variant: `"original"`, the only one.
    dropout_rate: Share of the features dropped before the classifier, in [0, 1). Default 0;
        {dropout:g} in the code of the paper's authors.
    synchronized_batch_norm: Whether batch statistics are taken over all replicas of a
        `tf.distribute` strategy. TensorFlow backend only.
    name: Name of the model.

Returns:
    A functional `keras.Model` from `(batch, height, width, channels)` to `(batch, classes)`.
    Without the top the output is `(batch, {height}, {width}, {channels})` for images of
    {size} pixels, or `(batch, {channels})` with pooling.

Raises:
    ValueError: If an argument is wrong; the message says what was expected.

Example:
    >>> model = {builder}(dropout_rate=0.2, classifier_activation=None)
    >>> model.output_shape
    (None, {classes})

{source}
"""


@dataclass(frozen=True)
class Convolve:
    """A convolution with what follows each: batch normalization and an activation.

    Args:
        activation: Name of the activation.
        gamma: Whether batch normalization has a gamma.
        synchronized: Whether its statistics are taken over all replicas.
    """

    activation: str
    gamma: bool
    synchronized: bool

    def __call__(
        self,
        x: Any,
        filters: int | None,
        kernel_size: int | tuple[int, int],
        name: str,
        strides: int = 1,
        padding: str = "same",
    ) -> Any:
        """Return the activations for maps or images.

        Args:
            x: The maps.
            filters: Number of filters; None convolves each channel by itself.
            kernel_size: Height and width of the kernels.
            name: Name of the convolution; `conv` in it becomes `bn` and `act` for the layers that follow.
            strides: Its stride.
            padding: `"same"` or `"valid"`.
        """
        arguments = {"strides": strides, "padding": padding, "use_bias": False, "name": name}
        initializer = keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal")
        if filters is None:
            x = layers.DepthwiseConv2D(kernel_size, depthwise_initializer=initializer, **arguments)(x)
        else:
            x = layers.Conv2D(filters, kernel_size, kernel_initializer=initializer, **arguments)(x)
        x = layers.BatchNormalization(
            momentum=0.9,
            epsilon=1e-3,
            scale=self.gamma,
            synchronized=self.synchronized,
            name=name.replace("conv", "bn"),
        )(x)
        return layers.Activation(self.activation, name=name.replace("conv", "act"))(x)


def batch_normalized_builder(
    name: str, body: Callable[[Any, Convolve], Any], *, activation: str, gamma: bool, maps: tuple[int, int, int]
) -> Callable[..., keras.Model]:
    """Return the function that builds one network, with the signature of `keras.applications`.

    Args:
        name: Name of the model in `model_facts.MODELS`.
        body: From images to the last feature maps; its docstring describes the network.
        activation: Name of the activation.
        gamma: Whether batch normalization has a gamma.
        maps: Shape of the last feature maps for images of the default size.
    """
    facts = model_facts(name)
    model_name, size, default_classes = name, facts.default_image_size, facts.default_classes

    def build(
        include_top: bool = True,
        weights: str | Path | None = None,
        input_shape: tuple[int | None, int | None, int] = (size, size, 3),
        pooling: str | None = None,
        classes: int = default_classes,
        classifier_activation: Any = "softmax",
        variant: str = "original",
        dropout_rate: float = 0.0,
        synchronized_batch_norm: bool = False,
        name: str = model_name,
    ) -> keras.Model:
        check_arguments(
            facts,
            include_top=include_top,
            weights=weights,
            input_shape=input_shape,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            variant=variant,
        )
        check_rate("dropout_rate", dropout_rate)
        inputs = keras.Input(input_shape, name="images")
        return finish_model(
            inputs,
            body(inputs, Convolve(activation, gamma, synchronized_batch_norm)),
            facts,
            name=name,
            weights=weights,
            include_top=include_top,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            dropout_rate=dropout_rate,
        )

    build.__name__ = build.__qualname__ = facts.builder
    build.__doc__ = _docstring(facts, body.__doc__ or "", maps)
    return build


def _docstring(facts: ModelFacts, description: str, maps: tuple[int, int, int]) -> str:
    height, width, channels = maps
    source = f"Source: {facts.source.paper}, {facts.source.url}, table 1, and `keras.applications`."
    return _DOCUMENTATION.format(
        title=facts.title,
        builder=facts.builder,
        description="\n".join(line.strip() for line in description.strip().splitlines()),
        count=facts.parameters["original"] / 1e6,
        classes=facts.default_classes,
        smallest=facts.min_image_size,
        dropout=facts.dropout_rate,
        height=height,
        width=width,
        channels=channels,
        size=f"{facts.default_image_size}x{facts.default_image_size}",
        source=textwrap.fill(source, 100, subsequent_indent="    ", break_on_hyphens=False),
    )
