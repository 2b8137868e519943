"""NFNets: F0 to F7, their wide variants, and a tiny one for small images."""

from __future__ import annotations

from keras_tricks.models.normalizer_free import Architecture, normalizer_free_builder

WIDTHS = (256, 512, 1536, 1536)
WIDE = (384, 768, 2048, 2048)
"""Output channels of each stage of F0 to F7, and of the wide variants."""


def nfnet(size: int, widths: tuple[int, ...] = WIDTHS) -> Architecture:
    """Return the architecture of F0 to F7.

    Args:
        size: The number after the F; each adds the blocks of F0 once more.
        widths: Output channels of each stage.
    """
    stem = widths[0] // 2
    return Architecture(
        depths=tuple(depth * (size + 1) for depth in (1, 2, 6, 3)),
        widths=widths,
        stem=((16, 2), (32, 1), (64, 1), (stem, 2)),
        small_stem=(16, 32, 64, stem),
        group_width=128,
        final_width=2 * widths[-1],
    )


TINY = Architecture(
    depths=(1, 1, 2, 1),
    widths=(64, 128, 384, 384),
    stem=((4, 1), (8, 1), (16, 1), (32, 1)),
    small_stem=(4, 8, 16, 32),
    group_width=32,
    final_width=768,
)
"""A quarter of the widths of F0 and fewer blocks, for small images on a CPU."""

NFNetF0 = normalizer_free_builder("nfnet_f0", nfnet(0))
NFNetF1 = normalizer_free_builder("nfnet_f1", nfnet(1))
NFNetF2 = normalizer_free_builder("nfnet_f2", nfnet(2))
NFNetF3 = normalizer_free_builder("nfnet_f3", nfnet(3))
NFNetF4 = normalizer_free_builder("nfnet_f4", nfnet(4))
NFNetF5 = normalizer_free_builder("nfnet_f5", nfnet(5))
NFNetF6 = normalizer_free_builder("nfnet_f6", nfnet(6))
NFNetF7 = normalizer_free_builder("nfnet_f7", nfnet(7))
NFNetF0Plus = normalizer_free_builder("nfnet_f0_plus", nfnet(0, WIDE))
NFNetF1Plus = normalizer_free_builder("nfnet_f1_plus", nfnet(1, WIDE))
NFNetF2Plus = normalizer_free_builder("nfnet_f2_plus", nfnet(2, WIDE))
NFNetF3Plus = normalizer_free_builder("nfnet_f3_plus", nfnet(3, WIDE))
NFNetF4Plus = normalizer_free_builder("nfnet_f4_plus", nfnet(4, WIDE))
NFNetF5Plus = normalizer_free_builder("nfnet_f5_plus", nfnet(5, WIDE))
NFNetF6Plus = normalizer_free_builder("nfnet_f6_plus", nfnet(6, WIDE))
NFNetF7Plus = normalizer_free_builder("nfnet_f7_plus", nfnet(7, WIDE))
NFNetTiny = normalizer_free_builder("nfnet_tiny", TINY)
