"""Trick: test_resolution."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from keras_tricks.trick import NFNETS, NFNETS_URL, RunFacts, Source, Trick


class TestResolution(Trick):
    """Validate and predict with larger images than those of the training.

    A random crop shows an object larger than a central one does; larger test images make up for that.
    """

    source: ClassVar = Source(NFNETS, "A", NFNETS_URL)
    group: ClassVar = "Evaluation"
    tasks: ClassVar = frozenset({"classification"})

    image_size: int | None = Field(
        None, ge=8, le=2048, description="Height and width in pixels; the model's published ones if unset."
    )
    view: Literal["crop", "squash"] = Field(
        "crop",
        description="crop: short side to 256/224 of the size, bilinear, then the centre; squash: both sides to the "
        "size + 32, bicubic, then the centre, as published for NFNets.",
    )

    def size(self, model: str) -> int | None:
        """The height and width of the test images in pixels; None if neither given nor published.

        Args:
            model: Name of the model.
        """
        from keras_tricks.model_facts import model_facts

        return self.image_size or model_facts(model).test_image_size

    def change_data(self, data: Any, facts: RunFacts) -> Any:
        """Give the evaluation images another size."""
        return data.with_test_images(self.size(facts.model) or facts.image_size, squash=self.view == "squash")

    def change_model(self, arguments: dict[str, Any], facts: RunFacts) -> dict[str, Any]:
        """Ask the builder for a model of any image size."""
        return {**arguments, "input_shape": (None, None, 3)}
