"""Train ResNet-20-D with the tricks on handwritten digits: about a minute on two CPU cores, no download."""

from keras_tricks import Recipe, tricks

RECIPE = Recipe(
    name="quickstart",
    description="ResNet-20-D with the tricks on handwritten digits: a minute on a CPU, no download.",
    model="resnet20",
    data="digits",
    epochs=20,
    batch_size=64,
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
