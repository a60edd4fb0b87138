import errno
import re
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image
from reference import tiny

from tinyunet.data.masks import read_mask
from tinyunet.data.readers import SUFFIXES
from tinyunet.errors import DataError
from tinyunet.evaluation.display import to_display
from tinyunet.evaluation.overlay import overlay
from tinyunet.runs.predict import PredictOptions, plan_jobs, predict_files
from tinyunet.runs.run import load

PALETTE = [0, 0, 0, 200, 30, 30, 30, 200, 30]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("predict")
    return tiny.train_tiny(tiny.write_pairs(root / "cells"), root / "run")


@pytest.fixture(scope="module")
def run(trained):
    return load(trained)


@pytest.fixture
def images(tmp_path):
    """Three images that the run has not seen."""
    for number in range(3):
        tiny.save(tmp_path / f"new/{number}.png", tiny.picture(10 + number)[0])
    return tmp_path / "new"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_every_image_of_a_folder_becomes_a_mask_with_the_values_of_the_training_masks(run, images, tmp_path):
    out = tmp_path / "some/where"
    assert predict_files(run, plan_jobs([images], out), quiet=True) == []
    assert names(out) == ["0.png", "1.png", "2.png"]
    for number in range(3):
        expected = 255 * run.predict(tiny.picture(10 + number)[0])
        with Image.open(out / f"{number}.png") as picture:
            assert picture.mode == "L"
            np.testing.assert_array_equal(np.asarray(picture), expected)


def as_palette(mask):
    picture = Image.fromarray((2 * mask).astype(np.uint8))
    picture.putpalette(PALETTE)
    return picture


@pytest.mark.parametrize(
    ("mask_of", "read"),
    [
        (lambda mask: (7 * mask).astype(np.uint8), {0, 7}),
        (lambda mask: (1000 * mask + 300).astype(np.uint16), {300, 1300}),
        (as_palette, {0, 2}),
        (lambda mask: np.where(mask[..., None], [200, 30, 30], [10, 20, 30]).astype(np.uint8), {0x0A141E, 0xC81E1E}),
    ],
    ids=["ids", "16 bit", "palette", "rgb"],
)
def test_masks_come_back_as_the_training_masks_were_saved(tmp_path, images, mask_of, read, monkeypatch):
    data = tiny.write_pairs(tmp_path / "cells", mask_of=mask_of)
    run = load(tiny.train_tiny(data, tmp_path / "run", steps=1))
    # an untrained network may give one class only: let the mask of image 0 be what it predicts
    truth = tiny.picture(0)[1].astype(np.int32)
    monkeypatch.setattr(type(run), "predict", lambda self, image, **options: truth)
    predict_files(run, plan_jobs([data / "images/0.png"], tmp_path / "out"), quiet=True)
    with Image.open(tmp_path / "out/0.png") as written, Image.open(data / "masks/0.png") as original:
        assert written.mode == original.mode
        np.testing.assert_array_equal(np.asarray(written.convert("RGB")), np.asarray(original.convert("RGB")))
    mask = read_mask(tmp_path / "out/0.png")
    assert set(np.unique(mask.values).tolist()) == read
    assert mask.kind == read_mask(data / "masks/0.png").kind


def test_each_kind_of_file_has_its_own_kind_of_mask(run, tmp_path):
    image = tiny.picture(1)[0]
    for name in ("a.png", "b.jpg", "c.bmp", "d.npy"):
        tiny.save(tmp_path / "new" / name, image)
    for name in ("e.tif", "f.TIFF"):
        tifffile.imwrite(tmp_path / "new" / name, image)
    out = tmp_path / "out"
    predict_files(
        run, plan_jobs([tmp_path / "new"], out, probabilities=True), PredictOptions(probabilities=True), quiet=True
    )
    arrays = [f"{name}.npy" for name in "abcdef"]
    assert names(out) == sorted(["a.png", "b.png", "c.png", "d_labels.npy", "e.tif", "f.tiff", *arrays])
    expected = 255 * run.predict(image)
    for labels in (np.load(out / "d_labels.npy"), tifffile.imread(out / "e.tif"), tifffile.imread(out / "f.tiff")):
        np.testing.assert_array_equal(labels, expected)
    probabilities = np.load(out / "a.npy")
    assert probabilities.dtype == np.float32
    np.testing.assert_array_equal(probabilities, run.probabilities(image))


def test_an_overlay_shows_the_labels_on_the_image(run, images, tmp_path, monkeypatch):
    truth = tiny.picture(10)[1].astype(np.int32)
    monkeypatch.setattr(type(run), "predict", lambda self, image, **options: truth)
    predict_files(run, plan_jobs([images / "0.png"], tmp_path / "out"), PredictOptions(overlays=True), quiet=True)
    assert names(tmp_path / "out") == ["0.png", "0_overlay.png"]
    expected = overlay(to_display(tiny.picture(10)[0][..., None]), truth, run.labelling.colors)
    np.testing.assert_array_equal(tiny.pixels(tmp_path / "out/0_overlay.png"), expected)


def test_an_overlay_of_black_walls_shows_them_and_not_what_they_part(tmp_path, monkeypatch):
    data = tiny.write_pairs(tmp_path / "cells")
    wall, cell = (
        '[[classes]]\nname = "wall"\nvalue = 0\ncolor = "#000000"\n',
        '[[classes]]\nname = "cell"\nvalue = 255\n',
    )
    (data / "dataset.toml").write_text(f'boundary = "wall"\n{wall}{cell}')
    run = load(tiny.train_tiny(data, tmp_path / "run", steps=1))
    truth = tiny.picture(0)[1].astype(np.int32)
    monkeypatch.setattr(type(run), "predict", lambda self, image, **options: truth)
    predict_files(run, plan_jobs([data / "images/0.png"], tmp_path / "out"), PredictOptions(overlays=True), quiet=True)
    shown = tiny.pixels(tmp_path / "out/0_overlay.png").astype(int)
    coloured = np.ptp(shown, axis=-1) > 20  # the image is grey
    np.testing.assert_array_equal(coloured, truth == 0)


def test_a_folder_may_be_a_data_set_and_is_not_searched_further_down(trained, images, tmp_path):
    data = trained.parent / "cells"
    assert [job.image.name for job in plan_jobs([data], tmp_path / "out")] == [f"{n}.png" for n in range(6)]
    tiny.save(images / "deeper/9.png", tiny.picture(9)[0])
    (images / ".hidden.png").write_text("no image")
    (images / "notes.txt").write_text("no image")
    assert [job.image.name for job in plan_jobs([images], tmp_path / "out")] == ["0.png", "1.png", "2.png"]
    assert len(plan_jobs([images, images / "0.png"], tmp_path / "out")) == 3  # named twice, predicted once


def test_inputs_that_would_write_one_file_are_refused(images, tmp_path):
    tiny.save(tmp_path / "more/0.jpg", tiny.picture(1)[0])
    with pytest.raises(DataError) as error:
        plan_jobs([images, tmp_path / "more"], tmp_path / "out")
    assert error.value.problems == (
        f"{images}/0.png and {tmp_path}/more/0.jpg would both write {tmp_path}/out/0.png; rename one, or use two "
        "--out.",
    )


def test_only_files_that_are_asked_for_are_in_the_way(tmp_path):
    for name in ("a.png", "a.npy", "a_overlay.png"):
        tiny.save(tmp_path / "new" / name, tiny.picture(0)[0])
    inputs, out = [tmp_path / "new"], tmp_path / "out"
    assert len(plan_jobs(inputs, out)) == 3
    for options, target in (({"probabilities": True}, "a.npy"), ({"overlays": True}, "a_overlay.png")):
        with pytest.raises(DataError, match=rf"would both write {re.escape(str(out / target))}; rename one"):
            plan_jobs(inputs, out, **options)


def test_an_input_is_never_replaced(images):
    with pytest.raises(DataError) as error:
        plan_jobs([images / "1.png"], images / "../new")
    assert error.value.problems == (
        f"Predicting {images}/1.png would replace the image {images}/../new/1.png; choose another --out.",
    )


def test_everything_wrong_with_the_inputs_is_said(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as error:
        plan_jobs([tmp_path / "empty", tmp_path / "none.png"], tmp_path / "out")
    assert error.value.problems == (
        f"{tmp_path}/empty holds no images; known suffixes are {', '.join(SUFFIXES)}.",
        f"There is no file or folder {tmp_path}/none.png.",
    )
    assert not (tmp_path / "out").exists()


def test_files_that_cannot_be_read_do_not_keep_the_others_from_being_predicted(trained, images, tmp_path, capsys):
    content = (images / "0.png").read_bytes()
    (images / "0.png").write_bytes(content[: len(content) // 2])
    (images / "1.png").write_text("not an image")
    noise = np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)
    tiny.save(images / "3.png", noise)
    np.save(images / "4.npy", np.full((3, 3), np.inf))
    out = tmp_path / "out"
    assert tiny.command("predict", trained, images, "--out", out) == 2
    assert [line.removeprefix(f"error: {images}/")[:40] for line in capsys.readouterr().err.splitlines()] == [
        "0.png cannot be decoded: image file is t",
        "1.png is not an image: it begins with b'",
        "3.png has 3 channels where 1 are wanted:",
        "4.npy holds 9 pixels that are NaN, infin",
    ]
    assert names(out) == ["2.png"]


def test_small_and_constant_images_are_predicted_with_a_note(trained, tmp_path, capsys):
    tiny.save(tmp_path / "new/point.png", np.array([[9]], np.uint8))
    tiny.save(tmp_path / "new/flat.png", np.full((5, 40), 9, np.uint8))
    tiny.save(tmp_path / "new/thin.png", np.arange(3, dtype=np.uint8)[None])
    out = tmp_path / "out"
    assert tiny.command("predict", trained, tmp_path / "new", "--out", out, "--overlays") == 0
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        f"note: {tmp_path}/new/{name}.png has one value everywhere; its labels mean nothing."
        for name in ("flat", "point")
    ]
    assert said.out.startswith(f"3 images predicted into {out}, by ")
    for name, size in (("point", (1, 1)), ("flat", (5, 40)), ("thin", (1, 3))):
        assert tiny.pixels(out / f"{name}.png").shape == size


def test_a_grey_image_saved_with_colours_and_alpha_is_predicted_as_grey(run, tmp_path):
    grey = tiny.picture(1)[0]
    colours = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    tiny.save(tmp_path / "new/rgba.png", colours)
    tiny.save(tmp_path / "new/rgb.png", colours[..., :3])
    predict_files(run, plan_jobs([tmp_path / "new"], tmp_path / "out"), quiet=True)
    for name in ("rgba", "rgb"):
        np.testing.assert_array_equal(tiny.pixels(tmp_path / f"out/{name}.png"), 255 * run.predict(grey))


def test_a_folder_that_cannot_be_made_is_the_users_to_mend(run, images, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/out cannot be made: Not a directory; choose another --out\.$"):
        predict_files(run, plan_jobs([images], tmp_path / "file/out"), quiet=True)


def test_without_space_nothing_half_written_is_left(trained, images, tmp_path, monkeypatch, capsys):
    def full(self, path, *arguments):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    assert tiny.command("predict", trained, images / "0.png", "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/out/0.png cannot be written: No space left on device. Free some space, or choose another "
        "folder.\n"
    )
    assert names(tmp_path / "out") == []


def test_the_single_file_predicts_alike(trained, run, images, tmp_path):
    alone = shutil.copy(trained / "model.safetensors", tmp_path / "cells.safetensors")
    assert tiny.command("predict", alone, images, "--out", tmp_path / "out", "--tta", "--probabilities") == 0
    expected = run.probabilities(tiny.picture(10)[0], tta=True)
    np.testing.assert_array_equal(np.load(tmp_path / "out/0.npy"), expected)
    labels = tiny.pixels(tmp_path / "out/0.png")
    np.testing.assert_array_equal(labels, 255 * expected.argmax(-1))
