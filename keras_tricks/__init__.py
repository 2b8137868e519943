"""The tricks of "Bag of Tricks for Image Classification" and of NFNets, for Keras.

Importing this package imports neither Keras nor TensorFlow; its parts do when they are used.
"""

from typing import Any

from keras_tricks import tricks
from keras_tricks.recipe import Problem, Recipe, RecipeError

__all__ = ["Problem", "Recipe", "RecipeError", "fold_standardization", "signal_propagation", "tricks"]


def __getattr__(name: str) -> Any:
    """Import what needs Keras when it is first asked for."""
    if name == "signal_propagation":
        from keras_tricks.propagation import signal_propagation

        return signal_propagation
    if name == "fold_standardization":
        from keras_tricks.folding import fold_standardization

        return fold_standardization
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
