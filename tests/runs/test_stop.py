import os
import signal
import threading

import pytest

from tinyunet.runs.stop import stop_on_signal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks(number):
    with stop_on_signal() as asked:
        assert not asked.is_set()
        os.kill(os.getpid(), number)
        assert asked.wait(timeout=10)


def test_the_second_one_interrupts():
    with stop_on_signal() as asked, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        assert asked.wait(timeout=10)
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(timeout=10)


@pytest.mark.parametrize("signals", [0, 1])
def test_afterwards_the_handlers_are_those_of_before(signals):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stop_on_signal() as asked:
        for _ in range(signals):
            os.kill(os.getpid(), signal.SIGTERM)
            assert asked.wait(timeout=10)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_they_are_restored_after_an_error_too():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="no"), stop_on_signal():
        raise ValueError("no")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_handler_that_was_not_set_from_python_becomes_the_default(monkeypatch):
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with stop_on_signal():
            pass
        monkeypatch.undo()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_outside_the_main_thread_nothing_is_asked():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with stop_on_signal() as asked:
            seen.append((asked.is_set(), signal.getsignal(signal.SIGINT) is before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, True)]
