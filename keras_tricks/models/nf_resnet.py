"""NF-ResNets: ResNets without normalization, for ImageNet and for small images."""

from __future__ import annotations

from keras_tricks.models.normalizer_free import Architecture, normalizer_free_builder


def nf_resnet(depths: tuple[int, ...]) -> Architecture:
    """Return the architecture of an NF-ResNet.

    Args:
        depths: Number of blocks of each of the four stages.
    """
    return Architecture(
        depths=depths,
        widths=(256, 512, 1024, 2048),
        stem=((64, 2),),
        stem_kernel_size=7,
        stem_pool=True,
        small_stem=(64,),
        bottleneck_ratio=0.25,
        convolutions=1,
        pooled_shortcut=False,
        squeeze_ratio=None,
        default_activation="relu",
    )


SMALL = Architecture(
    depths=(2, 2, 2),
    widths=(64, 128, 256),
    strides=(1, 2, 2),
    stem=((16, 1),),
    small_stem=(16,),
    bottleneck_ratio=0.25,
    convolutions=1,
    pooled_shortcut=False,
    squeeze_ratio=None,
    default_activation="relu",
)
"""Three stages, as the ResNets for small images have, on a CPU too."""

NFResNet20 = normalizer_free_builder("nf_resnet20", SMALL)
NFResNet26 = normalizer_free_builder("nf_resnet26", nf_resnet((2, 2, 2, 2)))
NFResNet50 = normalizer_free_builder("nf_resnet50", nf_resnet((3, 4, 6, 3)))
NFResNet101 = normalizer_free_builder("nf_resnet101", nf_resnet((3, 4, 23, 3)))
