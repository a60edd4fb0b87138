"""Bands as tasks of Dask: the bits of one process, whoever computes them and whoever dies."""

import contextlib
import json
import os
import re
import signal
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from distributed import Future, KilledWorker
from reference import tiny
from runs.test_stream import SPEC, Killed, contents, stream, with_tiles, write

from tinyunet.cli.main import main
from tinyunet.data.normalise import Normalisation
from tinyunet.errors import DataError
from tinyunet.prediction.bands import plan_bands
from tinyunet.prediction.tiles import TileSpec, plan_grid
from tinyunet.runs import cluster
from tinyunet.runs.bandwork import BandWork
from tinyunet.runs.cluster import cut_tasks, open_cluster
from tinyunet.runs.partial import Partial
from tinyunet.runs.run import load

TALL = np.concatenate([tiny.picture(number)[0] for number in range(24)])
PLACE = "rows 64 to 79, columns 16 to 31"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("cluster")
    return tiny.train_tiny(tiny.write_pairs(root / "cells"), root / "run", steps=2)


@pytest.fixture(scope="module")
def run(trained):
    """With small tiles, so that a small image has many bands."""
    return with_tiles(load(trained), SPEC)


@pytest.fixture(scope="module")
def workers(run):
    """Three worker processes, for all tests here."""
    with open_cluster("local", run, workers=3, quiet=True) as workers:
        yield workers


@pytest.fixture(scope="module")
def tall(tmp_path_factory):
    return write(tmp_path_factory.mktemp("tall") / "a.tif", TALL)


@pytest.fixture(scope="module")
def expected(run, tall, tmp_path_factory):
    """What one process makes of it."""
    folder = tmp_path_factory.mktemp("alone")
    stream(run, tall, folder / "b.tif", probabilities=folder / "p.npy")
    return contents(folder / "b.tif")


def test_a_worker_killed_half_way_changes_nothing(run, workers, tall, expected, tmp_path):
    victim = next(iter(workers.client.run(os.getpid).values()))
    calls = []

    def kill_half_way(done, total):
        if calls and calls[-1][0] < total // 2 <= done:
            os.kill(victim, signal.SIGKILL)
        calls.append((done, total))

    options = {"probabilities": tmp_path / "p.npy", "progress": kill_half_way}
    assert stream(run, tall, tmp_path / "b.tif", compute=workers.compute, **options) == []
    assert contents(tmp_path / "b.tif") == expected
    assert len(calls) > 20
    assert calls[-1][0] == calls[-1][1]
    assert victim not in workers.client.run(os.getpid).values()


@pytest.mark.parametrize("first", ["here", "there"])
def test_what_one_has_begun_the_other_goes_on_with(run, workers, tall, expected, tmp_path, first, monkeypatch):
    here, there = {}, {"compute": workers.compute}
    computed, real = [], Partial.put

    def stop_in_the_middle(self, number, rows):
        computed.append(number)
        if len(computed) == 20:
            raise Killed
        real(self, number, rows)

    monkeypatch.setattr(Partial, "put", stop_in_the_middle)
    options = {"probabilities": tmp_path / "p.npy"}
    begins, goes_on = (here, there) if first == "here" else (there, here)
    with pytest.raises(Killed):
        stream(run, tall, tmp_path / "b.tif", **options, **begins)
    stream(run, tall, tmp_path / "b.tif", **options, **goes_on)
    assert contents(tmp_path / "b.tif") == expected
    assert len(computed) == 1 + len(plan_bands(plan_grid(TALL.shape, run.tiles)))


def damaged(path):
    """A file of which one tile cannot be decoded."""
    write(path, TALL)
    with tifffile.TiffFile(path) as tif:
        offset, count = tif.pages[0].dataoffsets[9], tif.pages[0].databytecounts[9]
    content = bytearray(path.read_bytes())
    content[offset : offset + count] = bytes(count)
    path.write_bytes(content)
    return path


def test_a_damaged_tile_is_said_as_by_one_process(run, workers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = damaged(tmp_path / "a.tif").relative_to(tmp_path)
    texts = []
    for options in ({}, {"compute": workers.compute}):
        with pytest.raises(DataError, match=f"^a.tif cannot be decoded in {PLACE}: ") as caught:
            stream(run, path, tmp_path / "b.tif", **options)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


def test_damage_that_is_filled_is_said_in_the_order_of_the_image(run, workers, tmp_path):
    path = damaged(tmp_path / "a.tif")
    notes = stream(run, path, tmp_path / "b.tif", on_error="fill", compute=workers.compute)
    assert notes == [f"{path} could not be decoded in {PLACE}: zeros stand for it."]
    stream(run, path, tmp_path / "c.tif", on_error="fill")
    assert (tmp_path / "b.tif").read_bytes() == (tmp_path / "c.tif").read_bytes()


def work_on(grid):
    """Work that is never done."""
    return BandWork(
        source=Path("a.tif"),
        on_error="stop",
        normalisation=Normalisation("dataset", (0.0,), (1.0,)),
        grid=grid,
        region=tuple(slice(0, size) for size in grid.shape),
        probabilities=False,
    )


def test_workers_that_die_again_and_again_are_said(workers):
    class Dead(Future):
        status = "error"

        def __init__(self):
            """Belongs to no client."""

        def __del__(self):
            """So it has nothing to release."""

        def result(self):
            raise KilledWorker("compute-1", SimpleNamespace(address="tcp://10.0.0.7:4001"), 3)

    grid = plan_grid(TALL.shape, SPEC)
    with pytest.raises(DataError) as caught:
        workers._result(Dead(), work_on(grid), list(plan_bands(grid)[2:4]))
    assert str(caught.value) == (
        "a.tif cannot be predicted by local: 4 workers died of rows 34 to 57, the last at tcp://10.0.0.7:4001, most "
        "likely for want of memory; give each more of it, or fewer threads."
    )


def test_tasks_hold_all_bands_once_and_are_few_where_little_is_computed_twice():
    def sizes(width, missing, *, threads, **options):
        spec = TileSpec(ladder=(16, 32), multiple=2, **{"halo": 10, "batch": 1, **options})
        grid = plan_grid((1200, width), spec)
        bands = [band for band in plan_bands(grid) if band.number in missing]
        tasks = list(cut_tasks(work_on(grid), bands, threads=threads))
        assert [band for task in tasks for band in task] == bands
        return [len(task) for task in tasks]

    blended = {"blend": True, "halo": 0}
    assert set(sizes(32, range(80), threads=4)) == {1}
    assert set(sizes(32, range(60), threads=4, **blended)) == {4}
    assert set(sizes(32, range(9), threads=4, **blended)) == {2, 1}
    assert set(sizes(32, range(8), threads=4, **blended)) == {1}
    assert sizes(32, range(20), threads=0, batch=8) == [8, 8, 4]
    assert sizes(32, [0, 1, 2, 5, 6], threads=0, batch=8) == [3, 2]
    assert set(sizes(600, range(20), threads=0, batch=8)) == {1}


# From the command line


def test_the_command_line(trained, workers, tall, tmp_path, capsys):
    tiny.save(tmp_path / "small.png", tiny.picture(1)[0])
    arguments = ["predict", trained, tall, tmp_path / "small.png", "--no-cache", "--on-error", "fill"]
    assert main([*map(str, arguments), "--out", str(tmp_path / "alone")]) == 0
    capsys.readouterr()
    address = workers.client.scheduler.address
    assert main([*map(str, arguments), "--out", str(tmp_path / "many"), "--dask", address]) == 0
    assert capsys.readouterr().err.splitlines() == [
        f"Dask: {workers.client.dashboard_link}",
        f"note: {tmp_path}/small.png was predicted here: Dask is for large images.",
    ]
    for name in ("a.tif", "small.png"):
        assert (tmp_path / "many" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    records = [json.loads((tmp_path / folder / "prediction.json").read_text()) for folder in ("many", "alone")]
    assert records[0]["runtime"] == records[1]["runtime"] is not None


def refused(trained, tall, out, where, capsys):
    """What is said of a scheduler that cannot be used, in one line."""
    assert tiny.command("predict", trained, tall, "--out", out, "--dask", where) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def test_a_scheduler_that_does_not_answer(trained, tall, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cluster, "ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        text = refused(trained, tall, tmp_path / "out", where, capsys)
    assert text.startswith(f"error: No scheduler of Dask answers at {where}: start one by `dask scheduler`, or correct")
    assert refused(trained, tall, tmp_path / "out", where, capsys).startswith(text[:60])  # nobody is there


def test_an_address_that_is_none(trained, tall, tmp_path, capsys):
    for where in ("tcp://host", "host:8786", "Local", "tcp://host:99999999"):
        text = refused(trained, tall, tmp_path / "out", where, capsys)
        assert text == f"error: `--dask` must be local or tcp://HOST:PORT, got {where!r}.\n"


def test_without_dask(trained, tall, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "tinyunet.runs.cluster")
    text = refused(trained, tall, tmp_path / "out", "local", capsys)
    assert text == "error: `--dask` wants Dask, which is not installed: pip install 'tinyunet[dask]'.\n"


# On SLURM

SBATCH = """#!/bin/sh
if mkdir {folder}/first 2>{folder}/not-first; then
    cp "$1" {folder}/job.sh
    sh "$1" >{folder}/worker.log 2>&1 &
    echo $! >{folder}/pid
fi
echo "Submitted batch job 7"
"""


def test_the_recipe_for_slurm(trained, tall, tmp_path, monkeypatch):
    """The page's own script, with an `sbatch` that starts the first of its jobs here."""
    for name, text in {"sbatch": SBATCH.format(folder=tmp_path), "scancel": "#!/bin/sh\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-run").symlink_to(trained)
    (tmp_path / "slide.tif").symlink_to(tall)

    def run_here(command, *, check):
        assert check
        assert command[0] == "tinyunet"
        assert tiny.command(*command[1:], "--on-error", "fill") == 0

    page = (Path(__file__).parents[2] / "docs/how-to/predict-on-a-cluster.md").read_text(encoding="utf-8")
    script = page[page.index("import subprocess\n") :].split("```")[0].removeprefix("import subprocess\n")
    before = signal.getsignal(signal.SIGINT)
    exec(compile(script, "<page>", "exec"), {"subprocess": SimpleNamespace(run=run_here)})
    signal.signal(signal.SIGINT, before)  # importing dask_jobqueue has set it
    job = (tmp_path / "job.sh").read_text()
    wanted = ("-p compute", "-n 1", "--cpus-per-task=8", "--mem=15G", "-t 04:00:00")
    assert {f"#SBATCH {option}" for option in wanted} <= set(job.splitlines())
    assert re.search(r"distributed.cli.dask_worker tcp://.* --nthreads 1 .*--memory-limit 0", job)
    assert tiny.command("predict", trained, "slide.tif", "--out", "alone", "--on-error", "fill") == 0
    assert (tmp_path / "masks/slide.tif").read_bytes() == (tmp_path / "alone/slide.tif").read_bytes()
    with contextlib.suppress(ProcessLookupError):  # it has ended with its scheduler
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
