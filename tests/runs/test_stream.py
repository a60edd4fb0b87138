"""Images on disk, predicted band by band: the bits of the whole, whatever happens in between."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from reference import tiny, zarrs
from reference.variables import random_variables

from tinyunet.data.header import Header
from tinyunet.data.lazy import open_lazily
from tinyunet.data.readers import read_image
from tinyunet.data.zarrarray import files_inside
from tinyunet.errors import DataError
from tinyunet.prediction.bands import plan_bands
from tinyunet.prediction.tiles import TileSpec, plan_grid
from tinyunet.runs import predict
from tinyunet.runs.build import build_model
from tinyunet.runs.partial import Partial, partial_folder
from tinyunet.runs.run import load
from tinyunet.runs.stream import StreamedPrediction, is_large, run_digest

SPEC = TileSpec(ladder=(16, 32), halo=10, multiple=2, batch=1)
BLENDED = dataclasses.replace(SPEC, halo=0, blend=True)
RNG = np.random.default_rng(0)
IMAGE = np.concatenate([np.concatenate([tiny.picture(3 * i + j)[0] for j in range(2)], axis=1) for i in range(3)])
VOLUME = RNG.integers(0, 255, (13, 20, 18)).astype(np.uint8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("stream")
    return tiny.train_tiny(tiny.write_pairs(root / "cells"), root / "run")


@pytest.fixture(scope="module")
def run(trained):
    """With small tiles, so that a small image has several bands."""
    assert SPEC.halo >= load(trained).tiles[0].halo
    return with_tiles(load(trained), SPEC)


def with_tiles(run, spec):
    other = dataclasses.replace(run)
    other.__dict__["tiles"] = (spec,) * run.dimensions
    return other


def stream(run, path, out, *, on_error="stop", progress=None, **options):
    with open_lazily(path, axes=run.config.data.axes, on_error=on_error) as image:
        return StreamedPrediction(run, image, source=path, labels=out, **options)(progress)


def write(path, array=IMAGE):
    match path.suffix:
        case ".npy":
            np.save(path, array)
        case ".zarr":
            zarrs.write_image(path, array, "yx", version=3, chunk=16)
        case _:
            tifffile.imwrite(path, array, tile=(16, 16), compression="zlib")
    return path


def contents(path):
    """The bytes of a file, or of all files of a folder."""
    return {name: file.read_bytes() for name, file in files_inside(path.parent).items()}


@pytest.mark.parametrize("suffix", [".tif", ".zarr", ".npy"])
@pytest.mark.parametrize("spec", [SPEC, BLENDED], ids=["cores", "blended"])
def test_streamed_labels_have_the_bits_of_those_in_memory(run, tmp_path, suffix, spec):
    run = with_tiles(run, spec)
    path, out = write(tmp_path / f"a{suffix}"), tmp_path / "out"
    out.mkdir()
    calls = []
    options = {"probabilities": out / "p.npy", "progress": lambda *call: calls.append(call)}
    assert stream(run, path, out / f"b{suffix}", **options) == []
    np.testing.assert_array_equal(read_image(out / f"b{suffix}")[..., 0], 255 * run.predict(IMAGE))
    scores = np.load(out / "p.npy")
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, run.probabilities(IMAGE))
    assert sorted(path.name for path in out.iterdir()) == [f"b{suffix}", "p.npy"]
    assert calls[-1][0] == calls[-1][1] == len(calls)


def test_the_whole_and_the_streamed_agree_with_one_tile_that_holds_all(run, tmp_path):
    whole = with_tiles(run, dataclasses.replace(SPEC, ladder=(96,))).probabilities(IMAGE)
    (tmp_path / "out").mkdir()
    stream(run, write(tmp_path / "a.npy"), tmp_path / "out/a.npy", probabilities=tmp_path / "out/p.npy")
    np.testing.assert_allclose(np.load(tmp_path / "out/p.npy"), whole, atol=1e-5)


def test_a_region_has_the_bits_of_its_part_of_the_whole(run, tmp_path):
    path = write(tmp_path / "a.tif")
    (tmp_path / "out").mkdir()
    region = (slice(30, 70), slice(25, 27))
    stream(run, path, tmp_path / "out/a.tif", probabilities=tmp_path / "out/p.npy", region=region)
    np.testing.assert_array_equal(read_image(tmp_path / "out/a.tif")[..., 0], 255 * run.predict(IMAGE)[region])
    np.testing.assert_array_equal(np.load(tmp_path / "out/p.npy"), run.probabilities(IMAGE)[region])


def test_a_region_that_is_not_inside(run, tmp_path):
    path = write(tmp_path / "a.tif")
    for region, text in (
        ((slice(0, 97), slice(0, 8)), "0:97,0:8"),
        ((slice(5, 5), slice(0, 8)), "5:5,0:8"),
        ((slice(0, 1),) * 3, "0:1,0:1,0:1"),
    ):
        with pytest.raises(DataError) as caught:
            stream(run, path, tmp_path / "b.tif", region=region)
        assert str(caught.value) == f"The region {text} does not lie in {path}, which is 0:96,0:64."


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_stopped_anywhere_and_started_again_it_has_the_same_bytes(run, tmp_path, suffix, monkeypatch):
    path = write(tmp_path / f"a{suffix}")
    for name in ("never", "often"):
        (tmp_path / name).mkdir()
    options = {"probabilities": tmp_path / "never/p.npy"}
    stream(run, path, tmp_path / f"never/a{suffix}", **options)
    real = {name: getattr(Partial, name) for name in ("put", "move", "remember")}
    calls, stop_at = 0, 0

    def stopping(name):
        def method(self, *arguments):
            nonlocal calls
            calls += 1
            if calls == stop_at:
                raise Killed
            return real[name](self, *arguments)

        return method

    for name in real:
        monkeypatch.setattr(Partial, name, stopping(name))
    interruptions = 0
    while True:
        calls, stop_at = 0, interruptions % 3 + 1
        try:
            stream(run, path, tmp_path / f"often/a{suffix}", probabilities=tmp_path / "often/p.npy")
            break
        except Killed:
            interruptions += 1
            if interruptions % 3 == 0:  # get on
                stop_at = 0
    assert interruptions >= 4
    assert contents(tmp_path / f"often/a{suffix}") == contents(tmp_path / f"never/a{suffix}")


def test_what_is_done_is_not_computed_again(run, tmp_path, monkeypatch):
    path = write(tmp_path / "a.tif")
    real = Partial.put

    def stop_after_two(self, number, rows):
        if number == 2:
            raise Killed
        real(self, number, rows)

    monkeypatch.setattr(Partial, "put", stop_after_two)
    with pytest.raises(Killed):
        stream(run, path, tmp_path / "b.tif")
    monkeypatch.setattr(Partial, "put", real)
    calls = []
    stream(run, path, tmp_path / "b.tif", progress=lambda *call: calls.append(call))
    bands = len(plan_bands(plan_grid(IMAGE.shape, run.tiles)))
    across = len(plan_grid(IMAGE.shape, run.tiles).axes[1].begins)
    assert calls[0][1] == across * (bands - 2)
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif")[..., 0], 255 * run.predict(IMAGE))


def test_other_weights_or_options_do_not_go_on(run, tmp_path, monkeypatch):
    path = write(tmp_path / "a.tif")
    with monkeypatch.context() as patch:
        patch.setattr(Partial, "put", lambda *arguments: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            stream(run, path, tmp_path / "b.tif")
    other = dataclasses.replace(run, temperature=3.0)
    other.__dict__["tiles"] = run.tiles
    assert run_digest(other) != run_digest(run)
    for used, options, what in (
        (other, {}, "weights"),
        (with_tiles(run, BLENDED), {}, "tiles"),
        (run, {"region": (slice(0, 9), slice(0, 9))}, "options"),
    ):
        with pytest.raises(DataError) as caught:
            stream(used, path, tmp_path / "b.tif", **options)
        assert str(caught.value) == (
            f"{partial_folder(tmp_path / 'b.tif')} holds an unfinished prediction with other {what}; remove that "
            "folder, give the same command again, or choose another --out."
        )


def test_damage_stops_or_is_filled_and_said(run, tmp_path):
    path = write(tmp_path / "a.tif")
    with tifffile.TiffFile(path) as tif:
        offset, count = tif.pages[0].dataoffsets[13], tif.pages[0].databytecounts[13]
    content = bytearray(path.read_bytes())
    content[offset : offset + count] = bytes(count)
    path.write_bytes(content)
    place = "rows 48 to 63, columns 16 to 31"
    with pytest.raises(DataError, match=f"a.tif cannot be decoded in {place}: "):
        stream(run, path, tmp_path / "b.tif")
    notes = stream(run, path, tmp_path / "c.tif", on_error="fill")
    assert notes == [f"{path} could not be decoded in {place}: zeros stand for it."]
    filled = IMAGE.copy()
    filled[48:64, 16:32] = 0
    np.testing.assert_array_equal(read_image(tmp_path / "c.tif")[..., 0], 255 * run.predict(filled))


def test_a_disk_that_is_full(run, tmp_path, monkeypatch):
    path = write(tmp_path / "a.tif")

    def full(self, number, rows):
        raise DataError("no space")

    monkeypatch.setattr(Partial, "put", full)
    with pytest.raises(DataError, match="no space"):
        stream(run, path, tmp_path / "b.tif")


def test_a_volume_is_streamed_by_its_slices(run, tmp_path):
    batches = dataclasses.replace(run.config.batches, patch=(8, 8, 8))
    config = dataclasses.replace(run.config, batches=batches)
    variables = random_variables(build_model(config.model, classes=2), np.zeros((1, 8, 8, 8, 1), np.float32))
    spec = TileSpec(ladder=(4, 8), halo=0, multiple=2, batch=1, blend=True)
    volumes = with_tiles(dataclasses.replace(run, config=config, variables=variables), spec)
    for suffix in (".tif", ".zarr"):
        path = tmp_path / f"a{suffix}"
        if suffix == ".tif":
            tifffile.imwrite(path, VOLUME, ome=True, metadata={"axes": "ZYX"}, compression="zlib")
        else:
            zarrs.write_image(path, VOLUME, "zyx", version=2, chunk=16)
        stream(volumes, path, tmp_path / f"b{suffix}", probabilities=tmp_path / "p.npy")
        np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), volumes.probabilities(VOLUME))
        expected = volumes.labelling.decode(volumes.predict(VOLUME))
        np.testing.assert_array_equal(read_image(tmp_path / f"b{suffix}")[..., 0], expected)


# From the command line


def test_large_images_are_streamed_by_themselves(trained, run, tmp_path, monkeypatch):
    assert not is_large(Header((4096, 4096), 1, "uint8"))
    assert is_large(Header((4096, 4097), 1, "uint8"))
    path = write(tmp_path / "a.tif")
    assert tiny.command("predict", trained, path, "--out", tmp_path / "whole") == 0
    with tifffile.TiffFile(tmp_path / "whole/a.tif") as tif:
        assert not tif.pages[0].is_tiled
    monkeypatch.setattr(predict, "is_large", lambda header: True)
    assert tiny.command("predict", trained, path, "--out", tmp_path / "streamed") == 0
    with tifffile.TiffFile(tmp_path / "streamed/a.tif") as tif:
        assert tif.pages[0].is_tiled
        np.testing.assert_array_equal(tif.asarray(), tifffile.imread(tmp_path / "whole/a.tif"))


def test_what_cannot_be_streamed_is_said_and_done_in_memory(trained, tmp_path, monkeypatch, capsys):
    path = write(tmp_path / "a.tif")
    monkeypatch.setattr(predict, "is_large", lambda header: True)
    assert tiny.command("predict", trained, path, "--out", tmp_path / "out", "--overlays") == 0
    assert capsys.readouterr().err == (
        f"note: {path} was predicted as a whole in memory, since --overlays wants all of it.\n"
    )
    tiny.save(tmp_path / "b.png", IMAGE)
    assert tiny.command("predict", trained, tmp_path / "b.png", "--out", tmp_path / "out", "--region", "0:5,0:5") == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/b.png can be predicted as a whole only, since its file cannot be read in parts; leave out "
        "--region.\n"
    )


def test_killed_and_started_again_it_has_the_same_bytes(trained, tmp_path):
    """Killed indeed, as soon as a band of an image of five is done."""
    rows = np.concatenate([tiny.picture(number, side=64)[0] for number in range(36)])
    path = write(tmp_path / "a.tif", rows)
    arguments = ["predict", trained, path, "--on-error", "fill", "--probabilities", "--out"]
    assert tiny.command(*arguments, tmp_path / "never") == 0
    command = [sys.executable, "-m", "tinyunet", *map(str, arguments), str(tmp_path / "killed"), "--no-cache"]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}) as process:
        deadline = time.monotonic() + 120
        folder = partial_folder(tmp_path / "killed/a.tif")
        while not any(folder.glob("*.rows")) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert any(folder.glob("*.rows"))
    assert not (tmp_path / "killed/a.tif").exists()
    assert tiny.command(*arguments, tmp_path / "killed") == 0
    assert contents(tmp_path / "killed/a.tif") == contents(tmp_path / "never/a.tif")
