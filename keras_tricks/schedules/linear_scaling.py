"""The learning rate that fits a batch size."""

import math
import numbers


def linear_scaling(batch_size, learning_rate=0.1, base_batch_size=256):
    """Scale a learning rate in proportion to the batch size.

    A larger batch has a less noisy gradient, so that the step along it may be longer.

    Args:
        batch_size: int >= 1, images per step over all replicas together.
        learning_rate: float >= 0, the rate that suits `base_batch_size`. Defaults to 0.1.
        base_batch_size: int >= 1, images per step that `learning_rate` was chosen for. Defaults
            to 256.

    Returns:
        float, `learning_rate * batch_size / base_batch_size`.

    Raises:
        ValueError: if an argument is out of range.

    Example:

        linear_scaling(1024)  # 0.4

    Source: He et al. 2018, arXiv 1812.01187, section 3.1; Goyal et al. 2017, arXiv 1706.02677,
    section 2.1.
    """
    for argument, size in (("batch_size", batch_size), ("base_batch_size", base_batch_size)):
        if not isinstance(size, numbers.Integral) or isinstance(size, bool) or size < 1:
            raise ValueError(f"Expected `{argument}` to be an int >= 1. Received: {argument}={size}")
    if not isinstance(learning_rate, numbers.Real) or not 0 <= learning_rate < math.inf:
        raise ValueError(f"Expected `learning_rate` to be a finite float >= 0. Received: learning_rate={learning_rate}")
    return float(learning_rate) * int(batch_size) / int(base_batch_size)
