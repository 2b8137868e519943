"""The queue: runs that wait, in a lane for each set of devices, for a detached runner to train them.

Nothing here imports Keras.
"""

from keras_tricks.queue.lane import DEFAULT_LANE, lane_name
from keras_tricks.queue.listing import ListedLane, Listing, QueuedRun, QueueLister
from keras_tricks.queue.order import Direction, Ended, Item, Place, place_of
from keras_tricks.queue.run_queue import Lane, Queue, RunQueue

__all__ = [
    "DEFAULT_LANE",
    "Direction",
    "Ended",
    "Item",
    "Lane",
    "ListedLane",
    "Listing",
    "Place",
    "Queue",
    "QueueLister",
    "QueuedRun",
    "RunQueue",
    "lane_name",
    "place_of",
]
