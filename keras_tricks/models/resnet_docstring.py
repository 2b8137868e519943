"""The docstring that the ResNet builders share, filled in for each."""

from __future__ import annotations

from collections.abc import Sequence

from keras_tricks.model_facts import ModelFacts

_DOCUMENTATION = """Build {title}.

{description}

The variants are those of "Bag of Tricks":

- `"A"`: the original. {variant_a}
- `"B"`: {variant_b}
- `"C"`: {variant_c}
- `"D"`: C, with a 2x2 average pool before the 1x1 convolution of a shortcut, which then has no
  stride.

Convolutions have no bias. Their kernels are drawn as in He et al. 2015 and in torchvision (normal,
variance 2 / fan out), which keeps the scale through ReLUs; the text of "Bag of Tricks" says Xavier,
its published script He. Batch normalization has momentum 0.9 and epsilon 1e-5. Strided kernels are
padded evenly on both sides, so weights trained in PyTorch fit, and odd sizes are rounded up.

Args:
    include_top: Whether to end in global average pooling and a classifier.
    weights: None (random), {imagenet}or the path of
        a `.weights.h5` or `.keras` file of the same architecture and variant. Variants with equal
        shapes, such as A and B, cannot be told apart by a file.
    input_shape: `(height, width, channels)`, channels last. The height and the width may be None;
        otherwise {sizes}.
    pooling: Without the top: None returns the last feature maps, `"avg"` or `"max"` pools them
        globally. Ignored with the top.
    classes: Number of classes. Ignored without the top.
    classifier_activation: Activation of the classifier; None returns logits. Ignored without the
        top. Under mixed precision the classifier and its activation stay in float32.
    variant: `"A"`, `"B"`, `"C"` or `"D"`. Default `"A"`.
    zero_gamma: Whether the gamma of the last batch normalization of every residual branch starts
        at zero, so that every block starts as its shortcut.
    synchronized_batch_norm: Whether batch statistics are taken over all replicas of a
        `tf.distribute` strategy. TensorFlow backend only.
    output_stride: What height and width are divided by in the end: {output_strides}, or None for
        what the stages were published with. With a smaller one the last stages have dilated
        convolutions instead of strides, for segmentation; the weights are the same.
    name: Name of the model.

Returns:
    A functional `keras.Model` from `(batch, height, width, channels)` to `(batch, classes)`.
    Without the top the output is `(batch, height / {reduction}, width / {reduction}, {channels})`,
    rounded up, or `(batch, {channels})` with pooling.

Raises:
    ValueError: If an argument is wrong; the message says what was expected.

Example:
    >>> model = {builder}(variant="D", zero_gamma=True, classifier_activation=None)
    >>> model.output_shape
    (None, {classes})

Source: {paper},
    {url}, section {section}; the variants are from He et al. 2018, Bag of
    Tricks, https://arxiv.org/abs/1812.01187, section 4.2.
"""


def resnet_docstring(facts: ModelFacts, units: Sequence[int], channels: int) -> str:
    """Return the docstring of one ResNet builder.

    Args:
        facts: The model.
        units: Number of residual units of each stage.
        channels: Channels of the last feature maps.
    """
    bottleneck = "bottleneck" in facts.features
    count, tweaked = facts.parameters["A"] / 1e6, facts.parameters["D"] / 1e6
    if facts.family == "resnet_cifar":
        description = (
            f"The ResNet for small images: a 3x3 stem and three stages of {units[0]} units with\n"
            f"16, 32 and 64 channels; {count:.2f} M parameters at {facts.default_classes} classes. "
            "The shortcuts\nbetween stages are 1x1 convolutions."
        )
        reduction, section = 4, "4.2"
    else:
        description = (
            f"Units per stage: {', '.join(map(str, units))}. {count:.3f} M parameters at "
            f"{facts.default_classes} classes as A and B,\n{tweaked:.3f} M as C and D."
        )
        reduction, section = 32, "4.1"
    return _DOCUMENTATION.format(
        title=facts.title,
        builder=facts.builder,
        description=description,
        variant_a=(
            "The first 1x1 convolution of a bottleneck has the stride."
            if bottleneck
            else "The first 3x3 convolution of a unit has the stride."
        ),
        variant_b=(
            "the 3x3 convolution has the stride."
            if bottleneck
            else "the same as A here: there is no 1x1 to take the stride from."
        ),
        variant_c=(
            "the same as A here: the stem is a 3x3 already."
            if facts.family == "resnet_cifar"
            else "B, with three 3x3 convolutions (32, 32, 64 channels) as the stem."
        ),
        imagenet=(
            '`"imagenet"` (variant A; images normalized by\n        `keras_tricks.weights.imagenet_preprocessing`), '
            if facts.imagenet_weights
            else ""
        ),
        sizes=(
            f"at least {facts.min_image_size}"
            + (f" and at most {facts.max_image_size}" if facts.max_image_size else "")
            + " pixels"
        ),
        reduction=reduction,
        output_strides="2 or 4" if reduction == 4 else "8, 16 or 32",
        channels=channels,
        classes=facts.default_classes,
        paper=facts.source.paper,
        url=facts.source.url,
        section=section,
    )
