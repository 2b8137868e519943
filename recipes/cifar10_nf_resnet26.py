"""Train NF-ResNet-26 on CIFAR-10 without normalization: adaptive gradient clipping and averaged weights."""

from keras_tricks import Recipe, tricks

RECIPE = Recipe(
    name="cifar10_nf_resnet26",
    description="NF-ResNet-26 on CIFAR-10, without normalization.",
    model="nf_resnet26",
    data="cifar10",
    image_size=32,
    epochs=100,
    batch_size=256,
    learning_rate=0.1,
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    tricks=(
        tricks.LinearScaling(base_batch_size=256),
        tricks.CosineDecay(),
        tricks.Warmup(epochs=1, kind="gradual"),
        tricks.NoBiasDecay(),
        tricks.AdaptiveGradientClipping(clipping=0.04),
        tricks.StochasticDepth(rate=0.1),
        tricks.LabelSmoothing(epsilon=0.1),
        tricks.Mixup(alpha=0.2),
        tricks.WeightAveraging(decay=0.999),
    ),
)

if __name__ == "__main__":
    from keras_tricks.cli import train_recipe

    train_recipe(RECIPE)
