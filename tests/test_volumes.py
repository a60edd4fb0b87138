"""Every command on volumes, from files to files."""

import json

import nibabel
import numpy as np
import pytest
import tensorstore
from reference import tiny

from tinyunet.data.labelfile import write_zarr
from tinyunet.data.phantom import phantom
from tinyunet.data.readers import read_header, read_image
from tinyunet.data.synthetic import write_volumes

SHAPE = (6, 16, 16)
SPACING = (3.0, 1.0, 1.0)
OPTIONS = tuple(
    part for setting in ("model.features=2", "batches.batch=1", "train.validations=1") for part in ("--set", setting)
)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    root = tmp_path_factory.mktemp("volumes")
    return write_volumes(root / "scans", train=3, val=1, test=2, shape=SHAPE, spacing=SPACING)


@pytest.fixture(scope="module")
def run(scans):
    out = scans.parent / "run"
    assert tiny.command("train", scans, "--out", out, "--steps", 2, *OPTIONS) == 0
    return out


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    return tiny.train_tiny(tiny.write_pairs(root / "cells"), root / "run", steps=1)


def test_check_prints_the_plan_and_writes_it_for_programs(scans, tmp_path, capsys):
    path = tmp_path / "found.json"
    assert tiny.command("check", scans, "--json", path, "--set", "model.depth=1") == 0
    said = capsys.readouterr().out.splitlines()
    plan = {line.split(" = ")[0].split()[1]: line for line in said if line.startswith("plan      ")}
    assert plan["data.spacing"] == "plan      data.spacing = 3 × 1 × 1: that of all volumes, so nothing is resampled"
    assert plan["model.depth"] == "plan      model.depth = 1: as asked for"
    assert plan["model.hold"].startswith("plan      model.hold = 1 × 0 × 0: ")
    assert plan["augment.flips"].startswith("plan      augment.flips = false: the files say where head")
    table = json.loads(path.read_text())
    assert [one["key"] for one in table["plan"]] == list(plan)
    assert {"key": "model.depth", "value": 1, "reason": "as asked for", "given": True} in table["plan"]


def test_a_run_holds_its_plan_and_is_scored(run, scans, tmp_path, capsys):
    text = (run / "config.toml").read_text()
    assert "spacing = [\n    3.0,\n    1.0,\n    1.0,\n]" in text
    path = tmp_path / "scores.json"
    assert tiny.command("evaluate", run, scans, "--json", path) == 0
    assert "All pixels of 2 images together" in capsys.readouterr().out
    assert len(json.loads(path.read_text())["images"]) == 2
    assert len(list((run / "previews").glob("*.png"))) >= 1


def test_labels_lie_where_the_volume_does(run, scans, tmp_path):
    out = tmp_path / "out"
    options = ["--overlays", "--uncertainty", "--probabilities"]
    assert tiny.command("predict", run, scans / "images/test-000.nii.gz", "--out", out, *options) == 0
    name = "test-000"
    assert sorted(path.name for path in out.iterdir()) == [
        "prediction.json",
        *(f"{name}.nii.gz", f"{name}.npy", f"{name}_overlay.png", f"{name}_uncertainty.nii.gz"),
    ]
    image = nibabel.load(scans / f"images/{name}.nii.gz")
    for written in (f"{name}.nii.gz", f"{name}_uncertainty.nii.gz"):
        found = nibabel.load(out / written)
        np.testing.assert_array_equal(found.affine, image.affine)
        assert found.shape == image.shape
        assert found.get_data_dtype() == np.uint8
    assert set(np.unique(read_image(out / f"{name}.nii.gz"))) <= {0, 1, 2}
    scores = np.load(out / f"{name}.npy")
    assert scores.shape == (*SHAPE, 3)
    np.testing.assert_array_equal(scores.argmax(axis=-1), read_image(out / f"{name}.nii.gz")[..., 0])


def test_an_affine_that_is_oblique_is_kept_to_the_bit(run, scans, tmp_path):
    source = nibabel.load(scans / "images/test-001.nii.gz")
    turn = np.array([[0, 0.6, 0.8, 0], [1, 0, 0, 0], [0, -0.8, 0.6, 0], [0, 0, 0, 1]])
    affine = (turn @ source.affine).astype(np.float32)
    nibabel.Nifti1Image(np.asarray(source.dataobj), affine).to_filename(tmp_path / "a.nii")
    assert tiny.command("predict", run, tmp_path / "a.nii", "--out", tmp_path / "out") == 0
    found = nibabel.load(tmp_path / "out/a.nii")
    np.testing.assert_array_equal(found.affine, nibabel.load(tmp_path / "a.nii").affine)
    assert found.shape == source.shape


def test_voxels_of_another_size_are_resampled_and_the_labels_back(run, scans, tmp_path):
    finer = nibabel.Nifti1Image(phantom(9, shape=(9, 24, 20))[0][..., 0].transpose(2, 1, 0), np.diag([0.8, 0.7, 2, 1]))
    finer.to_filename(tmp_path / "a.nii.gz")
    assert tiny.command("predict", run, tmp_path / "a.nii.gz", "--out", tmp_path / "out") == 0
    assert nibabel.load(tmp_path / "out/a.nii.gz").shape == (20, 24, 9)


def test_a_folder_of_zarr_is_predicted(run, tmp_path):
    (tmp_path / "new").mkdir()
    for number in range(2):
        image = phantom(number, shape=SHAPE)[0][..., 0]
        write_zarr(tmp_path / f"new/{number}.zarr", image.astype(np.int32))
    out = tmp_path / "out"
    assert tiny.command("predict", run, tmp_path / "new", "--out", out, "--uncertainty") == 0
    names = ["0.zarr", "0_uncertainty.npy", "1.zarr", "1_uncertainty.npy", "prediction.json"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert read_header(out / "0.zarr", axes="zyx").shape == SHAPE


def test_an_image_is_refused_by_a_run_of_volumes_in_one_line(run, tmp_path, capsys):
    tiny.save(tmp_path / "a.png", tiny.picture(1)[0])
    assert tiny.command("predict", run, tmp_path / "a.png", "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/a.png has 2 axes of space, and the network was trained on volumes of three.\n"
    )


def test_a_volume_is_refused_by_a_run_of_images_in_one_line(flat, scans, tmp_path, capsys):
    scan = scans / "images/test-000.nii.gz"
    assert tiny.command("predict", flat, scan, "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err == (
        f"error: {scan} has 3 axes of space, and the network was trained on images of two axes.\n"
    )


def test_data_of_other_axes_are_not_scored(flat, run, scans, tmp_path, capsys):
    cells = tiny.write_pairs(tmp_path / "cells", count=3)
    assert tiny.command("evaluate", flat, scans, "--split", "all") == 2
    assert tiny.command("evaluate", run, cells, "--split", "all") == 2
    scan = scans / "images/test-000.nii.gz"
    assert capsys.readouterr().err.splitlines() == [
        f"error: {scan} has 3 axes of space, and the network was trained on images of two axes.",
        f"error: {cells}/images/0.png has 2 axes of space, and the network was trained on volumes of three.",
    ]


def test_weights_of_images_do_not_begin_a_training_of_volumes(flat, scans, tmp_path, capsys):
    out = tmp_path / "out"
    assert tiny.command("train", scans, "--out", out, "--steps", 1, "--init", flat, *OPTIONS) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not out.exists()


def test_images_and_volumes_in_one_folder_are_refused(scans, tmp_path, capsys):
    cells = tiny.write_pairs(tmp_path / "cells", count=3)
    for part in ("images", "masks"):
        (cells / part / "scan.nii.gz").write_bytes((scans / part / "train-000.nii.gz").read_bytes())
    assert tiny.command("train", cells, "--out", tmp_path / "out", "--steps", 1) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_flips_that_the_training_left_out_are_not_averaged_over(run, scans, tmp_path, capsys):
    scan = scans / "images/test-000.nii.gz"
    assert tiny.command("predict", run, scan, "--out", tmp_path / "out", "--tta") == 2
    assert capsys.readouterr().err == (
        "error: The run was trained with neither flips nor turns, so its network has learnt which direction is which; "
        "leave out --tta (tta=True).\n"
    )


@pytest.mark.parametrize(("axes", "order"), [("zyx", (0, 1, 2)), ("czyx", (3, 0, 1, 2))])
def test_arrays_of_zarr_that_name_no_axes_are_read_as_declared(axes, order, tmp_path):
    data = tmp_path / "data"
    channels = (2,) * ("c" in axes)
    for number in range(2):
        image, labels = phantom(number, shape=SHAPE)
        image = np.stack([image[..., 0]] * 2, axis=-1) if channels else image[..., 0]
        for part, values in (("images", image.transpose(order)), ("masks", labels)):
            path = data / part / f"{number}.zarr"
            zarr = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
            kind = {"dtype": str(values.dtype), "shape": values.shape}
            tensorstore.open({**zarr, "create": True}, **kind).result()[...] = values
    (data / "dataset.toml").write_text(f'axes = "{axes}"\nspacing = [3.0, 1.0, 1.0]\n')
    assert tiny.command("train", data, "--out", tmp_path / "run", "--steps", 1, *OPTIONS) == 0
    assert tiny.command("evaluate", tmp_path / "run", data, "--split", "all") == 0
    assert tiny.command("predict", tmp_path / "run", data, "--out", tmp_path / "out", "--overlays") == 0
    assert read_header(tmp_path / "out/0.zarr", axes="zyx").shape == SHAPE
