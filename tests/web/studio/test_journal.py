"""What is on disk before it is answered."""

import errno
import os
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.errors import DataError
from tinyunet.web.studio.journal import Entry, Journal

HEADS = st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)


@contextmanager
def journal_at(path):
    journal = Journal(path)
    try:
        yield journal
    finally:
        journal.close()


def heads(path):
    """The heads of what is written at a path."""
    with journal_at(path) as journal:
        return [entry.head for entry in journal.entries()]


def test_entries_come_back_in_their_order(tmp_path):
    path = tmp_path / "journal"
    with journal_at(path) as journal:
        journal.append({"a": 1}, b"paint")
        journal.append({"b": [2, 3]})
    with journal_at(path) as again:
        assert [*again.entries()] == [Entry({"a": 1}, b"paint"), Entry({"b": [2, 3]}, b"")]
        assert again.size == path.stat().st_size


@given(st.lists(st.tuples(HEADS, st.binary(max_size=20)), max_size=4), st.data())
def test_a_file_cut_anywhere_gives_the_entries_before(tmp_path_factory, entries, data):
    path, ends = tmp_path_factory.mktemp("cut") / "journal", [0]
    with journal_at(path) as journal:
        for head, body in entries:
            journal.append(head, body)
            ends.append(journal.size)
    length = data.draw(st.integers(0, ends[-1]))
    os.truncate(path, length)
    whole = sum(end <= length for end in ends[1:])
    with journal_at(path) as cut:
        assert [*cut.entries()] == [Entry(*entry) for entry in entries[:whole]]
        cut.append({"after": 1}, b"x")  # goes where the half one was
        assert [*cut.entries()][-1] == Entry({"after": 1}, b"x")
        assert len([*cut.entries()]) == whole + 1


def test_a_bit_that_has_flipped_ends_the_journal(tmp_path):
    path = tmp_path / "journal"
    with journal_at(path) as journal:
        journal.append({"a": 1}, b"paint")
        journal.append({"a": 2}, b"paint")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    assert heads(path) == [{"a": 1}]


@pytest.mark.parametrize("written", [0, 7])
def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch, written):
    path = tmp_path / "journal"

    def full(file):
        os.write(file, b"rubbish"[:written])
        raise OSError(errno.ENOSPC, "No space left on device")

    with journal_at(path) as journal:
        journal.append({"a": 1})
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(DataError, match=r"journal cannot be written: No space left on device. Free some space"):
                journal.append({"a": 2}, b"paint")
        journal.append({"a": 3})
    assert heads(path) == [{"a": 1}, {"a": 3}]


def test_replacing_begins_it_anew(tmp_path):
    with journal_at(tmp_path / "journal") as journal:
        journal.append({"a": 1}, bytes(1000))
        journal.replace([Entry({"all": 1}, b"")])
        journal.append({"a": 2})
        assert [entry.head for entry in journal.entries()] == [{"all": 1}, {"a": 2}]
        assert journal.size < 200
