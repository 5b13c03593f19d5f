import os
import signal
import threading
import time
import warnings

import pytest

from metricsearch import threads
from metricsearch.errors import InvalidInputError
from metricsearch.threads import (
    READING_THREADS,
    available_cores,
    resolve_threads,
    submit_reader,
    thread_map,
    thread_stream,
)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(n_threads):
    def slow_first(item):
        time.sleep(0.02 / (1 + item))
        return item * item

    assert thread_map(slow_first, range(12), n_threads) == [i * i for i in range(12)]
    assert thread_map(slow_first, [], n_threads) == []


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_an_error_comes_through_when_no_thread_works_any_more(n_threads):
    running, lock = [0], threading.Lock()

    def work(item):
        with lock:
            running[0] += 1
        try:
            if item == 1:
                raise ZeroDivisionError("item 1")
            time.sleep(0.05)
        finally:
            with lock:
                running[0] -= 1

    for _ in range(3):
        with pytest.raises(ZeroDivisionError, match="item 1"):
            thread_map(work, range(20), n_threads)
        assert running == [0]


@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize("ahead", [1, 3, 50])
def test_a_stream_keeps_the_order_and_runs_no_further_ahead_than_told(n_threads, ahead):
    begun, taken, lock = [0], [0], threading.Lock()

    def work(item):
        with lock:
            begun[0] += 1
            assert begun[0] <= taken[0] + ahead
        time.sleep(0.01 / (1 + item))
        return item * item

    found = []
    for value in thread_stream(work, iter(range(20)), n_threads, ahead):
        found.append(value)
        taken[0] += 1
    assert found == [i * i for i in range(20)]
    assert list(thread_stream(work, [], n_threads, ahead)) == []


@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize("how", ["error", "close"])
def test_a_stream_that_ends_early_leaves_no_thread_at_work(n_threads, how):
    running, begun, lock = [0], [0], threading.Lock()

    def work(item):
        with lock:
            running[0] += 1
            begun[0] += 1
        try:
            if item == 3 and how == "error":
                raise ZeroDivisionError("item 3")
            time.sleep(0.02)
        finally:
            with lock:
                running[0] -= 1
        return item

    stream = thread_stream(work, range(100), n_threads, 8)
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    if how == "error":
        with pytest.raises(ZeroDivisionError, match="item 3"):
            next(stream)
    else:
        stream.close()
    assert running == [0]
    assert begun[0] <= 11


def test_a_call_from_inside_a_thread_does_not_wait_for_its_own_pool():
    def outer(i):
        return sum(thread_map(lambda j: i * j, range(4), 2))

    assert thread_map(outer, range(8), 2) == [6 * i for i in range(8)]


def test_the_number_of_threads_is_checked():
    assert resolve_threads(None) == available_cores() >= 1
    assert resolve_threads(3) == 3
    for bad in (0, -1, 1.5, "2", True):
        with pytest.raises(InvalidInputError, match="n_threads"):
            resolve_threads(bad)


def test_a_reader_gives_its_result():
    assert submit_reader(divmod, 7, 2).result() == (3, 1)


def test_readers_never_wait_behind_the_work_that_waits_for_them():
    def work(i):
        return submit_reader(lambda: i).result(timeout=20)

    assert thread_map(work, range(64), READING_THREADS) == list(range(64))


def test_a_child_of_a_fork_has_threads_of_its_own():
    thread_map(abs, range(4), 2)
    with threads._pools_lock, warnings.catch_warnings():  # as if another thread were starting a pool
        warnings.simplefilter("ignore", DeprecationWarning)  # that forking with threads is risky is the point
        child = os.fork()
        if child == 0:
            os._exit(0 if thread_map(abs, [-1, -2], 2) == [1, 2] else 1)
    for _ in range(200):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.05)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert os.waitstatus_to_exitcode(status) == 0
