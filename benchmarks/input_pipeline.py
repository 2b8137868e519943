"""Measure the input pipeline, each stage added in turn, beside torchvision and timm's loader.

    python benchmarks/input_pipeline.py FOLDER --workers 2 --timm-python PATH

FOLDER holds JPEG files, of whatever classes. Each side is a process of its own that waits while the other one is
measured; rounds of batches alternate between the two for each stage, so that what disturbs the machine disturbs both.
The table holds medians over the rounds: images a second, images a second of processor time ("per core", which other
programs on the machine disturb less), and their ratios. Theirs is timm's loader on torchvision's transforms, with so
many worker processes; ours has so many threads. Theirs is measured where the given Python has torch and timm.
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

FOLDER = Path(__file__).parent
STAGES = {
    "crop": "decode, random area, resize, normalise",
    "flip": "+ mirror",
    "jitter": "+ hue, saturation, brightness 0.4",
    "published": "+ PCA noise: ResNet-50 as published",
    "decoded": "the same, with decoded_cache",
    "repeated": "as published, 4 copies of a decoded image",
    "rand_augment": "crop, mirror, RandAugment 2 x 9",
    "nfnet": "NFNet-F0: bicubic 192 px, mix, RandAugment 4 x 5",
}


class Side:
    """A process that makes so many images of a stage when it is asked to.

    Args:
        command: The command that starts it.
    """

    def __init__(self, command: list[str]):
        # TensorFlow says much at its start; it is shown where the process fails.
        self._messages = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._messages, text=True
        )
        self.start = self._answer()

    def measure(self, stage: str, images: int) -> tuple[float, float]:
        """Return images a second, and a second of processor time."""
        self._process.stdin.write(f"{stage} {images}\n")
        self._process.stdin.flush()
        answer = self._answer()
        return answer["images"] / answer["seconds"], answer["images"] / answer["processor_seconds"]

    def end(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            self._messages.seek(0)
            raise SystemExit(self._messages.read())
        return json.loads(line)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder of JPEG files")
    parser.add_argument("--workers", type=int, default=2, help="threads of ours, processes of theirs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=1200, help="images in a round")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--timm-python", help="a Python with torch and timm, to measure their loader beside ours")
    options = parser.parse_args()
    pythons = {"ours": sys.executable, **({"timm": options.timm_python} if options.timm_python else {})}
    sides = {
        name: Side([python, str(FOLDER / f"input_pipeline_{name}.py"), str(options.folder), str(options.workers)])
        for name, python in pythons.items()
    }
    rates = {(name, stage): [] for name in sides for stage in options.stages}
    for _ in range(options.rounds):
        for stage in options.stages:
            for name, side in sides.items():
                if stage in side.start["stages"]:
                    rates[name, stage].append(side.measure(stage, options.images))
    for side in sides.values():
        side.end()
    versions = ", ".join(f"{name}: {side.start['versions']}" for name, side in sides.items())
    print(f"{options.workers} workers, n = {options.rounds} rounds of {options.images} images, {versions}")
    print(f"{platform.platform()}, Python {platform.python_version()}\n")
    print("| stage | ours, images/s | per core | timm's | per core | ratio | ratio per core |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for stage in options.stages:
        values = {
            name: [statistics.median(column) for column in zip(*rates[name, stage], strict=True)] for name in sides
        }
        ours, theirs = values["ours"], values.get("timm") or ["", ""]
        ratios = [f"{one / other:.2f}" if other else "" for one, other in zip(ours, theirs, strict=True)]
        cells = [*(f"{value:.0f}" if value else "" for value in (*ours, *theirs)), *ratios]
        print(f"| {STAGES[stage]} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
