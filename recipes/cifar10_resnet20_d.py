"""Train ResNet-20-D with the tricks on CIFAR-10."""

from keras_tricks import Recipe, tricks

RECIPE = Recipe(
    name="cifar10_resnet20_d",
    description="ResNet-20-D with the tricks on CIFAR-10.",
    model="resnet20",
    data="cifar10",
    epochs=200,
    batch_size=128,
    learning_rate=0.2,
    tricks=(
        tricks.LinearScaling(),
        tricks.CosineDecay(),
        tricks.Warmup(epochs=1),
        tricks.ZeroGamma(),
        tricks.NoBiasDecay(),
        tricks.ResnetVariant(variant="D"),
        tricks.LabelSmoothing(epsilon=0.1),
        tricks.Mixup(alpha=0.2),
    ),
)

if __name__ == "__main__":
    from keras_tricks.cli import train_recipe

    train_recipe(RECIPE)
