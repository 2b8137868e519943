"""Find the objects of Pascal VOC with RetinaNet on a ResNet-50-D that was trained with the tricks.

    python voc07_detection.py --weights RUN

RUN is one of imagenet_resnet50_d_tricks. TensorFlow Datasets prepares the data:
`python -c "import tensorflow_datasets as tfds; tfds.load('voc/2007'); tfds.load('voc/2012')"`.
"""

from keras_tricks import Recipe, tricks

RECIPE = Recipe(
    name="voc07_detection",
    description="RetinaNet on ResNet-50-D, Pascal VOC 2007 and 2012, tested on 2007: --weights RUN of a classifier.",
    published=(
        "VOC07 mAP of Faster R-CNN, which keras-hub lacks: 77.54 on ResNet-50 as a baseline trains it, 81.33 "
        "on ResNet-50-D with all tricks (He et al. 2018, Table 8)"
    ),
    model="resnet50",
    data="voc/2007+2012",
    image_size=512,
    head="retinanet",
    frozen_stages=1,
    frozen_batch_norm=True,
    epochs=20,
    batch_size=16,
    learning_rate=0.01,
    momentum=0.9,
    weight_decay=1e-4,
    tricks=(
        tricks.CosineDecay(),
        tricks.Warmup(epochs=1),
        tricks.NoBiasDecay(),
        tricks.GradientClipping(max_norm=10.0),
        tricks.MixedPrecision(dtype="float16"),
        tricks.ResnetVariant(variant="D"),
        tricks.RandomScale(least=0.8, largest=1.25),
    ),
)

if __name__ == "__main__":
    from keras_tricks.cli import train_recipe

    train_recipe(RECIPE)
