"""Training on several devices. TensorFlow only."""

from keras_tricks.distribute.strategy import Replicas, choose_replicas

__all__ = ["Replicas", "choose_replicas"]
