"""Recipe: round trips, and each problem that it finds."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keras_tricks import Recipe, RecipeError, tricks
from keras_tricks.presets import change, command, find_recipe, presets

every_trick = [
    st.builds(tricks.LinearScaling, base_batch_size=st.integers(1, 4096)),
    st.builds(tricks.CosineDecay, final_fraction=st.floats(0, 0.9)),
    st.builds(tricks.Warmup, epochs=st.floats(0, 5), kind=st.sampled_from(["gradual", "constant"])),
    st.builds(tricks.StepDecay, epochs=st.lists(st.integers(1, 99), min_size=1, unique=True).map(sorted).map(tuple)),
    st.builds(tricks.ZeroGamma),
    st.builds(tricks.NoBiasDecay),
    st.builds(tricks.MixedPrecision, dtype=st.sampled_from(["float16", "bfloat16"])),
    st.builds(tricks.ResnetVariant, variant=st.sampled_from("BCD")),
    st.builds(tricks.LabelSmoothing, epsilon=st.floats(0, 0.99)),
    st.builds(tricks.Mixup, alpha=st.floats(0, 10)),
    st.builds(tricks.Cutmix, alpha=st.floats(0, 10)),
    st.builds(tricks.GradientClipping, max_norm=st.floats(0.01, 100)),
    st.builds(tricks.GradientAccumulation, steps=st.integers(1, 64)),
    st.builds(tricks.SharpnessAware, rho=st.floats(0.001, 1), ascent=st.sampled_from(["reduced", "per_replica"])),
]
recipes = st.builds(
    Recipe,
    name=st.from_regex(r"\A[a-z0-9_.-]{1,20}\Z"),
    description=st.text(st.characters(codec="utf-8"), max_size=30),
    data=st.sampled_from(["digits", "cifar10", "folder:/some where/'quoted'"]),
    data_dir=st.none() | st.just("/data"),
    decoded_cache=st.none() | st.just("/cache"),
    epochs=st.integers(1, 500),
    batch_size=st.integers(1, 4096),
    learning_rate=st.floats(1e-6, 10),
    nesterov=st.booleans(),
    tricks=st.lists(st.one_of(every_trick), max_size=5, unique_by=lambda trick: trick.name).map(tuple),
)


def found(recipe, **arguments):
    return {(problem.level, problem.where): problem.message for problem in recipe.problems(**arguments)}


@given(recipes)
@settings(max_examples=150, deadline=None)
def test_json_and_script_give_the_same_recipe(recipe):
    assert Recipe.from_json(recipe.to_json()) == recipe
    namespace = {"__name__": "a script"}
    exec(recipe.to_script(), namespace)
    assert namespace["RECIPE"] == recipe


@given(recipes.filter(lambda recipe: "=" not in recipe.description))
@example(Recipe(description="None"))
@settings(max_examples=100, deadline=None)
def test_the_command_gives_the_same_recipe(recipe):
    import shlex

    words = shlex.split(command(recipe, "quickstart"))
    options = {"--set": [], "--trick": [], "--no-trick": []}
    for option, value in zip(words[3::2], words[4::2], strict=True):
        options[option].append(value)
    again = change(presets()["quickstart"], options["--set"], options["--trick"], options["--no-trick"])
    assert sorted(again.tricks, key=lambda trick: trick.name) == sorted(recipe.tricks, key=lambda trick: trick.name)
    assert again.changed(tricks=()) == recipe.changed(tricks=())


@pytest.mark.parametrize("name", presets())
def test_presets_have_no_problems_and_say_what_they_are_for(name, tmp_path):
    recipe = presets()[name]
    kind, _, folder = recipe.data.partition(":")
    # What is frozen wants weights, which the command line names.
    without_weights = ["frozen_stages"] if recipe.frozen_stages else []
    assert [problem.where for problem in recipe.problems()] == (["data"] if folder else without_weights)
    there = recipe.changed(data=f"{kind}:{tmp_path}" if folder else recipe.data)
    assert [problem.where for problem in there.problems()] == without_weights
    assert recipe.description


def test_conflicting_tricks_are_one_problem():
    problems = found(Recipe(epochs=100, tricks=(tricks.CosineDecay(), tricks.StepDecay())))
    assert problems == {
        ("error", "cosine_decay"): "cosine_decay and step_decay exclude each other. Turn one of them off."
    }


def test_needs_of_the_model(monkeypatch):
    from keras_tricks import model_facts

    plain = model_facts.MODELS["resnet20"].model_copy(update={"name": "plain", "features": frozenset()})
    monkeypatch.setitem(model_facts.MODELS, "plain", plain)
    problems = found(Recipe(model="plain", tricks=(tricks.ZeroGamma(), tricks.ResnetVariant())))
    assert "zero_gamma needs" in problems["error", "zero_gamma"]
    assert "Turn zero_gamma off or choose another model." in problems["error", "zero_gamma"]
    assert "resnet_variant needs a ResNet" in problems["error", "resnet_variant"]


def test_warmup_longer_than_the_run():
    problems = found(Recipe(epochs=4, tricks=(tricks.Warmup(epochs=5), tricks.CosineDecay())))
    assert problems["error", "warmup.epochs"].startswith("A warmup of 5 epochs does not fit into a run of 4.")
    assert found(Recipe(epochs=5, tricks=(tricks.Warmup(epochs=5), tricks.CosineDecay()))) == {
        ("warning", "warmup.epochs"): "The whole run is warmup. Set warmup.epochs to less, or epochs to more."
    }
    assert not found(Recipe(epochs=6, tricks=(tricks.Warmup(epochs=5), tricks.CosineDecay())))


def test_the_same_trick_twice():
    recipe = Recipe(tricks=(tricks.LabelSmoothing(epsilon=0.1), tricks.LabelSmoothing(epsilon=0.2)))
    assert found(recipe) == {("error", "label_smoothing"): "label_smoothing is asked for 2 times. Keep one of them."}


def test_a_batch_that_the_replicas_do_not_divide():
    recipe = Recipe(batch_size=100)
    assert not found(recipe, replicas=4)
    message = found(recipe, replicas=8)["error", "batch_size"]
    assert message.startswith("8 replicas do not divide a batch of 100. Set batch_size=96")
    assert not found(recipe.changed(batch_size=96), replicas=8)
    assert found(recipe.changed(replicas=3))["error", "batch_size"].startswith("3 replicas")


def test_a_batch_larger_than_the_data():
    assert "Set batch_size=1437 or less" in found(Recipe(batch_size=2000))["error", "batch_size"]


def test_image_sizes_beyond_the_models():
    assert "at least 32 px" in found(Recipe(model="resnet50", image_size=16))["error", "image_size"]
    assert "at most 64 px" in found(Recipe(model="resnet20", image_size=65))["error", "image_size"]
    assert not found(Recipe(model="resnet20", image_size=64))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_mixed_precision_on_replicas_is_fine(dtype):
    assert not found(Recipe(tricks=(tricks.MixedPrecision(dtype=dtype),)), replicas=2)


def test_replicas_ascend_with_whole_pairs_of_images():
    def problems(share, replicas=2, batch_size=64, **arguments):
        trick = tricks.SharpnessAware(ascent_share=share, **arguments)
        return found(Recipe(batch_size=batch_size, tricks=(trick,), replicas=replicas))

    where = "sharpness_aware.ascent_share"
    assert not problems(1.0)
    assert not problems(0.5)
    error = problems(0.2)["error", where]
    assert "0.2 of the 32 images" in error
    assert f"Set {where}=0.1875," in error
    assert "the 6 images of an ascent" in problems(0.1875)["warning", where]
    assert list(problems(0.2, replicas=1)) == [("warning", where)]
    assert not problems(0.51, ascent="per_replica")
    assert "Set a larger batch" in problems(0.2, replicas=64)["error", where]
    together = (tricks.SharpnessAware(ascent_share=0.05), tricks.GradientAccumulation(steps=4))
    recipe = Recipe(batch_size=64, model="nfnet_tiny", tricks=together)
    assert ("error", where) not in found(recipe)
    fewer = recipe.changed(batch_size=32)
    assert "4 micro-batches cannot be made of the 2 images of an ascent" in found(fewer)["error", where]


def test_more_epochs_to_average_than_there_are_and_two_averages():
    def recipe(*others, epochs):
        return Recipe(epochs=epochs, tricks=(tricks.CheckpointAveraging(epochs=5), *others))

    assert not found(recipe(epochs=5))
    where = "checkpoint_averaging.epochs"
    assert found(recipe(epochs=4)) == {("error", where): f"There are 4 epochs to average, not 5. Set {where} to less."}
    assert "exclude each other" in found(recipe(tricks.WeightAveraging(), epochs=5))["error", "checkpoint_averaging"]


def test_images_that_cannot_grow():
    def problems(model="resnet20", image_size=16, epochs=4, **arguments):
        return found(
            Recipe(model=model, image_size=image_size, epochs=epochs, tricks=(tricks.ProgressiveResizing(**arguments),))
        )

    where = "progressive_resizing.initial_size"
    assert not problems()
    assert "resnet20 needs images of at least 8 px" in problems(image_size=8)["error", where]
    assert f"Set {where}=75 or more" in problems("inception_v3", 148)["error", where]
    assert not problems("inception_v3", 150)
    assert "cannot grow from 17 to 16 px" in problems(initial_size=17)["error", where]
    assert not problems(initial_size=16)
    assert "a single epoch" in problems(epochs=1)["warning", "progressive_resizing"]


def test_micro_batches_need_images():
    def problems(steps, **fields):
        return found(Recipe(batch_size=64, tricks=(tricks.GradientAccumulation(steps=steps),), **fields), replicas=2)

    assert "64 micro-batches cannot be made of the 32 images" in problems(64)["error", "gradient_accumulation.steps"]
    assert "micro-batches of 8 images" in problems(4)["warning", "gradient_accumulation.steps"]
    assert not problems(2)
    assert not problems(1)
    assert ("warning", "gradient_accumulation.steps") not in problems(32, model="nfnet_tiny")


def test_step_decay_inside_the_warmup_and_after_the_end():
    recipe = Recipe(epochs=50, tricks=(tricks.Warmup(epochs=5), tricks.StepDecay(epochs=(3, 60))))
    problems = found(recipe)
    assert "inside the warmup" in problems["error", "step_decay.epochs"]
    assert "never comes to epoch 60" in problems["warning", "step_decay.epochs"]


def test_a_warmup_wants_a_decay_after_it():
    assert ("warning", "warmup") in found(Recipe(tricks=(tricks.Warmup(),)))
    for decay in (tricks.CosineDecay(), tricks.PolyDecay(), tricks.StepDecay()):
        assert ("warning", "warmup") not in found(Recipe(tricks=(tricks.Warmup(), decay)))


def test_warnings_come_after_errors():
    recipe = Recipe(weight_decay=0, batch_size=2000, tricks=(tricks.NoBiasDecay(),))
    assert [problem.level for problem in recipe.problems()] == ["error", "warning"]


def test_values_out_of_range_that_slipped_past_construction():
    recipe = Recipe(tricks=(tricks.Mixup(),)).model_copy(update={"epochs": 0})
    assert "greater than or equal to 1" in found(recipe)["error", "epochs"]
    mixup = tricks.Mixup.model_construct(alpha=99)
    message = found(Recipe().model_copy(update={"tricks": (mixup,)}))["error", "mixup.alpha"]
    assert message.endswith("Received: 99")


@pytest.mark.parametrize(
    ("field", "name", "close"), [("model", "resnet5", "resnet50"), ("data", "Cifar-10", "cifar10")]
)
def test_unknown_names_get_the_closest_ones(field, name, close):
    assert close in found(Recipe(**{field: name}))["error", field]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not valid JSON"),
        ("[]", "expected a JSON object"),
        (json.dumps({"schema_version": 2}), "Upgrade keras-tricks"),
        (json.dumps({"epochs": "many"}), "epochs: input should be a valid integer"),
        (json.dumps({"tricks": [{"trick": "mixpu"}]}), "There is no trick 'mixpu'"),
        (json.dumps({"tricks": [{"alpha": 1}]}), "Expected a trick with its name"),
        (json.dumps({"tricks": [{"trick": "mixup", "alpha": -1}]}), "mixup.alpha: input should be greater"),
        (json.dumps({"no_such_field": 1}), "no_such_field: there is no such field"),
    ],
)
def test_bad_recipe_files_give_one_line(tmp_path, text, reason):
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(RecipeError, match=reason) as caught:
        find_recipe(str(path))
    assert "\n" not in str(caught.value)


def test_bad_scripts_give_one_line(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("x = 1")
    with pytest.raises(RecipeError, match="defines no RECIPE"):
        find_recipe(str(path))
    path.write_text("raise OSError('boom')")
    with pytest.raises(RecipeError, match="cannot be run: OSError: boom"):
        find_recipe(str(path))
    path.write_text("from keras_tricks import Recipe\nRECIPE = Recipe(epochs=0)")
    with pytest.raises(RecipeError, match="epochs: input should be greater"):
        find_recipe(str(path))
    with pytest.raises(RecipeError, match="There is no recipe file"):
        find_recipe(str(tmp_path / "none.json"))


def test_unknown_presets_name_the_closest():
    with pytest.raises(RecipeError, match="Did you mean quickstart"):
        find_recipe("quikstart")
    assert find_recipe("cifar10-resnet20-d").name == "cifar10_resnet20_d"


def test_changes_as_on_the_command_line():
    base = presets()["quickstart"]
    changed = change(base, ["epochs=5", "data_dir=none"], ["mixup.alpha=0.3", "cutmix"], ["label_smoothing"])
    assert changed.epochs == 5
    assert changed.trick("mixup").alpha == 0.3
    assert changed.trick("cutmix").alpha == 1.0
    assert changed.trick("label_smoothing") is None
    assert change(base, tricks=["step_decay.epochs=3,5.5"]).trick("step_decay").epochs == (3, 5.5)
    assert base == presets()["quickstart"]


@pytest.mark.parametrize("name", ["quickstart", "cifar10_resnet20_d"])
def test_small_presets_can_be_tried_for_two_epochs(name):
    assert change(presets()[name], ["epochs=2"]).problems() == []


def test_stochastic_depth_and_head_dropout_need_networks_that_have_them():
    problems = found(Recipe(tricks=(tricks.StochasticDepth(rate=0.1), tricks.HeadDropout(rate=0.1))))
    assert "stochastic_depth needs an NF-ResNet or NFNet" in problems["error", "stochastic_depth"]
    assert "head_dropout needs a model with dropout before its classifier" in problems["error", "head_dropout"]


@pytest.mark.parametrize("model", ["inception_v3", "mobilenet"])
def test_networks_without_residual_branches_take_what_applies(model):
    on = (tricks.ZeroGamma(), tricks.ResnetVariant(), tricks.StochasticDepth(rate=0.1), tricks.HeadDropout())
    problems = found(Recipe(model=model, data="imagenet2012", tricks=on))
    assert problems.keys() == {("error", trick) for trick in ("zero_gamma", "resnet_variant", "stochastic_depth")}
    assert f"needs a model with residual branches, and {model} is none" in problems["error", "zero_gamma"]
    assert not found(Recipe(model=model, data="imagenet2012", weights="imagenet", weights_head=False))
    timm = found(Recipe(model=model, data="imagenet2012", weights="timm/mobilenetv1_100.ra4_e3600_r224_in1k"))
    assert "weights=imagenet" in timm["error", "weights"]
    small = found(Recipe(model=model, data="digits", image_size=16))
    assert f"at least {75 if model == 'inception_v3' else 32} px" in small["error", "image_size"]


def test_what_the_model_was_published_without_must_be_given():
    on = (tricks.StochasticDepth(), tricks.HeadDropout(), tricks.TestResolution())
    recipe = Recipe(model="nf_resnet26", image_size=64, weight_decay=0.0, tricks=on)
    assert found(recipe).keys() == {("error", "head_dropout.rate"), ("error", "test_resolution.image_size")}
    assert "Set head_dropout.rate." in found(recipe)["error", "head_dropout.rate"]
    assert not found(recipe.changed(model="nfnet_f0"))


def test_what_suits_networks_without_normalization():
    recipe = Recipe(model="nfnet_f0", data="imagenet2012", batch_size=4096)
    assert found(recipe).keys() == {("warning", "adaptive_gradient_clipping"), ("warning", "no_bias_decay")}
    assert not found(recipe.changed(tricks=(tricks.AdaptiveGradientClipping(), tricks.NoBiasDecay())))
    assert found(recipe.changed(batch_size=1024, weight_decay=0.0)) == {}
    assert (
        "zero_gamma needs a model with batch normalization"
        in (found(recipe.changed(tricks=(tricks.ZeroGamma(),)))["error", "zero_gamma"])
    )


def test_test_images_beyond_the_models():
    recipe = Recipe(tricks=(tricks.TestResolution(image_size=65),))
    assert "at most 64 px" in found(recipe)["error", "test_resolution.image_size"]


def test_weights_that_cannot_be():
    assert "existing file" in found(Recipe(weights="no/such.safetensors"))["error", "weights"]
    assert "Hugging Face hub" in found(Recipe(weights="resnet50"))["error", "weights"]
    assert "for large images" in found(Recipe(weights="timm/resnet50.a1_in1k"))["error", "weights"]
    assert "no ImageNet weights for nfnet_f0" in found(Recipe(model="nfnet_f0", weights="imagenet"))["error", "weights"]
    large = Recipe(model="resnet50", image_size=64, weights="timm/resnet50.a1_in1k")
    assert not found(large)
    assert not found(large.changed(weights="imagenet"))
    variant = large.changed(weights="imagenet", tricks=(tricks.ResnetVariant(),))
    assert "Turn resnet_variant off" in found(variant)["error", "weights"]
