"""Real-time scheduling: where it is granted it is one thread's alone, and is given back."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from titan.scheduling import make_ordinary, make_real_time, raise_niceness


def on_a_thread(work: object) -> None:
    assert callable(work)
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def policy(thread: int) -> int:
    return os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK


def granted() -> bool:
    found: list[bool] = []
    on_a_thread(lambda: found.append(make_real_time(threading.get_native_id())))
    return found[0]


def test_a_kernel_that_does_not_bound_it_is_not_asked(tmp_path: Path) -> None:
    for text in ("-1\n", "0\n", "nonsense"):
        bound = tmp_path / "runtime"
        bound.write_text(text)

        def work(bound: Path = bound) -> None:
            me = threading.get_native_id()
            assert not make_real_time(me, bound)
            assert policy(me) == os.SCHED_OTHER

        on_a_thread(work)
    assert not make_real_time(threading.get_native_id(), tmp_path / "not there")


def test_it_is_one_threads_alone_and_is_given_back() -> None:
    if not granted():
        pytest.skip("real-time scheduling is not granted here")

    def work() -> None:
        me = threading.get_native_id()
        assert make_real_time(me)
        assert policy(me) == os.SCHED_FIFO
        on_a_thread(lambda: check_ordinary(threading.get_native_id()))
        make_ordinary(me)
        check_ordinary(me)

    on_a_thread(work)
    check_ordinary(threading.get_native_id())


def check_ordinary(thread: int) -> None:
    assert policy(thread) == os.SCHED_OTHER


def test_a_niceness_that_is_refused_is_no_error() -> None:
    def work() -> None:
        me = threading.get_native_id()
        raise_niceness(me, -5)
        assert os.getpriority(os.PRIO_PROCESS, me) in (-5, 0)

    if os.getpriority(os.PRIO_PROCESS, 0) <= 0 or os.geteuid() == 0:
        on_a_thread(work)
