"""Parameters and memory of a recipe's training, against built models and what TensorFlow keeps."""

import json
import math
import subprocess
import sys
import zipfile

import keras
import pytest
from make_kept_activations import TARGET, measure, most_alive, table

from keras_tricks import Recipe, models, tricks
from keras_tricks.memory_estimate import as_text, estimate_memory
from keras_tricks.model_facts import MODELS
from keras_tricks.runs import create_run

PLAIN = Recipe(model="resnet20", data="cifar10", batch_size=64)


@pytest.mark.parametrize(
    ("model", "variant", "small"),
    [
        ("resnet20", "A", False),
        ("nf_resnet20", "original", False),
        ("nfnet_tiny", "original", False),
        ("resnet18", "D", False),
        ("mobilenet", "original", False),
        ("nf_resnet26", "original", True),
    ],
)
def test_the_table_is_what_its_maker_finds(model, variant, small):
    entry = json.loads(TARGET.read_bytes())[model]["small images" if small else variant]
    assert entry == measure(MODELS[model], variant, small)


@pytest.mark.slow
def test_the_whole_table_is_what_its_maker_finds():
    assert json.loads(TARGET.read_bytes()) == table()


def test_the_table_knows_every_model_and_its_parameters():
    for name, facts in MODELS.items():
        for variant, parameters in facts.parameters.items():
            if "nf" in facts.features:
                continue
            arguments = () if variant in ("A", "original") else (tricks.ResnetVariant(variant=variant),)
            recipe = Recipe(model=name, data="imagenet2012", tricks=arguments)
            classes = 1000 - facts.default_classes
            features = {"resnet_cifar": 64, "mobilenet": 1024, "inception_v3": 2048}.get(
                facts.family, 512 if "bottleneck" not in facts.features else 2048
            )
            assert estimate_memory(recipe).parameters == parameters + classes * (features + 1)
        if "nf" in facts.features and facts.default_classes == 1000:
            assert estimate_memory(Recipe(model=name, data="imagenet2012")).parameters == facts.parameters["original"]


@pytest.mark.parametrize(
    ("model", "dtype"),
    [
        ("resnet20", None),
        ("resnet20", "bfloat16"),
        ("nf_resnet20", None),
        ("nf_resnet20", "bfloat16"),
        ("mobilenet", "bfloat16"),
        pytest.param("mobilenet", None, marks=pytest.mark.slow),
        pytest.param("inception_v3", None, marks=pytest.mark.slow),
        pytest.param("inception_v3", "bfloat16", marks=pytest.mark.slow),
    ],
)
def test_activations_are_what_tensorflow_keeps(model, dtype):
    """The forward function of a traced model returns all that its backward function reads."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("it is TensorFlow that is asked")
    import tensorflow as tf

    images = 4
    keras.config.set_dtype_policy(f"mixed_{dtype}" if dtype else "float32")
    network = getattr(models, MODELS[model].builder)(classifier_activation=None)
    batch = tf.TensorSpec((images, *network.input_shape[1:]))
    call = tf.function(lambda x: network(x, training=True)).get_concrete_function(batch)
    forward, _ = call._delayed_rewrite_functions.forward_backward()
    kept = [tensor for tensor in forward.graph.outputs[1:] if tensor.shape.rank == 4 and tensor.shape[0] == images]
    found = sum(math.prod(tensor.shape) * tensor.dtype.size for tensor in kept)
    precision = (tricks.MixedPrecision(dtype=dtype),) if dtype else ()
    data = "cifar10" if MODELS[model].family.endswith("_cifar") else "imagenet2012"
    recipe = Recipe(model=model, data=data, batch_size=images, tricks=precision)
    assert estimate_memory(recipe).activations == pytest.approx(found, rel=1e-3)


def test_what_is_as_large_as_the_weights():
    parameters = 272_474
    plain = estimate_memory(PLAIN)
    assert plain.parameters == parameters
    assert plain.weights == 4 * (parameters + 1568)
    assert (plain.gradients, plain.optimizer, plain.copies) == (4 * parameters, 4 * parameters, 0)
    assert plain.total == sum(plain.parts().values())
    assert estimate_memory(PLAIN.changed(momentum=0)).optimizer == 0
    for trick, copies in (
        (tricks.MixedPrecision(), 2 * parameters),
        (tricks.WeightAveraging(), 8 * (parameters + 1568)),
        (tricks.SharpnessAware(), 8 * parameters),
    ):
        assert estimate_memory(PLAIN.with_trick(trick)).copies == copies
    nf = estimate_memory(PLAIN.changed(model="nf_resnet20"))
    assert nf.copies == 4 * nf.parameters


def test_the_most_that_is_alive_in_inference():
    inputs = keras.Input((4, 4, 8))
    wide = keras.layers.Conv2D(32, 3, padding="same")(inputs)
    wide = keras.layers.Activation("relu")(wide)
    narrow = keras.layers.Conv2D(8, 3, padding="same")(wide)
    model = keras.Model(inputs, keras.layers.Add()([inputs, narrow]))
    assert most_alive(model) == 16 * (8 + 32 + 8)


def test_the_teacher_counts_with_its_weights_and_what_it_holds_of_the_images(tmp_path):
    def taught(teacher, **fields):
        return estimate_memory(PLAIN.changed(**fields).with_trick(tricks.Distillation(teacher=teacher)))

    plain, small = estimate_memory(PLAIN), taught("resnet56:imagenet")
    assert small.total == plain.total + small.teacher
    large = taught("resnet56:imagenet", batch_size=128)
    entry = json.loads(TARGET.read_bytes())["resnet56"]["A"]
    assert large.teacher - small.teacher == 64 * 4 * entry["inference"]
    assert 2 * small.teacher - large.teacher == 4 * (entry["parameters"] + entry["statistics"])
    mixed = estimate_memory(
        PLAIN.with_trick(tricks.Distillation(teacher="resnet56:imagenet")).with_trick(tricks.MixedPrecision())
    )
    assert mixed.teacher == small.teacher
    # A network for photographs is given images of the size that it was published with.
    kept = json.loads(TARGET.read_bytes())["resnet18"]["D"]
    found = taught("resnet18:imagenet", batch_size=1).teacher
    assert found == pytest.approx(4 * (11_708_744 - 990 * 513 + kept["statistics"] + kept["inference"]), rel=0.01)
    assert taught(None).teacher == taught("no such run").teacher == 0

    run = create_run(tmp_path, "teacher", PLAIN.changed(model="resnet56").model_dump(mode="json"))
    (run / "model.keras").touch()
    assert taught(str(run)).teacher == taught(str(run / "model.keras")).teacher == small.teacher
    with zipfile.ZipFile(tmp_path / "alone.keras", "w") as archive:
        archive.writestr("model.weights.h5", bytes(1234))
    assert taught(str(tmp_path / "alone.keras")).teacher == 1234


def test_activations_grow_with_images_and_pixels():
    plain = estimate_memory(PLAIN)
    for recipe, share in (
        (PLAIN.changed(batch_size=128), 2),
        (PLAIN.changed(image_size=16), 1 / 4),
        (PLAIN.changed(replicas=4), 1 / 4),
        (PLAIN.with_trick(tricks.GradientAccumulation(steps=2)), 1 / 2),
    ):
        assert estimate_memory(recipe).activations == pytest.approx(share * plain.activations)
    assert estimate_memory(PLAIN.with_trick(tricks.GradientAccumulation(steps=2))).gradients == 2 * plain.gradients
    # Between one half and one: batch normalization computes in 32 bits.
    mixed = estimate_memory(PLAIN.with_trick(tricks.MixedPrecision())).activations
    assert plain.activations / 2 < mixed < plain.activations


def test_the_classifier_has_the_classes_of_the_data():
    assert estimate_memory(PLAIN.changed(data="cifar100")).parameters == 272_474 + 90 * 65
    assert estimate_memory(PLAIN.changed(data="folder:photos")).parameters == 272_474


def test_small_images_have_their_own_stem():
    large = Recipe(model="nf_resnet26", data="imagenet2012")
    small = large.changed(image_size=64)
    assert estimate_memory(small).parameters == 15_987_504
    assert estimate_memory(small).activations > estimate_memory(large).activations * (64 / 224) ** 2 * 2


@pytest.mark.parametrize(("size", "text"), [(4096, "4 KiB"), (310 * 2**20, "310 MiB"), (2**30 * 12.44, "12.4 GiB")])
def test_sizes_as_text(size, text):
    assert as_text(int(size)) == text


def test_it_imports_no_keras():
    code = "import sys, keras_tricks.memory_estimate; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
