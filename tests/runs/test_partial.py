import json
import subprocess
import sys

import numpy as np
import pytest

from tinyunet.errors import DataError
from tinyunet.runs.partial import open_partial, partial_folder

ROWS = np.arange(12, dtype=np.uint16).reshape(3, 4)
IDENTITY = {"image": ["a.tif", 7], "weights": "1234", "options": {"region": ((0, 3), (0, 4))}}


class Killed(BaseException):
    """Stands for the end of a process: what follows does not run."""


def begin(output, identity=IDENTITY, numbers=(0,)):
    """A prediction that ends in the middle."""
    try:
        with open_partial(output, identity) as partial:
            for number in numbers:
                partial.put(number, ROWS + number)
            partial.remember("found", [1, 2])
            raise Killed
    except Killed:
        pass


def test_what_was_done_is_found_again(tmp_path):
    begin(tmp_path / "a.tif", numbers=(0, 2))
    with open_partial(tmp_path / "a.tif", IDENTITY) as partial:
        assert [partial.has(number) for number in range(4)] == [True, False, True, False]
        np.testing.assert_array_equal(partial.get(2, ROWS.shape, ROWS.dtype), ROWS + 2)
        assert partial.recall("found") == [1, 2]
        assert partial.recall("other") is None
        partial.forget(2)
        assert not partial.has(2)
    assert list(tmp_path.iterdir()) == []


def test_what_was_half_written_is_cleared_away(tmp_path):
    begin(tmp_path / "a.tif")
    folder = partial_folder(tmp_path / "a.tif")
    (folder / ".half.tmp").write_bytes(b"half")
    (folder / ".folder.tmp").mkdir()
    with open_partial(tmp_path / "a.tif", IDENTITY):
        assert sorted(path.name for path in folder.iterdir()) == ["000000.rows", "found.json", "lock", "plan.json"]


def test_without_a_plan_nothing_counts(tmp_path):
    """As after a kill in the moment of the clearing away."""
    begin(tmp_path / "a.tif")
    (partial_folder(tmp_path / "a.tif") / "plan.json").unlink()
    with open_partial(tmp_path / "a.tif", IDENTITY) as partial:
        assert not partial.has(0)


def test_what_was_made_of_something_else_is_refused(tmp_path):
    begin(tmp_path / "a.tif")
    with (
        pytest.raises(DataError) as caught,
        open_partial(tmp_path / "a.tif", {**IDENTITY, "weights": "5", "image": []}),
    ):
        pass
    assert str(caught.value) == (
        f"{tmp_path}/.a.tif.partial holds an unfinished prediction with other image, weights; remove that folder, give "
        "the same command again, or choose another --out."
    )
    assert json.loads((partial_folder(tmp_path / "a.tif") / "plan.json").read_text())["weights"] == "1234"


def test_two_at_the_same_output_and_a_lock_that_dies_with_its_process(tmp_path):
    code = (
        "import sys; from pathlib import Path; from tinyunet.runs.partial import open_partial\n"
        f"with open_partial(Path({str(tmp_path / 'a.tif')!r}), {IDENTITY!r}):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(DataError) as caught, open_partial(tmp_path / "a.tif", IDENTITY):
            pass
        assert str(caught.value) == (
            f"{tmp_path}/a.tif is being written by another process: wait, or choose another --out."
        )
        other.kill()
    with open_partial(tmp_path / "a.tif", IDENTITY):
        pass


def test_a_place_that_cannot_be_written_to(tmp_path):
    text = r"none/a\.tif cannot be written: No such file or directory\. Make the folder"
    with pytest.raises(DataError, match=text), open_partial(tmp_path / "none/a.tif", IDENTITY):
        pass


def test_a_folder_takes_the_place_of_another(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr/old").touch()
    with open_partial(tmp_path / "a.zarr", IDENTITY) as partial:
        (partial.folder / "a.zarr").mkdir()
        (partial.folder / "a.zarr/new").touch()
        partial.move("a.zarr", tmp_path / "a.zarr")
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zarr", "new"]
