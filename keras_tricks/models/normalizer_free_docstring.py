"""The docstring that the builders of NFNets and NF-ResNets share, filled in for each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from keras_tricks.model_facts import ModelFacts

if TYPE_CHECKING:
    from keras_tricks.models.normalizer_free import Architecture

_DOCUMENTATION = """Build {title}.

{description}

No layer normalizes. Convolutions standardize their kernels, activations keep the variance, and each
block divides its input by the standard deviation that it is expected to have, adds a small step
`alpha` times its branch, and starts as its shortcut, because the gain of the branch (`skip_gain`)
starts at zero. The gammas of the activations and the expected deviations are multiplied into the
kernels of the convolutions that follow: the same function, with one pass over the images less.

{timm}Args:
    include_top: Whether to end in global average pooling, dropout and a classifier.
    weights: None (random), or the path of a `.weights.h5` or `.keras` file of the same architecture
        and variant.
    input_shape: `(height, width, channels)`, channels last. The height and the width may be None;
        otherwise {sizes}.
    pooling: Without the top: None returns the last feature maps, `"avg"` or `"max"` pools them
        globally. Ignored with the top.
    classes: Number of classes. Ignored without the top.
    classifier_activation: Activation of the classifier; None returns logits. Ignored without the
        top. Under mixed precision the classifier and its activation stay in float32.
    variant: {variants}. Default `"original"`.
    activation: Name of the activation, one of `keras_tricks.layers.ACTIVATION_GAMMAS` but not
        `"glu"`. Default `"{activation}"`.
    alpha: Factor of the residual branches, above 0. Default 0.2.
    dropout_rate: Share of the features dropped before the classifier, in [0, 1). Default
        0{dropout}.
    stochastic_depth_rate: Rate of stochastic depth, in [0, 1): the block of index `i` of `n` drops
        the branch of a sample with probability `rate * i / n`. Default 0{stochastic_depth}.
    small_images: {small_images}
    split_groups: How grouped convolutions are computed, as in
        `keras_tricks.layers.ScaledStandardizedConv2D`. Default None, whichever is faster.
    output_stride: What height and width are divided by in the end:
        {output_strides}; or None for what
        the stages were published with. With a smaller one the last stages have dilated convolutions
        instead of strides, for segmentation; the weights are the same.
    name: Name of the model.

Returns:
    A functional `keras.Model` from `(batch, height, width, channels)` to `(batch, classes)`.
    Without the top the output is `(batch, height / {reduction}, width / {reduction}, {channels})`,
    rounded up, or `(batch, {channels})` with pooling.

Raises:
    ValueError: If an argument is wrong; the message says what was expected.

Example:

    model = {builder}(classes={classes}, stochastic_depth_rate=0.1)

Source: {paper}, {section}, {url}
"""

_VARIANTS = """The variants are:

- `"original"`: as in the code of the papers.
- `"timm"`: as in timm's {differences}

"""
_TIMM_NFNET = """`dm_nfnet` models: the convolutions add 1e-5 to the variance of their
  kernels where the original has a floor of 1e-4 under variance times fan in, and gelu is its erf
  form."""
_TIMM_NF_RESNET = """`nf_resnet` models: the convolutions add 1e-5 to the variance of their
  kernels and are padded evenly, strided shortcuts are pooled, there is no skip gain but a gain of
  zero in the last convolution of a branch, the kernel of the stem is multiplied by the gamma too,
  and the last activation is not."""

_SMALL_IMAGES = """Whether the stem is one for images of about 32 pixels, without strides and
        pool. Default None: where height and width are at most 64."""
_ALWAYS_SMALL = "Without effect: the stem is always one for small images."


def normalizer_free_docstring(facts: ModelFacts, architecture: Architecture) -> str:
    """Return the docstring of one builder.

    Args:
        facts: The model.
        architecture: What sets it apart.
    """
    count = facts.parameters["original"] / 1e6
    is_small = facts.max_image_size is not None
    description = (
        f"Blocks per stage: {', '.join(map(str, architecture.depths))}, with "
        f"{', '.join(map(str, architecture.widths))} channels.\n"
        f"{count:.2f} M parameters at {facts.default_classes} classes."
    )
    if facts.test_image_size is not None:
        description += (
            f" Trained at {facts.default_image_size} pixels and\ntested at {facts.test_image_size} in the paper."
        )
    differences = _TIMM_NFNET if facts.family == "nfnet" else _TIMM_NF_RESNET
    limit = f" and at most {facts.max_image_size}" if is_small else ""
    smallest = math.prod(architecture.strides)
    small_strides = ", ".join(str(2**power) for power in range(1, smallest.bit_length() - 1)) + f" or {smallest}"
    return _DOCUMENTATION.format(
        title=facts.title,
        builder=facts.builder,
        description=description,
        timm=_VARIANTS.format(differences=differences) if "timm" in facts.parameters else "",
        variants=" or ".join(f'`"{variant}"`' for variant in facts.parameters),
        sizes=f"at least {facts.min_image_size}{limit} pixels",
        activation=architecture.default_activation,
        dropout=_published(facts.dropout_rate),
        stochastic_depth=_published(facts.stochastic_depth_rate),
        small_images=_ALWAYS_SMALL if is_small else _SMALL_IMAGES,
        output_strides=small_strides if is_small else f"8, 16 or 32 ({small_strides} for small ones)",
        reduction=2 ** sum(stride > 1 for stride in architecture.strides) if is_small else 32,
        channels=architecture.final_width or architecture.widths[-1],
        classes=facts.default_classes,
        paper=facts.source.paper.partition(",")[0],
        section="section 4 and appendix C" if facts.family.startswith("nfnet") else "sections 3 and 4",
        url=facts.source.url,
    )


def _published(rate: float | None) -> str:
    return "" if rate is None else f"; published with {rate:g}"
