"""Compare `keras_tricks.memory_estimate` with the memory that training steps take on a CPU.

    python benchmarks/memory_estimate.py resnet20 128 512
    python benchmarks/memory_estimate.py resnet20:resnet56 128 512

After a colon stands the teacher of a distillation, with random weights, of as many classes and pixels.

Two processes train a few steps with the two batch sizes; the difference of their peaks of resident memory, divided by
the difference of the batches, is what an image takes. What does not depend on the batch cancels.
"""

from __future__ import annotations

import resource
import subprocess
import sys

from keras_tricks import Recipe
from keras_tricks.memory_estimate import estimate_memory
from keras_tricks.model_facts import MODELS
from keras_tricks.tricks import Distillation

STEPS = 3


def peak_bytes(model: str, batch_size: int) -> int:
    """Train a few steps with random images in a process of its own and return the peak of its resident memory."""
    command = [sys.executable, __file__, model, str(batch_size)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(answer.stdout.split()[-1])


def train(model: str, batch_size: int) -> None:
    """Train a few steps and print the peak of this process's resident memory."""
    import keras
    import numpy as np

    from keras_tricks import losses, models, optimizers
    from keras_tricks.distribute import ReplicaModel

    model, _, teacher = model.partition(":")
    facts = MODELS[model]
    network = getattr(models, facts.builder)(classifier_activation=None)
    if teacher:
        teaching = losses.Distillation(getattr(models, MODELS[teacher].builder)(classifier_activation=None))
        network = ReplicaModel.of(network, extra_losses=(teaching,), compiled_loss_weight=1 - teaching.weight)
    network.compile(optimizers.SGD(0.01), keras.losses.CategoricalCrossentropy(from_logits=True), jit_compile=False)
    size = facts.default_image_size
    images = np.zeros((batch_size, size, size, 3), "float32")
    labels = np.eye(facts.default_classes, dtype="float32")[np.zeros(batch_size, int)]
    for _ in range(STEPS):
        network.train_on_batch(images, labels)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def main() -> None:
    """Measure, or be the process that is measured."""
    model, *sizes = sys.argv[1:]
    if len(sizes) == 1:
        train(model, int(sizes[0]))
        return
    small, large = map(int, sizes)
    measured = (peak_bytes(model, large) - peak_bytes(model, small)) / (large - small)
    name, _, teacher = model.partition(":")
    facts = MODELS[name]
    data = "cifar10" if facts.family.endswith("_cifar") else "imagenet2012"
    recipe = Recipe(model=name, data=data, image_size=facts.default_image_size, batch_size=large)
    if teacher:
        recipe = recipe.with_trick(Distillation(teacher=f"{teacher}:imagenet"))
    estimates = [estimate_memory(recipe.changed(batch_size=batch_size)) for batch_size in (small, large)]
    estimated = (estimates[1].total - estimates[0].total) / (large - small)
    print(f"{model} at {facts.default_image_size} px, batches of {small} and {large}, float32, CPU, bytes an image:")
    print(
        f"measured {measured / 2**20:.2f} MiB  estimated {estimated / 2**20:.2f} MiB  ratio {measured / estimated:.2f}"
    )


if __name__ == "__main__":
    main()
