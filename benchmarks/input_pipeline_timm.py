"""A side: timm's loader with torchvision's transforms."""

import json
import os
import sys
import time
from pathlib import Path

import timm
import torch
import torchvision
from PIL import Image
from timm.data import create_loader

BATCH, WARMUP_BATCHES = 40, 5
MANY_IMAGES = 10**6
STAGES = {
    "crop": {"hflip": 0.0},
    "flip": {},
    # Brightness, contrast, saturation and hue.
    "jitter": {"color_jitter": (0.4, 0.0, 0.4, 0.4)},
    "published": {"color_jitter": (0.4, 0.0, 0.4, 0.4)},
    # Each of the two operations is left out half of the time; ours never is.
    "rand_augment": {"auto_augment": "rand-m9-n2"},
}


class Files(torch.utils.data.Dataset):
    """The files of a folder, over and over."""

    def __init__(self, folder: Path):
        self.paths = sorted(folder.iterdir())
        self.transform = None

    def __len__(self) -> int:
        return MANY_IMAGES

    def __getitem__(self, index: int):
        number = index % len(self.paths)
        return self.transform(Image.open(self.paths[number]).convert("RGB")), number


class Lighting:
    """PCA noise on a tensor on the scale 0..1."""

    eigenvalues = torch.tensor([0.2175, 0.0188, 0.0045])
    eigenvectors = torch.tensor([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return the image with one random colour added."""
        return image + (self.eigenvectors @ (0.1 * torch.randn(3) * self.eigenvalues))[:, None, None]


def processor_seconds() -> float:
    """Return the processor time of this process and of its living workers."""
    ticks = os.sysconf("SC_CLK_TCK")
    used = time.process_time()
    for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        used += (int(fields[11]) + int(fields[12])) / ticks
    return used


def main() -> None:
    """Answer with the times of so many images of a stage, for each line that asks for some."""
    folder, workers = Path(sys.argv[1]), int(sys.argv[2])
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__}"
    print(json.dumps({"stages": list(STAGES), "versions": versions}), flush=True)
    for line in sys.stdin:
        stage, images = line.split()
        loader = create_loader(
            Files(folder),
            input_size=(3, 224, 224),
            batch_size=BATCH,
            is_training=True,
            interpolation="bilinear",
            num_workers=workers,
            use_prefetcher=False,
            persistent_workers=False,
            **{"color_jitter": None, **STAGES[stage]},
        )
        if stage == "published":
            steps = loader.dataset.transform.transforms
            steps.insert(len(steps) - 1, Lighting())
        iterator = iter(loader)
        for _ in range(WARMUP_BATCHES):
            next(iterator)
        count = int(images) // BATCH
        processor, start = processor_seconds(), time.perf_counter()
        for _ in range(count):
            next(iterator)
        answer = {
            "images": count * BATCH,
            "seconds": time.perf_counter() - start,
            "processor_seconds": processor_seconds() - processor,
        }
        del iterator
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
