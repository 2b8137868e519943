"""Fine-tune an NFNet-F0 from given weights on a folder of images, one subfolder a class.

    python finetune_nfnet_folder.py --data folder:PATH

The weights are those of timm's hub; `--weights FILE` takes others (see `keras-tricks train --help`).
"""

from keras_tricks import Recipe, tricks

RECIPE = Recipe(
    name="finetune_nfnet_folder",
    description="NFNet-F0 from ImageNet weights, fine-tuned on a folder of images: --data folder:PATH.",
    model="nfnet_f0",
    data="folder:images",
    weights="timm/dm_nfnet_f0.dm_in1k",
    weights_head=False,
    image_size=192,
    epochs=20,
    batch_size=32,
    learning_rate=0.1,
    momentum=0.9,
    nesterov=True,
    weight_decay=2e-5,
    tricks=(
        tricks.LinearScaling(base_batch_size=256),
        tricks.CosineDecay(),
        tricks.Warmup(epochs=1, kind="gradual"),
        tricks.NoBiasDecay(),
        tricks.AdaptiveGradientClipping(clipping=0.01),
        tricks.StochasticDepth(rate=0.25),
        tricks.HeadDropout(rate=0.2),
        tricks.LabelSmoothing(epsilon=0.1),
        tricks.WeightAveraging(decay=0.99),
        tricks.TestResolution(image_size=256, view="squash"),
    ),
)

if __name__ == "__main__":
    from keras_tricks.cli import train_recipe

    train_recipe(RECIPE)
