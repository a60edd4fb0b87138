"""Micrographs made from a seed, and the data-set folder of them."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.filters import threshold_otsu

from tinyunet.data.check import examine
from tinyunet.data.nuclei import Cells
from tinyunet.data.synthetic import cells, write_cells, write_volumes
from tinyunet.errors import DataError

SMALL = {"train": 2, "val": 1, "test": 1, "shape": (40, 48)}


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_dtypes_and_shapes():
    image, instances = cells(0)
    assert (image.dtype, image.shape) == (np.uint8, (256, 256, 1))
    assert (instances.dtype, instances.shape) == (np.int32, (256, 256))


@given(seed=st.integers(0, 2**63), h=st.integers(1, 80), w=st.integers(1, 80))
@settings(max_examples=30, deadline=None)
def test_any_shape_and_seed(seed, h, w):
    image, instances = cells(seed, shape=(h, w))
    again, same = cells(seed, shape=(h, w))
    assert image.shape == (h, w, 1)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(instances, same)
    np.testing.assert_array_equal(np.unique(np.append(instances, 0)), np.arange(instances.max() + 1))


def test_another_seed_is_another_image():
    assert (cells(0, shape=(64, 64))[0] != cells(1, shape=(64, 64))[0]).any()


def test_nuclei_are_brighter_than_the_background():
    for seed in range(3):
        image, instances = cells(seed)
        assert np.median(image[instances > 0]) > 2 * np.median(image[instances == 0])


def test_a_threshold_is_a_start_but_no_solution():
    hit = wrong = 0
    for seed in range(8):
        image, instances = cells(seed)
        found, mask = image[..., 0] > threshold_otsu(image), instances > 0
        hit, wrong = hit + (found & mask).sum(), wrong + (found ^ mask).sum()
    assert 0.8 < 2 * hit / (2 * hit + wrong) < 0.9


def test_options_reach_the_slide():
    _, instances = cells(0, shape=(64, 64), slide=Cells(coverage=0.0))
    assert not instances.any()


def test_the_folder_is_complete(tmp_path):
    folder = write_cells(tmp_path / "cells", **SMALL)
    names = ["test-000", "train-000", "train-001", "val-000"]
    assert sorted(contents(folder)) == sorted(
        ["split.csv", *(f"{part}/{name}.png" for part in ("images", "masks") for name in names)]
    )
    with (folder / "split.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["name", "split"]
    assert sorted(rows[1:]) == [[name, name.split("-")[0]] for name in names]
    for name in names:
        with (
            Image.open(folder / "images" / f"{name}.png") as image,
            Image.open(folder / "masks" / f"{name}.png") as mask,
        ):
            assert image.mode == mask.mode == "L"
            assert image.size == mask.size == (48, 40)
            assert set(np.unique(np.asarray(mask))) <= {0, 255}
    assert list(tmp_path.iterdir()) == [folder]


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path):
    first, again, other = (
        contents(write_cells(tmp_path / name, **SMALL, seed=seed)) for name, seed in (("a", 5), ("b", 5), ("c", 6))
    )
    assert first == again
    assert all(first[name] != other[name] for name in first if name.startswith("images/"))


def test_images_differ_and_do_not_depend_on_how_many_there_are(tmp_path):
    few = contents(write_cells(tmp_path / "few", **SMALL))
    many = contents(write_cells(tmp_path / "many", **{**SMALL, "train": 3}))
    assert len(set(few.values())) == len(few)
    del few["split.csv"]
    assert few.items() <= many.items()


def test_an_empty_folder_is_filled_in_place(tmp_path):
    inode = tmp_path.stat().st_ino
    write_cells(tmp_path, **SMALL)
    assert tmp_path.stat().st_ino == inode
    assert (tmp_path / "split.csv").is_file()
    assert [path.name for path in tmp_path.parent.iterdir() if path.name.endswith(".part")] == []


def test_missing_parents_are_made(tmp_path):
    assert (write_cells(tmp_path / "a" / "b", **SMALL) / "images").is_dir()


def test_progress_counts_the_images(tmp_path):
    seen = []
    write_cells(tmp_path / "cells", **SMALL, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_stopped_run_leaves_nothing_behind(tmp_path):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cells(tmp_path / "cells", **SMALL, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_refused_and_kept(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError) as error:
        write_cells(tmp_path, **SMALL)
    assert str(error.value) == f"{tmp_path} is not empty; choose a new folder, or remove this one first."
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_a_file_is_refused(tmp_path):
    (tmp_path / "cells").write_text("mine")
    with pytest.raises(DataError) as error:
        write_cells(tmp_path / "cells", **SMALL)
    assert str(error.value) == f"{tmp_path / 'cells'} is not a folder; choose another name."


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match=r"cells cannot be written \(.+\); make room there or choose another folder\.$"):
        write_cells(tmp_path / "file" / "cells", **SMALL)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"train": 0}, "`train` must be 1 or more images, got 0."),
        ({"test": -1}, "`test` must be 0 or more images, got -1."),
        ({"seed": -1}, "`seed` must be 0 or more, got -1."),
        ({"shape": (0, 8)}, r"`shape` must be a height and a width of at least 1 pixel, got \(0, 8\)."),
    ],
)
def test_values_outside_their_range(tmp_path, option, text):
    with pytest.raises(ValueError, match=f"^{text}$"):
        write_cells(tmp_path / "cells", **{**SMALL, **option})
    assert list(tmp_path.iterdir()) == []


def test_a_negative_seed_for_one_image():
    with pytest.raises(ValueError, match=r"^`seed` must be 0 or more, got -3.$"):
        cells(-3)


def test_a_folder_of_volumes_is_complete_and_without_fault(tmp_path):
    folder = write_volumes(
        tmp_path / "scans", train=2, val=1, test=1, shape=(6, 20, 20), spacing=(4.0, 1.0, 1.0), seed=3
    )
    names = ["test-000", "train-000", "train-001", "val-000"]
    assert sorted(contents(folder)) == sorted(
        ["dataset.toml", "split.csv", *(f"{part}/{name}.nii.gz" for part in ("images", "masks") for name in names)]
    )
    found = examine(folder)
    assert not found.problems
    assert [one.name for one in found.labelling.classes] == ["background", "head", "tail"]
    assert found.fingerprint.median_spacing == (4.0, 1.0, 1.0)
    assert found.fingerprint.oriented
    again = write_volumes(
        tmp_path / "again", train=2, val=1, test=1, shape=(6, 20, 20), spacing=(4.0, 1.0, 1.0), seed=3
    )
    assert contents(again) == contents(folder)


def test_voxels_have_a_size(tmp_path):
    with pytest.raises(ValueError, match=r"^`spacing` must be three lengths above 0, got \(0.0, 1.0, 1.0\).$"):
        write_volumes(tmp_path / "scans", spacing=(0.0, 1.0, 1.0))
