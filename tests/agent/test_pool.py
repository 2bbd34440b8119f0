"""agent_pc.pool: work is done in threads, results come in order, errors come where the result is asked for, and stopping cancels."""

import threading

import pytest

from agent_pc.pool import Cancelled, Pool


def test_results_come_in_order_from_as_many_threads_as_are_needed():
    seen = set()

    def work(one, two):
        seen.add(threading.current_thread().name)
        return one * two

    with Pool(3, "many") as pool:
        assert pool.submit(work, 2, 3).result() == 6
        assert seen == {"many-0"}
        assert list(pool.map(work, range(1000), range(1000))) == [number * number for number in range(1000)]
        assert len(seen) <= 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("many-")]


def test_an_error_comes_with_the_result_and_the_threads_go_on():
    with Pool(1, "one") as pool:
        bad, good = pool.submit(int, "x"), pool.submit(int, "7")
        with pytest.raises(ValueError):
            bad.result()
        assert good.result() == 7 and good.result() == 7


def test_stopping_cancels_what_has_not_begun():
    begun, free = threading.Event(), threading.Event()
    pool = Pool(1, "slow")
    first = pool.submit(lambda: begun.set() or free.wait(20))
    waiting = [pool.submit(int, "1") for _ in range(5)]
    assert begun.wait(20)
    pool.stop()
    for work in waiting:
        with pytest.raises(Cancelled):
            work.result()
    with pytest.raises(RuntimeError, match="stopped"):
        pool.submit(int, "1")
    free.set()
    assert first.result() is True


def test_no_thread_is_made_before_there_is_work():
    before = threading.active_count()
    with Pool(4, "idle"):
        assert threading.active_count() == before
