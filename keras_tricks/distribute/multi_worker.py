"""Join the workers of a training: their strategy, and the link between them."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras

from keras_tricks.cluster import Workers
from keras_tricks.cluster.connections import WorkerLostError, listen, new_token
from keras_tricks.cluster.link import Link, WorkerStoppedError
from keras_tricks.recipe import RecipeError


@dataclass(frozen=True)
class Team:
    """The workers of a training, joined.

    Args:
        workers: Who they are.
        strategy: Their `tf.distribute.MultiWorkerMirroredStrategy`.
        link: What they tell each other over.
    """

    workers: Workers
    strategy: Any
    link: Link

    def reason(self, error: BaseException) -> BaseException | None:
        """Return which worker was lost or has failed, if `error` may come from that."""
        import tensorflow as tf

        if isinstance(error, WorkerLostError | WorkerStoppedError):
            return None
        return self.link.reason() if isinstance(error, tf.errors.OpError) else self.link.lost

    def tell(self, error: BaseException) -> None:
        """Tell the other workers why this one ends."""
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        self.link.tell(error, ": ".join([type(error).__name__, *lines[:1]]))


@contextmanager
def join(workers: Workers, grace_s: float = 30.0) -> Iterator[Team | None]:
    """Join the other workers for a `with` block, at the start of the program.

    Whoever leaves the block with an error ends the others, too. They all leave it together otherwise, by
    `team.link.finish()`.

    Args:
        workers: The workers, as `keras_tricks.cluster.find_workers` finds them.
        grace_s: Seconds after which a process that is stuck without a lost worker is ended. Defaults to 30.

    Returns:
        What they have in common; None for one worker, for which nothing is done.

    Raises:
        RecipeError: The backend is not TensorFlow.
        WorkerLostError: Another worker failed or was lost.
        WorkerStoppedError: Another worker was interrupted.
    """
    if workers.count == 1:
        yield None
        return
    strategy = multi_worker_strategy(workers)
    with open_link(workers, strategy, grace_s) as link:
        team = Team(workers, strategy, link)
        try:
            yield team
        except BaseException as error:
            team.tell(error)
            raise


@functools.cache
def multi_worker_strategy(workers: Workers) -> Any:
    """Return the `tf.distribute.MultiWorkerMirroredStrategy` of these workers, always the same one.

    It must be made before TensorFlow has run anything, and returns when all workers have made it.

    Args:
        workers: More than one worker.

    Raises:
        RecipeError: The backend is not TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise RecipeError(
            "Several workers are TensorFlow's. Set KERAS_BACKEND=tensorflow, or unset TF_CONFIG and start one process. "
            f"Received: backend={keras.backend.backend()}, {workers.count} workers"
        )
    import tensorflow as tf

    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(workers.addresses)}),
        task_type="worker",
        task_id=workers.index,
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
        rpc_layer="grpc",
    )
    handler = signal.getsignal(signal.SIGTERM)
    strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    if handler is not None and threading.current_thread() is threading.main_thread():
        # TensorFlow's own handler notes SIGTERM and lets the process go on.
        signal.signal(signal.SIGTERM, handler)
    return strategy


def open_link(workers: Workers, strategy: Any, grace_s: float = 30.0) -> Link:
    """Return a link between the workers of a strategy.

    Raises:
        WorkerLostError: They cannot connect with the chief.
    """
    import tensorflow as tf

    listener = listen(workers) if workers.is_chief else None
    token = new_token()
    mine = [0] * (1 + len(token))
    if listener is not None:
        mine = [listener.getsockname()[1], *token]
    port, *shared = strategy.reduce(tf.distribute.ReduceOp.SUM, tf.constant(mine), axis=None).numpy().tolist()
    return Link(workers, port, bytes(shared), listener, grace_s=grace_s)
