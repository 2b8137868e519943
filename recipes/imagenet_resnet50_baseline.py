"""Train the baseline of the Bag-of-Tricks paper: ResNet-50 on ImageNet, batch 256, 120 epochs."""

from keras_tricks import Recipe, tricks

RECIPE = Recipe(
    name="imagenet_resnet50_baseline",
    description="The paper's baseline, ResNet-50 on ImageNet.",
    published="75.3 % top-1, where the paper sets out (He et al. 2018, abstract)",
    model="resnet50",
    data="imagenet2012",
    image_size=224,
    epochs=120,
    batch_size=256,
    learning_rate=0.1,
    momentum=0.9,
    nesterov=True,
    weight_decay=1e-4,
    tricks=(
        tricks.StepDecay(epochs=(30, 60, 90), factor=0.1),
        tricks.RandomResizedCrop(min_area=0.08),
        tricks.ColorJitter(hue=0.4, saturation=0.4, brightness=0.4),
        tricks.PcaNoise(std=0.1),
    ),
)

if __name__ == "__main__":
    from keras_tricks.cli import train_recipe

    train_recipe(RECIPE)
