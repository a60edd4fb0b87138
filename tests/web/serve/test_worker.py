import asyncio
import threading
import time

import pytest
from starlette.exceptions import HTTPException

from tinyunet.web.serve.worker import Abandoned, Task, Worker


def worker(**options) -> Worker:
    return Worker(**{"most_waiting": 2, "seconds": 5, **options})


def test_one_is_computed_at_a_time_in_the_order_of_arrival():
    computed, running = [], []

    async def all_of_them():
        one = worker()

        def compute(number):
            def function(task):
                running.append(number)
                assert len(running) == 1
                time.sleep(0.01)
                computed.append(running.pop())
                return number

            return function

        results = await asyncio.gather(*(one.compute(compute(number)) for number in range(4)))
        one.close()
        return results

    assert asyncio.run(all_of_them()) == [0, 1, 2, 3]
    assert computed == [0, 1, 2, 3]


def test_a_full_queue_says_when_to_come_again():
    one = worker(most_waiting=1)
    with one.place(), one.place():
        with pytest.raises(HTTPException, match="2 requests are being computed or wait; come again in 2 s") as caught:
            one.place().__enter__()
        assert (caught.value.status_code, caught.value.headers) == (503, {"Retry-After": "2"})
        assert one.inside == 2
    with one.place():
        assert one.inside == 1
    one.close()


def test_what_takes_too_long_is_given_up_and_ends_where_it_looks():
    ended = threading.Event()

    def endless(task: Task):
        try:
            while True:
                time.sleep(0.01)
                task.attend()
        except Abandoned:
            ended.set()
            raise

    async def once():
        one = worker(seconds=0.05)
        with pytest.raises(HTTPException, match=r"took more than 0.05 s, waiting included: send a smaller") as caught:
            await one.compute(endless)
        assert caught.value.status_code == 503
        assert await asyncio.to_thread(ended.wait, 5)
        assert await worker().compute(lambda task: 7) == 7
        one.close()

    asyncio.run(once())


def test_what_nobody_waits_for_is_not_begun():
    begun = []

    async def once():
        one = worker()
        busy = asyncio.ensure_future(one.compute(lambda task: time.sleep(0.2)))
        await asyncio.sleep(0.05)
        left = asyncio.ensure_future(one.compute(lambda task: begun.append("left")))
        await asyncio.sleep(0.01)
        left.cancel()
        await busy
        await one.compute(lambda task: begun.append("next"))
        one.close()

    asyncio.run(once())
    assert begun == ["next"]


def test_an_error_of_the_computation_reaches_who_waits():
    async def once():
        one = worker()
        with pytest.raises(ZeroDivisionError):
            await one.compute(lambda task: 1 // 0)
        one.close()

    asyncio.run(once())


def test_a_closed_worker_takes_nothing():
    one = worker()
    one.close()
    with pytest.raises(HTTPException, match="The server is being stopped"), one.place():
        pass
