"""Objects of an image that is predicted band by band."""

import csv
import dataclasses

import numpy as np
import pytest
import tifffile
from reference import tiny
from reference.variables import random_variables

from tinyunet.data.labelling import ClassInfo, Labelling
from tinyunet.data.lazy import open_lazily
from tinyunet.data.normalise import ChannelRule, Normalisation
from tinyunet.data.readers import read_image
from tinyunet.errors import DataError
from tinyunet.models.presets import ModelConfig
from tinyunet.objects.measure import measure_objects, table_text
from tinyunet.objects.rows import OUTSIDE
from tinyunet.objects.target import ObjectConfig
from tinyunet.runs import predict, streamobjects
from tinyunet.runs.build import build_model
from tinyunet.runs.config import Config, DataConfig
from tinyunet.runs.predict import PredictOptions, plan_jobs, predict_files
from tinyunet.runs.run import Run
from tinyunet.runs.streamobjects import write_objects

GREY = ChannelRule(drop_alpha=False, collapse_grey=False, used=1)
ALONE = ObjectConfig(smallest_seed_px=1, smallest_px=1)


def squares(count=5):
    """Squares on a diagonal, and which objects they are."""
    core, instances = np.full((50, 50), OUTSIDE, np.float32), np.zeros((50, 50), np.int32)
    for number in range(count):
        place = (slice(10 * number, 10 * number + 7), slice(10 * number, 10 * number + 7))
        core[place], instances[place] = 0.9, number + 1
    return core, instances


def write(core, path, folder, *, height=6, config=ALONE):
    with open_lazily(path) as image:
        write_objects(
            (core[start : start + height] for start in range(0, len(core), height)),
            image,
            config=config,
            channels=GREY,
            source=path,
            scratch=folder / ".scratch",
            labels=folder / "a.tif",
            table=folder / "a.csv",
        )


def cells(text):
    """Numbers of a table, by row and column."""
    header, *rows = csv.reader(text.splitlines())
    return header, np.array(rows, float)


def test_labels_and_table_are_those_of_the_whole(tmp_path):
    core, instances = squares()
    image = np.random.default_rng(0).integers(0, 255, (50, 50)).astype(np.uint8)
    sizes = {"PhysicalSizeY": 0.5, "PhysicalSizeX": 0.5, "PhysicalSizeYUnit": "µm", "PhysicalSizeXUnit": "µm"}
    tifffile.imwrite(tmp_path / "image.tif", image, ome=True, metadata={"axes": "YX", **sizes}, tile=(16, 16))
    write(core, tmp_path / "image.tif", tmp_path)
    labels = read_image(tmp_path / "a.tif")
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels[..., 0], instances)
    header, rows = cells((tmp_path / "a.csv").read_text())
    expected = table_text(measure_objects(instances, image[..., None], spacing=(0.5, 0.5)))
    wanted_header, wanted = cells(expected)
    assert header == wanted_header
    np.testing.assert_allclose(rows, wanted, rtol=2e-5)


def test_no_object_at_all(tmp_path):
    np.save(tmp_path / "image.npy", np.zeros((50, 50), np.uint8))
    write(np.full((50, 50), OUTSIDE, np.float32), tmp_path / "image.npy", tmp_path)
    assert not read_image(tmp_path / "a.tif").any()
    assert (tmp_path / "a.csv").read_text().startswith("id,pixels,first_y")


def test_objects_that_are_too_tall_to_be_held(tmp_path, monkeypatch):
    monkeypatch.setattr(streamobjects, "HELD_BYTES", 8 * 50 * 12)
    np.save(tmp_path / "image.npy", np.zeros((50, 50), np.uint8))
    core = np.full((50, 50), 0.9, np.float32)
    with pytest.raises(DataError) as caught:
        write(core, tmp_path / "image.npy", tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/image.npy has objects that hang together over 18 rows, more than are held at once: cut it into "
        "smaller images."
    )


def test_objects_are_streamed_as_they_are_found_in_memory(tmp_path, monkeypatch):
    classes = ClassInfo("background", 0, "#000000"), ClassInfo("object", 1, "#ffffff")
    labelling, model = Labelling("instances", classes), ModelConfig(features=2, depth=1)
    data = DataConfig(labelling=labelling, channels=GREY, normalisation=Normalisation("image"))
    variables = random_variables(build_model(model, classes=3), np.zeros((1, 8, 8, 1), np.float32))
    run = Run(tmp_path, Config(model=model, data=data), variables)
    run.__dict__["tiles"] = (dataclasses.replace(run.tiles[0], ladder=(32,)),) * 2
    image = np.concatenate([tiny.picture(number, side=48)[0] for number in range(4)])
    scores = run.probabilities(image)
    levels = {"foreground_probability": np.quantile(1 - scores[..., 0], 0.5)}
    for name, part in (("core_probability", 0.7), ("split_probability", 0.9)):
        levels[name] = np.quantile(scores[..., 2], part)
    thresholds = ObjectConfig(**{name: float(level) for name, level in levels.items()}, smallest_px=3)
    run.__dict__["config"] = dataclasses.replace(run.config, objects=thresholds)
    tifffile.imwrite(tmp_path / "a.tif", image, tile=(32, 32), compression="zlib")
    jobs = {name: plan_jobs([tmp_path / "a.tif"], tmp_path / name, tables=True) for name in ("whole", "streamed")}
    assert predict_files(run, jobs["whole"], quiet=True) == []
    monkeypatch.setattr(predict, "is_large", lambda header: True)
    assert predict_files(run, jobs["streamed"], quiet=True) == []
    whole, streamed = (read_image(tmp_path / name / "a.tif") for name in ("whole", "streamed"))
    assert whole.max() > 10
    np.testing.assert_array_equal(streamed, whole)
    (header, rows), (wanted_header, wanted) = (
        cells((tmp_path / name / "a.csv").read_text()) for name in ("streamed", "whole")
    )
    assert header == wanted_header
    np.testing.assert_allclose(rows, wanted, rtol=2e-5, atol=1e-5)
    region = PredictOptions(region=(slice(0, 5), slice(0, 5)))
    with pytest.raises(DataError, match="as a whole only, since an object is found with all of it in sight; leave out"):
        predict_files(run, jobs["streamed"], region, quiet=True)
