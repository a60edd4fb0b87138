import errno
import json
import re
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image
from reference import tiny

NOISE = np.random.default_rng(0).integers(0, 255, (tiny.SIDE, tiny.SIDE, 3), np.uint8)
SCATTERED = (np.arange(tiny.SIDE * tiny.SIDE, dtype=np.uint16).reshape(tiny.SIDE, tiny.SIDE) * 5) % 128


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return tiny.write_pairs(tmp_path_factory.mktemp("cli") / "cells")


@pytest.fixture
def data(cells, tmp_path):
    """A data set of its own, to be spoilt."""
    return shutil.copytree(cells, tmp_path / "cells")


def refused(capsys, tmp_path, *arguments):
    """The lines on stderr of a training that must not begin, without `error: `; also that it left nothing behind."""
    before = sorted(path.name for path in tmp_path.iterdir())
    assert tiny.command("train", *arguments, "--out", tmp_path / "run") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert all(line.startswith("error: ") for line in lines), lines
    return [line.removeprefix("error: ") for line in lines]


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def every_mask(data, mask_of):
    for number in range(6):
        tiny.save(data / f"masks/{number}.png", mask_of(tiny.picture(number)[1]))


def jpeg_masks(data):
    for number in range(6):
        (data / f"masks/{number}.png").unlink()
        tiny.save(data / f"masks/{number}.jpg", (200 * tiny.picture(number)[1]).astype(np.uint8), quality=60)


def as_array(data, name, value):
    """Image 2 as an array of floats with one odd pixel."""
    (data / "images/2.png").unlink()
    pixels = tiny.picture(2)[0].astype(np.float32)
    pixels[3, 4] = value
    tiny.save(data / f"images/{name}", pixels)


SPOILT = {
    "a mask is missing": (
        lambda data: (data / "masks/3.png").unlink(),
        [r"DATA/images/3\.png must have a mask of the same stem in DATA/masks, got none\. Add it, or give it the line"],
    ),
    "a mask too many": (
        lambda data: (data / "images/3.png").unlink(),
        [r"DATA/masks/3\.png must have an image of the same stem in DATA/images, got none\. Add the image or remove"],
    ),
    "an unknown suffix": (
        lambda data: (data / "images/notes.doc").write_text("x"),
        [r"DATA/images/notes\.doc must have one of the suffixes .*, got '\.doc'\. Convert or remove it\."],
    ),
    "another size": (
        lambda data: tiny.save(data / "masks/1.png", np.zeros((9, 9), np.uint8)),
        [r"DATA/masks/1\.png must have the size of its image, 32×32, got 9×9 \(height×width\)\. Replace"],
    ),
    "no pairs": (
        lambda data: [shutil.rmtree(data / kind) or (data / kind).mkdir() for kind in ("images", "masks")],
        [r"DATA must hold at least 2 images with masks of the same stem, got 0\. Give each image images/NAME\.png its"],
    ),
    "one pair": (
        lambda data: [path.unlink() for kind in ("images", "masks") for path in (data / kind).glob("[1-5].png")],
        [r"DATA must hold at least 2 images with masks of the same stem, got 1\. Give each image images/NAME\.png its"],
    ),
    "no folder": (shutil.rmtree, [r"DATA must be a folder with images/ and masks/, got nothing there\. Give the "]),
    "no images": (
        lambda data: shutil.rmtree(data / "images"),
        [r"DATA must hold images/ and masks/ .*, got masks/\. Move the images to DATA/images and the masks to "],
    ),
    "a stem twice": (
        lambda data: tiny.save(data / "images/1.jpg", tiny.picture(1)[0]),
        [r"DATA/images/1\.png must have a stem of its own, got that of 1\.jpg\. Rename or remove one of the two\."],
    ),
    "values outside the classes": (
        lambda data: (data / "dataset.toml").write_text(
            '[[classes]]\nname = "a"\nvalue = 0\n[[classes]]\nname = "b"\nvalue = 1\n'
        ),
        [rf"DATA/masks/{number}\.png .*255.*" for number in range(6)],
    ),
    "JPEG masks": (
        jpeg_masks,
        [rf"DATA/masks/{number}\.jpg must hold exact values, got \d+ of them, blurred" for number in range(6)],
    ),
    "too many values": (
        lambda data: every_mask(data, lambda mask: SCATTERED),
        [
            r"DATA/masks/0\.png holds too many values to be taken for classes \(128 in all masks\): set task = "
            r'"foreground" in dataset\.toml, or --set data\.task=foreground; set task = "instances" for objects, each'
        ],
    ),
    "one class": (
        lambda data: every_mask(data, np.zeros_like),
        [r"DATA: the masks must hold at least 2 classes, got only class 0 \(value 0\)\. Check how the masks"],
    ),
    "other channels": (
        lambda data: tiny.save(data / "images/4.png", NOISE),
        [r"DATA/images/4\.png must have 1 channel as most images have, got 3\. Convert it or remove it\."],
    ),
    "NaN": (
        lambda data: as_array(data, "2.npy", np.nan),
        [r"DATA/images/2\.npy holds 1 pixels that are NaN, infinite or beyond float32, the first at row 3, column 4; "],
    ),
    "infinity": (
        lambda data: as_array(data, "2.npy", -np.inf),
        [r"DATA/images/2\.npy holds 1 pixels that are NaN, infinite or beyond float32, the first at row 3, column 4; "],
    ),
    "a truncated PNG": (
        lambda data: halve(data / "images/0.png"),
        [r"DATA/images/0\.png cannot be decoded: .*\. It is damaged or cut off: copy or export it again\."],
    ),
    "an empty file": (
        lambda data: (data / "masks/0.png").write_bytes(b""),
        [r"DATA/masks/0\.png is empty \(0 bytes\): copy or export it again\."],
    ),
    "not an image": (
        lambda data: (data / "images/0.png").write_text("<html>not found</html>"),
        [r"DATA/images/0\.png is not an image: it begins with b'<html>no', as no PNG, JPEG, BMP"],
    ),
    "a stack": (
        lambda data: (
            (data / "images/5.png").unlink(),
            tifffile.imwrite(data / "images/5.tif", np.zeros((7, 32, 32), np.uint8), photometric="minisblack"),
        ),
        [r"DATA/images/5\.tif holds 7 pages .*, which can mean one stack of slices or a series of images"],
    ),
    "a wrong split": (
        lambda data: (data / "split.csv").write_text("name,split\n" + "".join(f"{n},trian\n" for n in range(6))),
        [
            rf"DATA/split\.csv, line {n + 2}: the split of '{n}' must be one that exists, got 'trian'\."
            for n in range(6)
        ],
    ),
    "an unknown key": (
        lambda data: (data / "dataset.toml").write_text('taks = "foreground"'),
        [r"DATA/dataset\.toml: unknown key 'taks'\. Did you mean 'task'\? Known: "],
    ),
    "several things": (
        lambda data: [
            (data / "images/1.png").write_text("no"),
            (data / "masks/2.png").unlink(),
            halve(data / "masks/3.png"),
        ],
        [
            r"DATA/images/2\.png must have a mask of the same stem",
            r"DATA/images/1\.png is not an image",
            r"DATA/masks/3\.png cannot be decoded",
        ],
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_bad_data_are_refused_before_anything_is_made(data, tmp_path, capsys, what):
    spoil, expected = SPOILT[what]
    spoil(data)
    lines = [line.replace(str(data), "DATA") for line in refused(capsys, tmp_path, data)]
    assert len(lines) == len(expected), lines
    for pattern in expected:
        assert any(re.match(pattern, line) for line in lines), (pattern, lines)


def test_what_is_wrong_with_the_data_is_what_check_says_too(data, tmp_path, capsys):
    SPOILT["several things"][0](data)
    lines = refused(capsys, tmp_path, data)
    assert tiny.command("check", data) == 2
    assert [line.removeprefix("error: ") for line in capsys.readouterr().err.splitlines()] == lines


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("model.fetures=8", "--set: unknown key `model.fetures`. Did you mean 'features'? Known: "),
        ("modle.features=8", "--set: unknown key `modle`. Did you mean 'model'? Known: "),
        ("model.features=many", "--set: `model.features` must be a whole number, got 'many'."),
        ("model.features=8.5", "--set: `model.features` must be a whole number, got 8.5."),
        ("model.features=true", "--set: `model.features` must be a whole number, got True."),
        ("model.features=0", "--set: `model.features` must be from 1 to 4096, got 0."),
        ("model.norm=bacth", "--set: `model.norm` must be one of 'batch', "),
        ("model.preset=huge", "--set: No preset is called 'huge'. Known: seed, tiny, unet2015."),
        ("data.task=x", "--set: `data.task` must be one of '', 'semantic', 'foreground', 'instances', got 'x'."),
        ("augment.flips=1", "--set: `augment.flips` must be true or false, got 1."),
        ("features", "A setting must be key=value, got 'features'; for example model.features=16."),
        ("model=3", "--set: `model` must be a table, got 3."),
    ],
)
def test_settings_that_cannot_be_used_are_refused(cells, tmp_path, capsys, setting, text):
    (line,) = refused(capsys, tmp_path, cells, "--set", setting)
    assert line.startswith(text)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "There is no configuration file FILE."),
        ("model = [", "FILE cannot be read as TOML: "),
        ("[model]\nfetures = 8", "FILE: unknown key `model.fetures`. Did you mean 'features'?"),
        ("[train]\nsteps = '9'", "FILE: `train.steps` must be a whole number, got '9'."),
        ("format = 99", "FILE was made by a newer version of tinyunet (format 99, this one reads up to 1): upgrade."),
    ],
)
def test_a_configuration_file_that_cannot_be_used_is_refused(cells, tmp_path, capsys, content, text):
    path = tmp_path / "my.toml"
    if content is not None:
        path.write_text(content)
    (line,) = refused(capsys, tmp_path, cells, "--config", path)
    assert line.startswith(text.replace("FILE", str(path)))


def test_a_place_that_cannot_be_made_is_the_users_to_mend(cells, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert tiny.command("train", cells, "--out", tmp_path / "file/run", *tiny.OPTIONS) == 2
    assert capsys.readouterr().err == (
        f"error: The run folder {tmp_path}/file/run cannot be made: File exists; choose another --out.\n"
    )


@pytest.mark.parametrize(
    ("place", "left"),
    [("tempfile.mkdtemp", []), ("tinyunet.runs.train.write_config", []), ("tinyunet.training.log.Log.write", [])],
)
def test_without_space_for_the_run_nothing_is_left(cells, tmp_path, capsys, monkeypatch, place, left):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device", "metrics.jsonl")

    monkeypatch.setattr(place, full)
    assert tiny.command("train", cells, "--out", tmp_path / "run", *tiny.OPTIONS) == 2
    text = capsys.readouterr().err
    assert re.fullmatch(r"error: .* cannot be .*: No space left on device.*\n", text)
    assert list(tmp_path.iterdir()) == left


def test_without_space_while_training_one_line_says_so_and_the_run_can_go_on(cells, tmp_path, capsys, monkeypatch):
    from tinyunet.training.log import Log

    write = Log.write

    def full(self, event, step, **values):
        if event == "train" and step == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(self.path))
        return write(self, event, step, **values)

    monkeypatch.setattr(Log, "write", full)
    run = tmp_path / "run"
    assert tiny.command("train", cells, "--out", run, "--steps", 4, *tiny.OPTIONS) == 2
    assert capsys.readouterr().err == (
        f"error: {run}/metrics.jsonl cannot be read or written: No space left on device. Free some space, or choose "
        "another folder.\n"
    )
    assert not (run / "model.safetensors").exists()
    monkeypatch.undo()
    assert tiny.command("train", "--resume", run) == 0
    assert tiny.weights(run) == tiny.weights(tiny.train_tiny(cells, tmp_path / "whole"))


def test_what_to_do_next_is_said(cells, tmp_path, capsys):
    run = tiny.train_tiny(cells, tmp_path / "run", steps=1)
    text = f"weights  {run}/model.safetensors\nreport   {run}/report.html\nnext     tinyunet evaluate {run} "
    assert capsys.readouterr().out == f"{text}{cells}\n"
    assert tiny.command("train", "--resume", run) == 0
    assert capsys.readouterr().out == f"{text}DATA\n"


def test_data_and_place_are_needed(cells, capsys):
    for arguments, name in (([], "DATA"), ([cells], "--out RUN")):
        assert tiny.command("train", *arguments) == 2
        assert capsys.readouterr().err == (
            f"error: {name} is missing: tinyunet train DATA --out RUN, or tinyunet train --resume RUN.\n"
        )


@pytest.mark.parametrize(
    "options", [["cells"], ["--out", "x"], ["--steps", "3"], ["--seed", "0"], ["--set", "seed=1"], ["--overwrite"]]
)
def test_going_on_takes_no_other_options(capsys, options):
    assert tiny.command("train", "--resume", "run", *options) == 2
    assert capsys.readouterr().err == (
        "error: --resume takes everything from the run; give it no data and no other options, but for --devices, "
        "--coordinator and --process.\n"
    )


def test_what_is_no_run_cannot_be_resumed(tmp_path, capsys):
    assert tiny.command("train", "--resume", tmp_path) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path} is not a run folder: it has no config.toml. Runs are made by `tinyunet train`.\n"
    )
    (tmp_path / "config.toml").write_text("format = 2\n")
    assert tiny.command("train", "--resume", tmp_path) == 2
    assert "was made by a newer version of tinyunet (format 2, this one reads up to 1): upgrade." in (
        capsys.readouterr().err
    )


def test_objects_are_trained_on_as_foreground_where_that_is_asked_for(tmp_path):
    data = tiny.write_pairs(
        tmp_path / "cells", mask_of=lambda mask: np.where(mask, 1 + np.arange(tiny.SIDE)[:, None], 0).astype(np.uint16)
    )
    run = tiny.train_tiny(data, tmp_path / "run", steps=1, options=["--set", "data.task=foreground"])
    start = json.loads((run / "metrics.jsonl").read_text().splitlines()[1])
    assert start["text"].startswith("Task foreground: 0 is background, anything above it foreground (")


def test_small_and_constant_images_are_trained_on(tmp_path):
    data = tiny.write_pairs(tmp_path / "cells")
    for name, size in (("point", (1, 1)), ("flat", (5, 40))):
        tiny.save(data / f"images/{name}.png", np.full(size, 9, np.uint8))
        tiny.save(data / f"masks/{name}.png", np.zeros(size, np.uint8))
    parts = {str(n): "train" for n in range(5)} | {"5": "val", "point": "train", "flat": "val"}
    (data / "split.csv").write_text("name,split\n" + "".join(f"{n},{part}\n" for n, part in parts.items()))
    tiny.train_tiny(data, tmp_path / "run", steps=8)


def test_masks_of_a_palette_and_images_of_16_bits_are_trained_on(tmp_path):
    def palette(mask):
        picture = Image.fromarray((2 * mask).astype(np.uint8))
        picture.putpalette([0, 0, 0, 9, 9, 9, 200, 30, 30])
        return picture

    data = tiny.write_pairs(tmp_path / "cells", mask_of=palette)
    for number in range(6):
        tiny.save(data / f"images/{number}.png", tiny.picture(number)[0].astype(np.uint16) * 200)
    run = tiny.train_tiny(data, tmp_path / "run", steps=1)
    assert 'kind = "palette"' in (run / "config.toml").read_text()
