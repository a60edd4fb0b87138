import json
import re

import nibabel
import numpy as np
import pytest
from reference import tiny

from tinyunet.data.check import examine
from tinyunet.data.folder import open_folder, scan_folder
from tinyunet.errors import DataError

LABELS = {"background": 0, "cell": 1, "dirt": 2}


@pytest.fixture
def root(tmp_path):
    """A raw data set of nnU-Net: five images of two channels, four to train, one to test, and one without labels."""
    rng = np.random.default_rng(0)
    for part, names in (("Tr", "abcd"), ("Ts", "ef")):
        for name in names:
            for channel in range(2):
                image = rng.integers(0, 256, (20, 24)).astype(np.uint8)
                tiny.save(tmp_path / f"images{part}" / f"{name}_000{channel}.png", image)
            if name != "f":
                mask = rng.integers(0, 3, (2, 2)).repeat(10, axis=0).repeat(12, axis=1).astype(np.uint8)
                mask[0, :3] = 0, 1, 2
                tiny.save(tmp_path / f"labels{part}" / f"{name}.png", mask)
    write(tmp_path)
    return tmp_path


def write(root, **changes):
    table = {"channel_names": {"0": "a", "1": "b"}, "labels": LABELS, "numTraining": 4, "file_ending": ".png"}
    (root / "dataset.json").write_text(json.dumps({**table, **changes}))


def test_it_is_read_as_it_is(root):
    folder = open_folder(root)
    assert [sample.name for sample in folder.samples] == list("abcdef")
    assert [path.name for path in folder.samples[0].files] == ["a_0000.png", "a_0001.png"]
    assert folder.samples[0].mask == root / "labelsTr" / "a.png"
    assert folder.declared == {**dict.fromkeys("abcd", "train"), "e": "test", "f": "unlabelled"}
    found = examine(root)
    assert found.problems == ()
    assert found.labelling.names == ("background", "cell", "dirt")
    assert found.channels.used == 2
    assert (found.split.test, found.split.unlabelled, len(found.split.val)) == (("e",), ("f",), 1)


def test_a_network_is_trained_on_it(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("nnunet") / "run"
    tiny.train_tiny(root, out, steps=1)
    assert tiny.command("evaluate", out, root) == 0
    scores = json.loads((out / "evaluation.json").read_text())
    assert [image["name"] for image in scores["images"]] == ["e"]


def test_the_ignored_label_takes_no_part(root):
    write(root, labels={"background": 0, "cell": 1, "ignore": 2})
    labelling = examine(root).labelling
    assert (labelling.names, labelling.ignore) == (("background", "cell"), 2)


def test_all_that_is_wrong_is_said_at_once(root):
    (root / "imagesTr" / "a_0001.png").unlink()
    (root / "labelsTr" / "b.png").unlink()
    tiny.save(root / "imagesTr" / "odd.png", np.zeros((2, 2), np.uint8))
    for channel in range(2):
        tiny.save(root / "imagesTs" / f"c_000{channel}.png", np.zeros((2, 2), np.uint8))
    folder, problems = scan_folder(root)
    assert [sample.name for sample in folder.samples] == ["c", "d", "e", "f"]
    assert problems == [
        f"{root}/imagesTr/odd.png must end in the number of its channel, such as _0000.png. Rename it.",
        f"{root}/imagesTr/a_0000.png must come as 2 files _0000 …, got 0000.",
        f"{root}/imagesTr/b_0000.png must have a mask {root}/labelsTr/b.png, got none. Add it, or remove the image.",
        f"{root}/imagesTs/c_0000.png must have a name of its own, got that of a training image. Rename it.",
    ]


def test_too_few_pairs_are_a_problem(root):
    for name in "bcd":
        (root / "labelsTr" / f"{name}.png").unlink()
    (root / "labelsTs" / "e.png").unlink()
    assert any("must hold at least 2 images with masks" in problem for problem in scan_folder(root)[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file_ending": ".mha"}, "dataset.json: files ending in '.mha' are not read. Known: .png, "),
        ({"labels": {"background": 0, "whole": [1, 2]}}, "regions of several are not read"),
        ({"labels": []}, "dataset.json is not what nnU-Net writes (ValueError: "),
        ({"channel_names": 3}, "dataset.json is not what nnU-Net writes (TypeError: "),
    ],
)
def test_what_cannot_be_read_is_named(root, changes, message):
    write(root, **changes)
    with pytest.raises(DataError, match=re.escape(message)):
        open_folder(root)


def test_volumes_are_read_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
    for name in "abcd":
        for channel in range(2):
            image = nibabel.Nifti1Image(rng.normal(size=(8, 7, 6)).astype(np.float32), affine)
            nibabel.save(image, tmp_path / f"imagesTr/{name}_000{channel}.nii.gz")
        mask = nibabel.Nifti1Image((np.arange(8 * 7 * 6).reshape(8, 7, 6) // 112).astype(np.uint8), affine)
        nibabel.save(mask, tmp_path / f"labelsTr/{name}.nii.gz")
    write(tmp_path, file_ending=".nii.gz")
    found = examine(tmp_path)
    assert found.problems == ()
    assert [sample.name for sample in found.folder.samples] == list("abcd")
    assert (found.fingerprint.sizes, found.fingerprint.spacings) == ({(6, 7, 8): 4}, {(2.0, 1.0, 1.0): 4})
    assert found.channels.used == 2
    assert found.fingerprint.class_pixels == (4 * 112,) * 3
