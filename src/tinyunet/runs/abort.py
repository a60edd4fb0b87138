"""A last word before the process aborts, as JAX has it do when the other processes of a training cannot be reached."""

import ctypes
import signal
from collections.abc import Callable


def on_abort(action: Callable[[], None]) -> Callable[[], None]:
    """Has an action done before this process aborts, where the system can; what is returned takes that back.

    Python's own handlers of signals are for its main thread, and would come too late: this one is C's. It runs in the
    thread that aborts, which at that moment is in no other code of ours.
    """
    try:
        set_handler = ctypes.CDLL(None).signal
    except (AttributeError, OSError, TypeError):  # as on Windows
        return lambda: None
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int)
    set_handler.restype, handler = ctypes.c_void_p, kind(lambda number: action())
    before = set_handler(signal.SIGABRT, handler)

    def restore() -> None:
        set_handler(signal.SIGABRT, ctypes.c_void_p(before))
        assert handler  # which C does not keep

    return restore
