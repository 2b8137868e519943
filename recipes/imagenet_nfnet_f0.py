"""Train NFNet-F0 on ImageNet as published: batch 4096, 360 epochs."""

from keras_tricks import Recipe, tricks

RECIPE = Recipe(
    name="imagenet_nfnet_f0",
    description="NFNet-F0 on ImageNet with the paper's hyperparameters.",
    published="83.6 % top-1 (Brock et al. 2021)",
    model="nfnet_f0",
    data="imagenet2012",
    image_size=192,
    epochs=360,
    batch_size=4096,
    learning_rate=0.1,
    momentum=0.9,
    nesterov=True,
    weight_decay=2e-5,
    tricks=(
        tricks.LinearScaling(base_batch_size=256),
        tricks.CosineDecay(),
        tricks.Warmup(epochs=5, kind="gradual"),
        tricks.NoBiasDecay(),
        tricks.AdaptiveGradientClipping(clipping=0.01),
        tricks.MixedPrecision(dtype="bfloat16"),
        tricks.StochasticDepth(rate=0.25),
        tricks.HeadDropout(rate=0.2),
        tricks.LabelSmoothing(epsilon=0.1),
        tricks.RandomResizedCrop(min_area=0.08, interpolation="bicubic"),
        tricks.RandAugment(layers=4, magnitude=5),
        tricks.Mixup(alpha=0.2, per_image=True),
        tricks.Cutmix(alpha=1.0, per_image=True, beside_mixup="halves"),
        tricks.WeightAveraging(decay=0.99999),
        tricks.TestResolution(image_size=256, view="squash"),
    ),
)

if __name__ == "__main__":
    from keras_tricks.cli import train_recipe

    train_recipe(RECIPE)
