import dataclasses

import pytest
from reference.untrained import untrained_run

from tinyunet.data.labelling import ClassInfo, Labelling
from tinyunet.runs.pipeline import pipeline_of


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return untrained_run(tmp_path_factory.mktemp("pipeline") / "run", members=2, temperature=1.5)


def with_labelling(run, labelling):
    data = dataclasses.replace(run.config.data, labelling=labelling)
    return dataclasses.replace(run, config=dataclasses.replace(run.config, data=data))


def test_the_parts_are_those_of_the_run(run):
    pipeline = pipeline_of(run, licence="CC0-1.0")
    assert pipeline.members == (run.variables, *run.others)
    assert (pipeline.model, pipeline.temperature, pipeline.dimensions) == (run.config.model, 1.5, 2)
    assert (pipeline.names, pipeline.values) == (("background", "foreground"), (0, 255))
    assert pipeline.facts["licence"] == "CC0-1.0"


@pytest.mark.parametrize(
    ("classes", "kind", "values"),
    [
        ((7, -2), "ids", (7, -2)),
        ((0, 2**40), "ids", (0, 1)),
        ((0x00FF00, 0x0000FF), "rgb", (0, 1)),
    ],
)
def test_labels_are_the_values_of_masks_where_those_are_whole_numbers_of_32_bits(run, classes, kind, values):
    infos = tuple(ClassInfo(name, value, "#000000") for name, value in zip("ab", classes, strict=True))
    assert pipeline_of(with_labelling(run, Labelling("semantic", infos, kind=kind))).values == values


def test_objects_are_given_as_the_maps_that_they_are_found_in(run):
    pipeline = pipeline_of(with_labelling(run, dataclasses.replace(run.labelling, task="instances")))
    assert pipeline.outputs == ("probabilities", "foreground", "core")
    assert (pipeline.names, pipeline.maps["foreground"]) == (("background", "rim", "core"), (1, 2))
    assert pipeline.facts["objects"]["core_probability"] == 0.5
