import dataclasses

import pytest

from tinyunet.data.fingerprint import Fingerprint
from tinyunet.data.normalise import ChannelRule
from tinyunet.runs.config import Config
from tinyunet.runs.plan import VOXELS, make_plan
from tinyunet.runs.request import Request, read_request

CUBE = (1.0, 1.0, 1.0)


def facts(sizes=((512, 512),), spacing=(), *, oriented=0, shares=(9, 1)) -> Fingerprint:
    """A data set of images of these sizes, all of one spacing."""
    count = len(sizes)
    middle = tuple(float(x) for x in sorted(sizes)[count // 2])
    return Fingerprint(
        images=count,
        labelled=count,
        sizes=dict.fromkeys(sorted(sizes), 1),
        spacings={spacing: count},
        oriented=oriented,
        median_size=middle,
        median_spacing=spacing,
        finest_spacing=spacing,
        median_extent=tuple(n * d for n, d in zip(middle, spacing, strict=False)),
        dtypes={"uint8": count},
        stored_channels={1: count},
        channels=ChannelRule(False, False, 1),
        channel_min=(0.0,),
        channel_max=(255.0,),
        channel_mean=(100.0,),
        channel_std=(10.0,),
        mask_values={0: 9, 1: 1},
        class_pixels=shares,
        train_class_pixels=shares,
        ignored_pixels=0,
        absent=((), ()),
        digest="",
    )


def planned(found: Fingerprint, *settings: str) -> Config:
    return make_plan(found, read_request(None, settings)).config


def test_large_images_get_the_defaults():
    config = planned(facts())
    assert dataclasses.replace(config.batches, patch=(256,), margin=(32,)) == Config().batches
    assert config.model == Config().model
    assert config.augment == Config().augment


def test_small_images_get_small_patches_and_more_of_them():
    config = planned(facts([(60, 70), (64, 64)]))
    assert config.batches.patch == (64, 80)
    assert config.batches.batch == 16


def test_median_volume_is_one_patch():
    config = planned(facts([(36, 50, 35)], CUBE, oriented=1))
    assert config.batches.patch == (40, 56, 40)
    assert (config.model.depth, config.model.hold) == (3, ())
    assert not config.augment.flips
    assert not config.augment.quarter_turns
    assert config.data.spacing == CUBE


def test_directions_of_a_stack_mean_nothing():
    config = planned(facts([(36, 50, 35)], CUBE))
    assert config.augment.flips
    assert config.augment.quarter_turns


def test_large_volume_is_cut():
    batches = planned(facts([(300, 400, 500)], CUBE)).batches
    assert 2**16 < batches.patch[0] * batches.patch[1] * batches.patch[2] <= VOXELS
    assert batches.patch[0] <= batches.patch[1] <= batches.patch[2]
    assert batches.batch == 2


@pytest.mark.parametrize(
    ("size", "spacing", "depth", "hold"),
    [
        ((20, 256, 256), (5.0, 0.5, 0.5), 4, (3, 0, 0)),  # 10 : 1, so three poolings until 1.25 : 1
        ((20, 256, 256), (1.5, 1.0, 1.0), 4, (2, 0, 0)),  # about cubes, but 20 slices can be pooled twice only
        ((256, 256, 12), (1.0, 1.0, 6.0), 4, (0, 0, 3)),  # the side that is long may be any
        ((3, 64, 64), CUBE, 4, (4, 0, 0)),
        ((4, 4, 4), CUBE, 1, (1, 1, 1)),
    ],
)
def test_long_voxels_and_few_slices_are_held(size, spacing, depth, hold):
    model = planned(facts([size], spacing)).model
    assert (model.depth, model.hold) == (depth, hold)


def test_patch_fits_the_network():
    for size in [(20, 256, 256), (7, 33, 900), (64, 64, 64), (1, 5, 5)]:
        config = planned(facts([size], (3.0, 1.0, 1.0)))
        for side, topology in zip(config.batches.patch, config.model.unet().topologies(3), strict=True):
            assert side % topology.multiple == 0
            assert side >= topology.multiple


def test_volumes_without_a_spacing_are_taken_for_cubes_and_that_is_said():
    plan = make_plan(facts([(36, 50, 35)]), Request({}))
    assert plan.config.data.spacing == ()
    assert "declare spacing" in next(one.reason for one in plan.decisions if one.key == "data.spacing")


def test_spacings_that_differ_are_brought_to_their_median():
    one = facts([(10, 64, 64), (20, 64, 64)], (4.0, 1.0, 1.0))
    mixed = dataclasses.replace(one, spacings={(2.0, 1.0, 1.0): 1, (4.0, 1.0, 1.0): 1}, finest_spacing=(2.0, 1.0, 1.0))
    assert planned(mixed).data.spacing == (2.0, 1.0, 1.0)  # coarse: the finest along that side


@pytest.mark.parametrize(
    "setting",
    [
        "batches.patch=[16, 16, 16]",
        "batches.batch=7",
        "model.depth=2",
        "augment.flips=true",
        "data.spacing=[2.0, 2.0, 2.0]",
    ],
)
def test_what_is_asked_for_wins(setting):
    plan = make_plan(facts([(36, 50, 35)], CUBE, oriented=1), read_request(None, [setting]))
    key = setting.split("=")[0]
    decision = next(one for one in plan.decisions if one.key == key)
    assert decision.given
    assert decision.reason == "as asked for"
    assert (
        Request.of(plan.config).tree[key.split(".")[0]][key.split(".")[1]]
        == read_request(None, [setting]).tree[key.split(".")[0]][key.split(".")[1]]
    )


def test_preset_is_asked_for_but_what_it_holds_is_planned():
    model = planned(facts([(20, 256, 256)], (5.0, 0.5, 0.5)), "model.preset=seed").model
    assert (model.features, model.depth, model.hold) == (16, 2, (2, 0, 0))


def test_whole_configuration_leaves_nothing_to_plan():
    config = planned(facts([(36, 50, 35)], CUBE, oriented=1))
    assert make_plan(facts([(99, 99, 99)], (9.0, 1.0, 1.0)), Request.of(config)).config == config


def test_notes_name_what_is_not_the_default():
    notes = make_plan(facts([(36, 50, 35)], CUBE, oriented=1), Request({})).notes
    assert any(note.startswith("Planned model.depth = 3: ") for note in notes)
    assert not any("model.features" in note for note in notes)
    assert make_plan(facts(), Request.of(Config())).notes == ()


def test_decision_is_one_line():
    for one in make_plan(facts([(36, 50, 35)], CUBE), Request({})).decisions:
        assert "\n" not in one.line()
        assert one.line().startswith(f"{one.key} = ")
