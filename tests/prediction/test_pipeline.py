import threading
import time

import pytest

from tinyunet.prediction.pipeline import ahead, behind


class Failure(Exception):
    pass


def failing(after):
    yield from range(after)
    raise Failure


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name in ("reading ahead", "writing behind")]


@pytest.mark.parametrize("most", [1, 3, 100])
def test_items_come_in_order(most):
    assert list(ahead(iter(range(20)), most=most)) == list(range(20))
    done = []
    with behind(done.append, most=most) as put:
        for item in range(20):
            put(item)
    assert done == list(range(20))
    assert threads() == []


def test_items_are_made_before_they_are_asked_for_and_no_more_than_fit():
    made = []
    items = ahead((made.append(i) or i for i in range(10)), most=2)
    assert next(items) == 0
    deadline = time.monotonic() + 5
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert made == [0, 1, 2, 3]  # one taken, two waiting, one in the thread's hand
    items.close()
    assert threads() == []


def test_what_fails_in_the_making_fails_here_after_what_was_made():
    found = []
    with pytest.raises(Failure):
        found.extend(ahead(failing(3), most=1))
    items = ahead(failing(3), most=1)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(Failure):
        next(items)
    assert threads() == []


def test_whoever_stops_taking_leaves_no_thread():
    for item in ahead(iter(range(100)), most=1):
        if item == 3:
            break
    del item
    assert threads() == []


def test_what_fails_in_the_work_fails_here_and_nothing_after_it_is_worked_on():
    done = []

    def work(item):
        if item == 2:
            raise Failure
        done.append(item)

    def hand_over():
        with behind(work, most=1) as put:
            for item in range(100):
                put(item)

    with pytest.raises(Failure):
        hand_over()
    assert done == [0, 1]
    assert threads() == []


def test_what_fails_in_the_last_item_is_not_lost():
    def work(item):
        raise Failure

    with pytest.raises(Failure), behind(work, most=1) as put:
        put(0)


def test_what_was_handed_over_is_worked_on_although_the_caller_fails():
    done = []

    def work(item):
        time.sleep(0.01)
        done.append(item)

    def fail():
        with behind(work, most=3) as put:
            for item in range(3):
                put(item)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert done == [0, 1, 2]
    assert threads() == []
