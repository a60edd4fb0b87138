"""What a worker does with its orders; that workers do it at all is tested in tests/runs/test_cluster.py."""

import dataclasses
import subprocess
import sys
import threading

import numpy as np
import pytest
from distributed import Worker
from reference import tiny
from runs.test_stream import SPEC, with_tiles, write

from tinyunet.errors import ConfigError, DataError
from tinyunet.prediction.bands import plan_bands
from tinyunet.prediction.tiles import plan_grid
from tinyunet.runs.bandwork import BandWork, choose_engine, computed_by
from tinyunet.runs.run import load
from tinyunet.runs.worker import Network, Order, carry_out

IMAGE = np.concatenate([tiny.picture(number)[0] for number in range(3)])
WHERE = "tcp://10.0.0.7:40001"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("worker")
    return load(tiny.train_tiny(tiny.write_pairs(root / "cells"), root / "run", steps=1))


@pytest.fixture
def order(run, tmp_path):
    path = write(tmp_path / "a.tif", IMAGE)
    work = BandWork(
        source=path,
        on_error="stop",
        normalisation=run.normalisation,
        grid=plan_grid(IMAGE.shape, SPEC),
        region=(slice(0, 96), slice(0, 32)),
        probabilities=False,
    )
    return Order(work=work, size=path.stat().st_size, computed_by=computed_by(run), runtime=choose_engine(run, work))


def test_bands_are_those_of_the_whole_image(run, order):
    bands = list(plan_bands(order.work.grid))[1:3]
    done = carry_out(run, order, bands, where=WHERE)
    assert [one.band for one in done] == bands
    expected = with_tiles(run, SPEC).predict(IMAGE)
    assert run.engine.chosen == order.runtime
    np.testing.assert_array_equal(np.concatenate([one.rows for one in done]), expected[bands[0].start : bands[1].stop])


def test_a_network_is_built_once_for_all_tasks(run):
    plugin = Network(run, cache=False)
    plugin.setup(Worker.__new__(Worker))
    built = []
    threads = [threading.Thread(target=lambda: built.append(plugin.run())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(one is built[0] for one in built)
    assert built[0].config == run.config


def refusal(run, order, error, **changed):
    with pytest.raises(error) as caught:
        carry_out(run, dataclasses.replace(order, **changed), list(plan_bands(order.work.grid))[:1], where=WHERE)
    return str(caught.value)


def test_a_worker_that_would_compute_other_bits(run, order):
    here = computed_by(run)
    there = ["tinyunet 0.0.1", *here[1:]]
    assert refusal(run, order, ConfigError, computed_by=there) == (
        f"The worker {WHERE} computes by {', '.join(here)}, and this process by {', '.join(there)}, whose bits may "
        "differ: install the same on both, or take machines of one kind."
    )


def test_a_worker_that_does_not_see_the_image(run, order, tmp_path):
    work = dataclasses.replace(order.work, source=tmp_path / "b.tif")
    assert refusal(run, order, DataError, work=work) == (
        f"The worker {WHERE} does not see {tmp_path}/b.tif: workers read images themselves, so put it where all of "
        "them see it under that path."
    )


def test_a_worker_that_sees_another_image(run, order, tmp_path):
    assert refusal(run, order, DataError, size=order.size + 1) == (
        f"The worker {WHERE} sees another file at {tmp_path}/a.tif: put the image where all workers see the same."
    )


def test_a_scheduler_does_not_load_jax():
    code = "import sys, tinyunet.runs.worker; print('jax' in sys.modules, 'skimage' in sys.modules)"
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False False\n"
