from __future__ import annotations

import threading
import time

import pytest

from nightfix.parallel import in_parallel, thread_count


def test_results_come_in_order_whatever_takes_longest() -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number

    assert list(in_parallel(slow_first, range(50))) == list(range(50))


def test_only_a_few_parts_are_under_way() -> None:
    begun = []
    results = in_parallel(begun.append, iter(range(1000)))
    next(results)
    assert len(begun) <= 2 * thread_count() + 2
    results.close()


def test_an_error_comes_out_and_ends_the_work() -> None:
    begun: list[int] = []

    def fail(number: int) -> None:
        begun.append(number)
        if number == 3:
            raise MemoryError("no more")

    with pytest.raises(MemoryError, match="no more"):
        list(in_parallel(fail, range(10_000)))
    assert len(begun) < 1000


def test_threads_work_at_once() -> None:
    if thread_count() < 2:
        pytest.skip("needs two cores")
    meeting = threading.Barrier(2, timeout=60)
    assert len(list(in_parallel(lambda _: meeting.wait(), range(2)))) == 2
