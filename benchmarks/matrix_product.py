"""A subject: the rate that a large float32 matrix product reaches with the backend of Keras."""

from __future__ import annotations

import time

import keras
from answering import answer_requests
from keras import ops

SIZE = 3072


def main() -> None:
    """Answer requests."""
    left, right = (keras.random.normal((SIZE, SIZE)) for _ in range(2))

    def run(steps: int) -> float:
        begin = time.perf_counter()
        for _ in range(steps):
            product = ops.matmul(left, right)
        float(product[0, 0])
        return time.perf_counter() - begin

    run(2)
    answer_requests(run, 2 * SIZE**3, {"size": SIZE})


if __name__ == "__main__":
    main()
