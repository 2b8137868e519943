"""Training on several devices. TensorFlow only."""

from keras_tricks.distribute.replica_model import ReplicaModel
from keras_tricks.distribute.sharpness_aware import SharpnessAware
from keras_tricks.distribute.strategy import Replicas, choose_replicas
from keras_tricks.distribute.trainer import Batch, ReplicaTrainer

__all__ = ["Batch", "ReplicaModel", "ReplicaTrainer", "Replicas", "SharpnessAware", "choose_replicas"]
