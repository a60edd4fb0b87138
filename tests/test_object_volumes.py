"""The task `instances` on volumes, from ellipsoids that touch to masks and tables in physical units."""

import csv
import io

import nibabel
import numpy as np
import pytest
import tifffile
from reference import tiny

from tinyunet.data.folder import open_folder
from tinyunet.objects.target import object_labels
from tinyunet.runs.build import build_target
from tinyunet.runs.evaluate import evaluate
from tinyunet.runs.folder import read_run_config
from tinyunet.runs.prepare import open_store
from tinyunet.runs.run import load

SHAPE, SPACING = (12, 32, 32), (2.0, 1.0, 1.0)  # millimetres along z, y and x
OPTIONS = (
    "data.task=instances",
    "data.spacing=[2.0,1.0,1.0]",
    "model.features=6",
    "batches.patch=[12,32,32]",
    "optimiser.learning_rate=0.02",
)


def ellipsoids(number):
    """Bright ellipsoids that touch in pairs, round in millimetres, and their ids, which have gaps."""
    rng = np.random.default_rng(number)
    place = np.indices(SHAPE)
    ids = np.zeros(SHAPE, np.uint16)
    for k, centre in enumerate((z, y, x) for z in (3, 8) for y in (8, 23) for x in (5, 13, 25)):
        far = sum(((p - c) * s / 5) ** 2 for p, c, s in zip(place, centre, SPACING, strict=True))
        ids[(far <= 1) & (ids == 0)] = 10 * k + 7
    return np.clip(rng.normal(60, 10, SHAPE) + 100 * (ids > 0), 0, 255).astype(np.uint8), ids


def save_nifti(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([*SPACING[::-1], 1.0])
    nibabel.save(nibabel.Nifti1Image(values.transpose(2, 1, 0), affine), path)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("volumes") / "balls"
    for number in range(4):
        image, ids = ellipsoids(number)
        save_nifti(root / f"images/{number}.nii.gz", image)
        save_nifti(root / f"masks/{number}.nii.gz", ids)
    return root


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    options = [part for setting in OPTIONS for part in ("--set", setting)]
    return tiny.train_tiny(data, tmp_path_factory.mktemp("volumes") / "run", steps=60, options=options)


def test_the_network_learns_rims_of_the_physical_shape(run, data):
    config = read_run_config(run)
    learnt = open_store(config, open_folder(data), ("3",), target=build_target(config))(0)[1]
    ids = ellipsoids(3)[1].astype(np.int32)
    np.testing.assert_array_equal(learnt, object_labels(ids, config.objects, spacing=SPACING))
    assert (learnt != object_labels(ids, config.objects)).any()
    raw = open_store(config, open_folder(data), ("3",), target=build_target(config), resampled=False)
    np.testing.assert_array_equal(raw(0)[1], learnt)


def test_predict_writes_ids_and_a_table_with_units(run, tmp_path):
    image, _ = ellipsoids(9)
    save_nifti(tmp_path / "new/a.nii.gz", image)
    path = tmp_path / "new/b.tif"
    about = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
    tifffile.imwrite(path, image, imagej=True, resolution=(1.0, 1.0), metadata=about)
    assert tiny.command("predict", run, tmp_path / "new", "--out", tmp_path / "out") == 0
    for name, unit in (("a.nii.gz", "mm"), ("b.tif", "um")):
        file = tmp_path / "out" / name
        if unit == "mm":
            stored = nibabel.load(file)
            found = np.asarray(stored.dataobj).transpose(2, 1, 0)
            np.testing.assert_allclose(stored.header.get_zooms(), SPACING[::-1])
        else:
            found = tifffile.imread(file)
        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found, load(run).predict(image, spacing=SPACING))
        rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / f"{name[0]}.csv").read_text())))
        assert [int(row["id"]) for row in rows] == np.unique(found[found > 0]).tolist()
        for row in rows:
            inside = np.argwhere(found == int(row["id"]))
            assert int(row["pixels"]) == len(inside)
            assert float(row[f"volume_{unit}3"]) == pytest.approx(2 * len(inside))
            assert float(row[f"centroid_z_{unit}"]) == pytest.approx(2 * inside[:, 0].mean(), rel=1e-4)
        assert rows


def test_touching_balls_are_scored(run, data):
    scores = evaluate(run, data, split="all", quiet=True).objects
    assert scores.found.true == 4 * 12
    assert scores.found.ap[0] > 0.9
    assert scores.found.ap[0] > scores.plain.ap[0]
