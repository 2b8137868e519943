"""What the subjects of a benchmark share: answers on standard output, and peak memory."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from typing import Any


def answer_requests(run: Callable[[int], float], units_of_a_step: float, start: dict[str, Any]) -> None:
    """Say that the subject is ready, then time so many steps for each line of standard input.

    Args:
        run: Does some steps and returns the seconds that they took.
        units_of_a_step: What a step counts: images, or operations.
        start: What to say at first.
    """
    print(json.dumps(start), flush=True)
    for line in sys.stdin:
        steps = int(line)
        seconds = run(steps)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        answer = {"seconds": seconds, "units": steps * units_of_a_step, "peak_bytes": peak}
        print(json.dumps(answer), flush=True)
