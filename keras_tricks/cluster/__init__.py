"""The processes that train together: who they are, and how they start and talk. Nothing here imports Keras."""

from keras_tricks.cluster.workers import ONE_WORKER, Workers, find_workers, tf_config

__all__ = ["ONE_WORKER", "Workers", "find_workers", "tf_config"]
