import subprocess
import sys

import numpy as np
import pytest
from keras import layers

from keras_tricks import models
from keras_tricks.model_facts import MODELS, model_facts

FAST = {
    "resnet20": "ABCD",
    "resnet18": "AD",
    "resnet50": "AD",
    "mobilenet": ("original",),
    "nf_resnet20": ("original",),
    "nfnet_tiny": ("original",),
}


def facts_and_variants(fast):
    return [
        pytest.param(name, variant, marks=() if variant in FAST.get(name, "") else pytest.mark.slow)
        for name, facts in MODELS.items()
        for variant in facts.parameters
        if (variant in FAST.get(name, "")) == fast
    ]


@pytest.mark.parametrize(("name", "variant"), facts_and_variants(fast=True) + facts_and_variants(fast=False))
def test_facts_are_those_of_the_built_model(name, variant):
    facts = MODELS[name]
    size = facts.default_image_size
    model = getattr(models, facts.builder)(variant=variant)
    assert model.name == name
    assert model.input_shape == (None, size, size, 3)
    assert model.output_shape == (None, facts.default_classes)
    count = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert count == facts.parameters[variant]
    kinds = {type(layer) for layer in model.layers}
    assert ("batch_norm" in facts.features) == (layers.BatchNormalization in kinds)
    assert ("residual" in facts.features) == (layers.Add in kinds)
    names = {layer.name for layer in model.layers}
    assert ("bottleneck" in facts.features) == ("stage1_block1_conv3" in names)


def test_parameters_are_the_published_ones():
    """torchvision 0.28 (B) and timm 1.0.31 (C, D) report these counts."""
    published = {
        "resnet18": {"B": 11_689_512},
        "resnet34": {"B": 21_797_672},
        "resnet50": {"B": 25_557_032, "C": 25_576_264, "D": 25_576_264},
        "resnet101": {"B": 44_549_160, "C": 44_568_392, "D": 44_568_392},
        "resnet152": {"B": 60_192_808, "C": 60_212_040, "D": 60_212_040},
    }
    for name, counts in published.items():
        assert {variant: MODELS[name].parameters[variant] for variant in counts} == counts
    millions = {name: round(MODELS[name].parameters["A"] / 1e6, 2) for name in ("resnet20", "resnet56")}
    assert (millions["resnet20"], millions["resnet56"]) == (0.27, 0.86)
    assert round(MODELS["resnet110"].parameters["A"] / 1e6, 1) == 1.7


def test_names_lead_to_builders():
    segmenters = {"AUXILIARY_WEIGHT", "DeepLabV3Plus", "FCN", "prediction_model"}
    detectors = {"DecodeBoxes", "RetinaNet", "anchors", "detections"}
    built_on_them = {"backbone", "feature_strides"} | segmenters | detectors
    assert {facts.builder for facts in MODELS.values()} == set(models.__all__) - built_on_them
    for name, facts in MODELS.items():
        assert facts is model_facts(name)
        assert facts.name == name
        assert getattr(models, facts.builder).__name__ == facts.builder


@pytest.mark.parametrize("name", ["resnet500", "ResNet-50", "resnet_50"])
def test_unknown_name_lists_close_matches(name):
    with pytest.raises(ValueError, match=r"Close to it: .*resnet50.*Received: name=") as error:
        model_facts(name)
    assert repr(name) in str(error.value)


def test_unknown_name_without_close_matches():
    with pytest.raises(ValueError, match=r"one of resnet20, .*Received: name='transformer'"):
        model_facts("transformer")


def test_facts_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        model_facts("resnet50").name = "other"


def test_importing_the_facts_imports_no_keras():
    code = (
        "import sys, keras_tricks.model_facts;print([name for name in ('keras', 'tensorflow') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert output.split() == [b"[]"]
