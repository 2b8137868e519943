"""The tricks of "Bag of Tricks for Image Classification" and of NFNets, for Keras.

Importing this package imports neither Keras nor TensorFlow; its parts do when they are used.
"""

from keras_tricks import tricks
from keras_tricks.recipe import Problem, Recipe, RecipeError

__all__ = ["Problem", "Recipe", "RecipeError", "tricks"]
