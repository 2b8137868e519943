"""Find blood cells with RetinaNet on ResNet-50-D.

    python bccd_retinanet_resnet50_d.py --data voc:PATH --weights RUN

BCCD is at https://github.com/Shenggan/BCCD_Dataset; RUN is one of a ResNet-50-D classifier, without which the backbone
begins with random weights.
"""

from keras_tricks import Recipe, tricks

RECIPE = Recipe(
    name="bccd_retinanet_resnet50_d",
    description="RetinaNet on ResNet-50-D finds blood cells: --data voc:PATH of BCCD, --weights RUN of a classifier.",
    model="resnet50",
    data="voc:BCCD",
    image_size=416,
    head="retinanet",
    anchor_size=2.0,
    sets=("train", "val"),
    epochs=60,
    batch_size=16,
    learning_rate=0.01,
    momentum=0.9,
    weight_decay=1e-4,
    tricks=(
        tricks.CosineDecay(),
        tricks.Warmup(epochs=2),
        tricks.NoBiasDecay(),
        tricks.GradientClipping(max_norm=10.0),
        tricks.ResnetVariant(variant="D"),
        tricks.LabelSmoothing(epsilon=0.1),
        tricks.RandomScale(least=0.8, largest=1.25),
        tricks.Mixup(alpha=1.5),
    ),
)

if __name__ == "__main__":
    from keras_tricks.cli import train_recipe

    train_recipe(RECIPE)
