"""Train MobileNet on ImageNet with the tricks of the Bag-of-Tricks paper: batch 1024, 200 epochs."""

from keras_tricks import Recipe, tricks

RECIPE = Recipe(
    name="imagenet_mobilenet_tricks",
    description="MobileNet on ImageNet with the paper's tricks.",
    published="73.28 % top-1 and 91.30 % top-5 with these tricks (GluonCV's model zoo, He et al. 2018)",
    model="mobilenet",
    data="imagenet2012",
    image_size=224,
    epochs=200,
    batch_size=1024,
    learning_rate=0.1,
    momentum=0.9,
    nesterov=True,
    weight_decay=1e-4,
    tricks=(
        tricks.LinearScaling(base_batch_size=256),
        tricks.CosineDecay(),
        tricks.Warmup(epochs=5, kind="gradual"),
        tricks.NoBiasDecay(),
        tricks.MixedPrecision(dtype="float16"),
        tricks.LabelSmoothing(epsilon=0.1),
        tricks.RandomResizedCrop(min_area=0.08),
        tricks.ColorJitter(hue=0.4, saturation=0.4, brightness=0.4),
        tricks.PcaNoise(std=0.1),
        tricks.Mixup(alpha=0.2),
    ),
)

if __name__ == "__main__":
    from keras_tricks.cli import train_recipe

    train_recipe(RECIPE)
