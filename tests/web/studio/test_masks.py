"""The thread that writes masks."""

import threading
import time

import pytest

from tinyunet.errors import DataError
from tinyunet.web.studio import masks
from tinyunet.web.studio.masks import MaskWriter


def test_it_writes_again_and_again_and_once_more_at_the_end(monkeypatch):
    monkeypatch.setattr(masks, "PAUSE_SECONDS", 0.01)
    seen = []
    writer = MaskWriter(lambda: seen.append(threading.current_thread().name))
    while len(seen) < 3:
        time.sleep(0.01)
    writer.close()
    assert set(seen[:-1]) == {"masks"}
    assert seen[-1] == threading.current_thread().name


def test_a_full_disk_is_remembered_and_tried_again(monkeypatch):
    monkeypatch.setattr(masks, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(masks, "RETRY_SECONDS", 0.02)
    tries = []

    def write():
        tries.append(1)
        if len(tries) < 3:
            raise DataError("a.png cannot be written.", "More.")

    writer = MaskWriter(write)
    while not tries:
        time.sleep(0.001)
    while len(tries) < 3:
        assert writer.problem in ("a.png cannot be written.", None)
        time.sleep(0.001)
    while writer.problem is not None:
        time.sleep(0.001)
    writer.close()


def test_what_cannot_be_written_at_the_end_is_said():
    def write():
        raise DataError("a.png cannot be written.")

    with pytest.raises(DataError, match="cannot be written"):
        MaskWriter(write).close()
