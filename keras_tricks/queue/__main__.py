"""Run the runner of a lane in this process: `python -m keras_tricks.queue RUNS LANE LOCK TRAINER...`.

`LOCK` is the number of the open file that holds the lane; `RunQueue.ensure_runner` passes it on.
"""

import sys

from keras_tricks.queue.runner import LaneRunner

root, lane, lock, *trainer = sys.argv[1:]
LaneRunner(root, lane, int(lock), trainer).run()
