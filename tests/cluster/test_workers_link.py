"""What workers tell each other over their link."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from keras_tricks.cluster import Workers
from keras_tricks.cluster.connections import WorkerLostError, listen, new_token
from keras_tricks.cluster.link import Link, WorkerStoppedError

ADDRESSES = ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")

OTHER_PROCESS = """
import sys, time
from keras_tricks.cluster import Workers
from keras_tricks.cluster.link import Link

link = Link(Workers(2, 1, ("127.0.0.1:1", "127.0.0.1:2")), int(sys.argv[1]), bytes.fromhex(sys.argv[2]), grace_s=2)
link.on_lost = lambda words: print(words, flush=True)
print("ready", flush=True)
time.sleep(60)
"""


def linked(count, **settings):
    """The links of `count` workers in threads of this process, by index."""
    chief = Workers(count, 0, ADDRESSES[:count])
    token, listener = new_token(), listen(chief)
    port = listener.getsockname()[1]
    links = {}

    def connect(index):
        workers = Workers(count, index, ADDRESSES[:count])
        links[index] = Link(workers, port, token, None if index else listener, grace_s=60, **settings)

    threads = [threading.Thread(target=connect, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [links[index] for index in range(count)]


def at_all(links, function):
    """What `function` returns at each worker, called at all of them at once."""
    answers = {}

    def call(index):
        try:
            answers[index] = function(links[index])
        except BaseException as error:
            answers[index] = error

    threads = [threading.Thread(target=call, args=(index,)) for index in range(len(links))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answers[index] for index in range(len(links))]


@pytest.fixture
def three():
    links = linked(3)
    yield links
    for link in links:
        link.close()


def test_values_go_from_the_chief_to_all_and_wishes_from_each(three):
    value = os.urandom(3_000_000)
    assert at_all(three, lambda link: link.broadcast(value if link.workers.is_chief else None)) == [value] * 3
    for who in range(3):
        assert at_all(three, lambda link, who=who: link.any_of(link.workers.index == who)) == [True] * 3
        assert at_all(three, lambda link: link.any_of(False)) == [False] * 3


@pytest.mark.parametrize("who", [1, 2])
def test_who_has_finished_may_leave_and_is_missed_by_whoever_waits_for_all(three, who):
    at_all(three, lambda link: link.finish())
    three[who].close()
    rest = [three[0], three[3 - who]]
    assert at_all(rest, lambda link: link.reason(wait_s=0.3)) == [None, None], "all had finished"
    with pytest.raises(WorkerLostError):
        three[0].any_of(False)


def test_who_leaves_with_an_error_ends_the_others_with_its_words(three):
    three[2].tell(ValueError(), "ValueError: no such image")
    for lost in at_all(three[:2], lambda link: link.any_of(False)):
        assert isinstance(lost, WorkerLostError)
        assert "worker 2 (127.0.0.1) failed: ValueError: no such image" in str(lost)


def test_who_is_interrupted_stops_the_others(three):
    three[0].tell(KeyboardInterrupt(), "by hand")
    for lost in at_all(three[1:], lambda link: link.broadcast()):
        assert isinstance(lost, WorkerStoppedError)
        assert "the chief (127.0.0.1) was stopped: by hand" in str(lost)


def test_who_is_silent_is_lost(monkeypatch):
    monkeypatch.setattr(Link, "_beat", lambda self: None)
    links = linked(2, silence_s=0.3)
    for lost in at_all(links, lambda link: link.any_of(False) if link.workers.is_chief else link.reason(30)):
        assert isinstance(lost, WorkerLostError)
    for link in links:
        link.close()


def test_a_stranger_is_not_let_in_and_a_missing_worker_is_named():
    chief = Workers(2, 0, ADDRESSES[:2])
    listener = listen(chief)
    port = listener.getsockname()[1]
    stranger = threading.Thread(target=lambda: Link(Workers(2, 1, ADDRESSES[:2]), port, new_token()).close())
    stranger.start()
    with pytest.raises(WorkerLostError, match=r"worker 1 \(127\.0\.0\.1\)"):
        Link(chief, port, new_token(), listener, patience_s=0.5)
    stranger.join()
    with pytest.raises(WorkerLostError, match="the chief"):
        Link(Workers(2, 1, ADDRESSES[:2]), port, new_token(), patience_s=0.5)


@pytest.fixture
def other_process():
    """The link of a chief, and a process that is the other worker."""
    chief = Workers(2, 0, ADDRESSES[:2])
    token, listener = new_token(), listen(chief)
    words = [sys.executable, "-c", OTHER_PROCESS, str(listener.getsockname()[1]), token.hex()]
    other = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    with Link(chief, 0, token, listener) as link:
        assert other.stdout.readline() == "ready\n"
        yield link, other
    other.kill()
    other.communicate()


def test_a_killed_worker_is_lost_at_once(other_process):
    link, other = other_process
    other.send_signal(signal.SIGKILL)
    assert "worker 1 (127.0.0.1) was lost" in str(link.reason(wait_s=30))
    with pytest.raises(WorkerLostError):
        link.any_of(False)


def test_a_stuck_process_says_why_and_is_ended(other_process):
    link, other = other_process
    link.tell(ArithmeticError(), "DivergedError: the loss is nan")
    out, _ = other.communicate(timeout=60)
    assert out == "the chief (127.0.0.1) failed: DivergedError: the loss is nan\n"
    assert other.returncode == 1
