import jax
import numpy as np
import pytest
from reference import pipelines
from reference.compiled import quick_jit

from tinyunet.data.normalise import ChannelRule, Normalisation
from tinyunet.export.stablehlo import PLATFORMS, open_stablehlo, pipeline_program, write_stablehlo

# The network is the run's own; what is new is what lies around it, and that sizes may be symbols.

AROUND = [
    {"normalisation": Normalisation("dataset", (1e6 + 0.3,), (60.0,)), "padding": "valid"},
    {"members": 2, "temperature": 1.7, "values": (7, -2, 3), "depth": 2},
    {"values": None, "maps": {"foreground": (1, 2), "core": (2,)}, "norm": "instance"},
    {"dimensions": 3, "depth": 2, "hold": (1, 0, 0)},
]


@pytest.mark.parametrize("own", AROUND, ids=str)
def test_the_program_computes_the_pipeline(own):
    pipeline = pipelines.pipeline_of(**own)
    images = pipelines.images_of(pipeline, *pipelines.odd_shape(pipeline))
    found, expected = quick_jit(pipeline_program(pipeline))(images), pipelines.results(pipeline, images)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5)


def test_a_constant_image_is_zero():
    pipeline = pipelines.pipeline_of(depth=0)
    images = pipelines.images_of(pipeline, 3, 3)
    images[0] = 1 / 3
    expected = pipelines.results(pipeline, images)["probabilities"]
    np.testing.assert_allclose(quick_jit(pipeline_program(pipeline))(images)["probabilities"], expected, atol=1e-5)


def test_one_file_is_for_any_batch_and_size(tmp_path):
    pipeline = pipelines.pipeline_of(rule=ChannelRule(drop_alpha=True, collapse_grey=True, used=1))
    write_stablehlo(tmp_path / "a.stablehlo", pipeline)
    compute = open_stablehlo(tmp_path / "a.stablehlo")
    for batch, *shape in ((1, 5, 8), (2, 1, 3)):
        images = pipelines.images_of(pipeline, *shape, batch=batch)
        found = compute(images)
        np.testing.assert_allclose(
            found["probabilities"], pipelines.results(pipeline, images)["probabilities"], atol=1e-5
        )
        more = np.concatenate([images, images, images, np.full_like(images, 255)], axis=-1)
        np.testing.assert_array_equal(compute(more)["labels"], found["labels"])


# All that sizes depend on: strides, crops, mirroring, blocks, groups, axes held.
SIZED = [pipelines.OPTIONS[number] for number in (6, 9, 11)]


@pytest.mark.parametrize("options", SIZED, ids=str)
def test_every_network_is_written_down_for_every_platform_without_our_kernels(options, tmp_path):
    pipeline = pipelines.pipeline_of(**options)
    write_stablehlo(tmp_path / "a.stablehlo", pipeline)
    content = (tmp_path / "a.stablehlo").read_bytes()
    exported = jax.export.deserialize(bytearray(content))
    assert exported.platforms == PLATFORMS
    assert "tinyunet" not in exported.mlir_module()
    assert b".py" not in content  # nor where it was made
    space = ", ".join(axis[0] for axis in pipeline.axes)
    assert str(exported.in_avals[0]) == f"float32[b,{space.replace(' ', '')},{pipeline.channels.used}]"
