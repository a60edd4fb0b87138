import io
import stat
import tarfile
from types import MappingProxyType

import pytest

from tinyunet.errors import ConfigError, DataError
from tinyunet.export import webruntime as module
from tinyunet.export.webruntime import find_runtime, integrity, unpack

CONTENTS = {"a.mjs": b"script", "a.wasm": b"binary"}
OF_CDN = "The page loads onnxruntime-web 1.30.0 from https://cdn.jsdelivr.net, and checks it."


@pytest.fixture
def package():
    """A package as npm packs one, with files that nobody asks for."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in [("../../evil", b"x"), ("other", b"y"), *CONTENTS.items()]:
            info = tarfile.TarInfo(f"package/dist/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture(autouse=True)
def small_files(monkeypatch):
    """Files of a few bytes in place of those of 40 MiB."""
    files = {name: integrity(content, "sha384") for name, content in CONTENTS.items()}
    monkeypatch.setattr(module, "FILES", MappingProxyType(files))


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """A function that puts a program called npm first on the path."""

    def make(script):
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "npm").chmod(stat.S_IRWXU)
        monkeypatch.setenv("PATH", str(folder), prepend=":")

    return make


def test_a_hash_is_that_of_npm_and_browsers():
    assert integrity(b"abc", "sha256") == "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="


def test_files_are_taken_out_of_the_package_of_that_hash(package):
    assert unpack(package, wanted=integrity(package, "sha512")) == CONTENTS
    with pytest.raises(DataError, match=r"^What npm fetched is not onnxruntime-web 1\.30\.0 as it was published\.$"):
        unpack(package, wanted=module.PACKAGE)


def test_npm_fetches_the_files(npm, package, tmp_path, monkeypatch):
    (tmp_path / "packed").write_bytes(package)
    monkeypatch.setattr(module, "PACKAGE", integrity(package, "sha512"))
    npm(f'echo "$@" >{tmp_path}/asked; cp {tmp_path}/packed onnxruntime-web-1.30.0.tgz')
    found = find_runtime()
    assert found.contents == CONTENTS
    assert found.note == "onnxruntime-web 1.30.0 was taken from the npm registry."
    assert (tmp_path / "asked").read_text() == "pack onnxruntime-web@1.30.0 --ignore-scripts --silent\n"


@pytest.mark.parametrize(
    ("script", "note"),
    [
        ("exit 3", "npm does not fetch onnxruntime-web (exit status 3)."),
        ("true", "npm does not fetch onnxruntime-web (exit status 0)."),
        ("echo wrong >a.tgz", "What npm fetched is not onnxruntime-web 1.30.0 as it was published."),
        ("sleep 5", "npm does not fetch onnxruntime-web: it took more than 0.2 s."),
    ],
)
def test_where_npm_fails_the_public_host_is_used_and_both_are_said(npm, monkeypatch, script, note):
    monkeypatch.setattr(module, "PATIENCE_S", 0.2 if "sleep" in script else 60)
    npm(f"exec {script}" if "sleep" in script else script)
    found = find_runtime()
    assert (found.note, found.contents) == (f"{note} {OF_CDN}", {})


def test_without_npm_the_public_host_is_used(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert find_runtime().note == f"npm is not installed. {OF_CDN}"
    assert find_runtime("cdn").note == OF_CDN


@pytest.mark.parametrize("below", ["", "dist"])
def test_a_folder_of_the_package_is_taken(tmp_path, below):
    (tmp_path / below).mkdir(exist_ok=True)
    for name, content in CONTENTS.items():
        (tmp_path / below / name).write_bytes(content)
    found = find_runtime(tmp_path)
    assert (found.note, found.contents) == (f"onnxruntime-web 1.30.0 was taken from {tmp_path}.", CONTENTS)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"/a\.mjs cannot be read: No such file or directory\. Name the folder of the npm package onnxruntime-web",
    ):
        find_runtime(tmp_path)
    (tmp_path / "a.mjs").write_bytes(b"another version")
    with pytest.raises(ConfigError, match=r"/a\.mjs is not that of onnxruntime-web 1\.30\.0: name the folder of that"):
        find_runtime(tmp_path)
