"""Time a train step (forward, backward, adaptive clipping, Nesterov) of a model of ours, and of timm's beside it.

    python benchmarks/train_step.py --model nfnet_f0 --image-size 192 --batch-size 8 --timm-python PATH

Each subject is a process of its own that waits while the others are measured; rounds of steps alternate between them,
so that what disturbs the machine disturbs all. The table holds medians over the rounds. "Share of matmul" compares the
multiplications of the step with the rate that a large float32 matrix product reaches on the same cores, in the same
run. timm is measured where the given Python has torch and timm: eager, and compiled with `torch.compile`.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
TIMM_NAMES = {
    **{f"nfnet_f{size}": f"dm_nfnet_f{size}" for size in range(7)},
    **{f"resnet{depth}": f"resnet{depth}" for depth in (18, 34, 50, 101, 152)},
}


class Subject:
    """A process that does so many steps when it is asked to.

    Args:
        name: What stands in the table.
        command: The command that starts it.
    """

    def __init__(self, name: str, command: list[str]):
        self.name = name
        self.rates: list[float] = []
        # TensorFlow says much at its start; it is shown where the process fails.
        self._messages = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._messages, text=True
        )
        self.start = self._answer()

    def measure(self, steps: int) -> None:
        """Let it do some steps and keep the rate: images, or operations, a second."""
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        answer = self._answer()
        self.rates.append(answer["units"] / answer["seconds"])
        self.peak_bytes = answer["peak_bytes"]

    def end(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()

    @property
    def rate(self) -> float:
        """The median rate."""
        return statistics.median(self.rates)

    def _answer(self) -> dict[str, Any]:
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        code = self._process.wait()
        self._messages.seek(0)
        raise SystemExit(f"{self._messages.read()}\n{self.name} ended with code {code}.")


def main() -> None:
    """Measure and print the table."""
    options = _options()
    shape = [options.model, str(options.image_size), str(options.batch_size), options.precision]
    subjects = [
        Subject("matrix product", [sys.executable, str(FOLDER / "matrix_product.py")]),
        Subject("keras-tricks", [sys.executable, str(FOLDER / "train_step_ours.py"), *shape]),
        Subject("  without AGC", [sys.executable, str(FOLDER / "train_step_ours.py"), *shape, "without-clipping"]),
    ]
    if options.timm_python and options.model in TIMM_NAMES:
        shape[0] = TIMM_NAMES[options.model]
        for way in ("eager", "compiled"):
            command = [options.timm_python, str(FOLDER / "train_step_timm.py"), *shape, way]
            subjects.append(Subject(f"timm {way}", command))
    try:
        for _ in range(options.rounds):
            for subject in subjects:
                subject.measure(options.steps)
    finally:
        for subject in subjects:
            subject.end()
    product, ours, *others = subjects
    print(
        f"\n{options.model}, {options.image_size} px, batch {options.batch_size}, {options.precision}; "
        f"n={options.rounds} rounds of {options.steps} steps; {ours.start['versions']}; "
        f"{platform.processor() or platform.machine()}, {ours.start['device']}\n"
    )
    header = ("", "images/s", "min..max", "ours / this", "share of matmul", "first step", "peak memory")
    rows = [
        (
            subject.name,
            f"{subject.rate:.2f}",
            f"{min(subject.rates):.2f}..{max(subject.rates):.2f}",
            f"{ours.rate / subject.rate:.2f}",
            f"{subject.rate * ours.start['operations_of_an_image'] / product.rate:.0%}",
            f"{subject.start['first_step_s']:.1f} s",
            f"{subject.peak_bytes / 2**30:.2f} GiB",
        )
        for subject in (ours, *others)
    ]
    widths = [max(len(row[place]) for row in (header, *rows)) for place in range(len(header))]
    for row in (header, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(
        f"\nA {product.start['size']}-wide float32 matrix product: {product.rate / 1e9:.0f} GFLOP/s. One image: "
        f"{ours.start['operations_of_an_image'] / 1e9:.1f} GFLOP forward and backward."
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nfnet_f0", help="a model of keras-tricks (default: nfnet_f0)")
    parser.add_argument("--image-size", type=int, default=192, help="height and width in pixels (default: 192)")
    parser.add_argument("--batch-size", type=int, default=8, help="images a step (default: 8)")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--rounds", type=int, default=5, help="how often the subjects alternate (default: 5)")
    parser.add_argument("--steps", type=int, default=4, help="steps of each subject in a round (default: 4)")
    parser.add_argument("--timm-python", help="a Python with torch and timm, to measure timm's model beside ours")
    return parser.parse_args()


if __name__ == "__main__":
    main()
