import hashlib
import json

import pytest

from tinyunet.data.digest import file_digest
from tinyunet.errors import DataError


@pytest.mark.parametrize("content", [b"", b"abc", bytes(range(256)) * 5000])
def test_a_digest_is_that_of_all_bytes(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert file_digest(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_a_file_that_has_gone_has_no_digest(tmp_path):
    with pytest.raises(DataError, match=r"^\S+/a cannot be opened: No such file or directory\.$"):
        file_digest(tmp_path / "a")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.zarr" / "c").mkdir(parents=True)
    for name, content in {"zarr.json": b"{}", "c/0": b"abc", "c/1": b""}.items():
        (tmp_path / "a.zarr" / name).write_bytes(content)
    return tmp_path / "a.zarr"


def test_the_digest_of_a_folder_is_that_of_its_files_in_the_order_of_their_names(folder, tmp_path):
    before = file_digest(folder)
    listed = [[name, hashlib.sha256((folder / name).read_bytes()).hexdigest()] for name in ("c/0", "c/1", "zarr.json")]
    assert before == hashlib.sha256(json.dumps(listed).encode()).hexdigest()
    (folder / "c" / "1").rename(folder / "c" / "2")
    assert file_digest(folder) != before
    (folder / "c" / "2").rename(folder / "c" / "1")
    folder.rename(tmp_path / "b.zarr")
    assert file_digest(tmp_path / "b.zarr") == before


def test_a_folder_with_a_link_has_no_digest(folder):
    (folder / "c" / "2").symlink_to("/dev/zero")
    with pytest.raises(DataError) as caught:
        file_digest(folder)
    assert str(caught.value) == f"{folder} holds '2', which is a link or no file; copy it with links followed."
