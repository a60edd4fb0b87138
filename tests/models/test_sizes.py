import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from reference.compiled import quick_jit
from reference.variables import positive_variables

from tinyunet.models.sizes import Topology, check_sizes
from tinyunet.models.unet import UNet

DEPTHS_AND_HOLDS = st.integers(0, 4).flatmap(lambda depth: st.tuples(st.just(depth), st.integers(0, depth)))
TOPOLOGIES = st.builds(
    lambda depths, **options: Topology(depth=depths[0], hold=depths[1], **options),
    DEPTHS_AND_HOLDS,
    padding=st.sampled_from(["same", "valid"]),
    convs_per_block=st.integers(1, 2),
    upsample=st.sampled_from(["transpose", "bilinear", "pixel_shuffle"]),
)


def network(topology, **options):
    """A network on lines of which this is the topology."""
    return UNet(
        features=1,
        depth=topology.depth,
        padding=topology.padding,
        convs_per_block=topology.convs_per_block,
        norm="none",
        upsample=topology.upsample,
        hold=(topology.hold,),
        **options,
    )


def traced_size(topology, size):
    """What the network itself makes of a size along one axis."""
    model = network(topology)
    return jax.eval_shape(model.init_with_output, jax.random.PRNGKey(0), jnp.zeros((1, size, 1)))[0].shape[1]


def reach(topology):
    """How far impulses travel in a network of ones, measured from every pixel of a line at once."""
    margin = topology.receptive_radius() + topology.multiple
    size = topology.multiple * (-(-3 * margin // topology.multiple))
    model = network(topology, max_features=1)
    impulses = jnp.eye(size)[..., None]
    y = quick_jit(model.apply)(positive_variables(model, impulses), impulses)
    source, changed = np.nonzero(np.asarray(y)[..., 0])
    return abs(source - changed).max()


# By hand


def test_the_paper_goes_from_572_to_388():
    assert Topology(depth=4, padding="valid", convs_per_block=2).output_size(572) == 388


def test_one_pooling_without_padding():
    # 12 -2-> 10 -pool-> 5 -2-> 3 -up-> 6 -2-> 4
    assert Topology(depth=1, padding="valid").output_size(12) == 4
    assert Topology(depth=1, padding="valid").output_size(11) is None  # 9 is odd


def test_upsampling_without_padding_makes_nothing_up():
    # 16 -2-> 14 -pool-> 7 -2-> 5 -up, less what would be made up at its ends-> 8 or 6 -2-> 6 or 4
    assert Topology(depth=1, padding="valid", upsample="bilinear").output_size(16) == 6
    assert Topology(depth=1, padding="valid", upsample="pixel_shuffle").output_size(16) == 4
    assert Topology(depth=1, padding="valid", upsample="pixel_shuffle").output_size(12) is None


def test_how_far_one_pooling_sees():
    # The last 3x3: 1; the pixel pair at 1 past it starts at 2 at the farthest; bottom 3x3: 2 more; pairs; first 3x3.
    assert Topology(depth=1).receptive_radius() == 5


def test_a_held_axis_by_hand():
    # Stage 1 leaves it as it is; 12 -2-> 10 -pool-> 5 -2-> 3 -up-> 6 -2-> 4 in stages 2 and 3.
    held = Topology(depth=2, padding="valid", hold=1)
    assert (held.multiple, held.output_size(12), held.smallest_size(4)) == (2, 4, 12)
    assert Topology(depth=2, hold=1).receptive_radius() == 5
    # Held through all stages, it is seen by the bottom's 3x3 alone.
    assert (Topology(depth=2, hold=2).multiple, Topology(depth=2, hold=2).receptive_radius()) == (1, 1)


# Against the network itself


@given(TOPOLOGIES, st.integers(1, 60))
def test_output_sizes_are_those_of_the_network(topology, size):
    assume(topology.depth < 3)
    expected = topology.output_size(size)
    if expected is None:
        with pytest.raises(ValueError, match="`x` must have sizes"):
            traced_size(topology, size)
    else:
        assert traced_size(topology, size) == expected


@pytest.mark.parametrize("convs", [1, 2])
@pytest.mark.parametrize(("depth", "hold"), [(0, 0), (1, 0), (2, 0), (3, 0), (1, 1), (3, 1), (3, 2)])
@pytest.mark.parametrize("upsample", ["transpose", "pixel_shuffle", "bilinear"])
def test_no_pixel_is_seen_from_farther_than_the_receptive_radius(upsample, depth, hold, convs):
    topology = Topology(depth=depth, convs_per_block=convs, upsample=upsample, hold=hold)
    assert reach(topology) <= topology.receptive_radius()
    if upsample != "bilinear":  # of whose two neighbours a pixel needs only the nearer one
        assert reach(topology) == topology.receptive_radius()


@pytest.mark.parametrize("upsample", ["transpose", "pixel_shuffle", "bilinear"])
@pytest.mark.parametrize(("depth", "hold", "convs"), [(1, 0, 1), (2, 0, 2), (3, 1, 1)])
def test_without_padding_a_part_gives_the_part_of_the_whole(upsample, depth, hold, convs):
    topology = Topology(depth=depth, padding="valid", convs_per_block=convs, upsample=upsample, hold=hold)
    model, start = network(topology), topology.multiple
    size = topology.smallest_size(1)
    line = jax.random.normal(jax.random.PRNGKey(0), (1, topology.smallest_size(5 * start), 1))
    variables = positive_variables(model, line)
    whole = quick_jit(model.apply)(variables, line)
    part = quick_jit(model.apply)(variables, line[:, start : start + size])
    np.testing.assert_allclose(part, whole[:, start : start + part.shape[1]], rtol=1e-6)


# Properties


@given(TOPOLOGIES, st.integers(1, 200))
def test_the_smallest_size_suffices_and_nothing_smaller_does(topology, wanted):
    size = topology.smallest_size(wanted)
    assert topology.output_size(size) >= wanted
    assert all((topology.output_size(smaller) or 0) < wanted for smaller in range(1, size))


@given(st.integers(0, 6), st.integers(-3, 300))
def test_same_padding_keeps_the_positive_multiples(depth, size):
    legal = size > 0 and size % 2**depth == 0
    assert Topology(depth=depth).output_size(size) == (size if legal else None)


@given(TOPOLOGIES)
def test_deeper_networks_see_farther(topology):
    deeper = dataclasses.replace(topology, depth=topology.depth + 1)
    assert deeper.receptive_radius() > topology.receptive_radius()


@given(TOPOLOGIES, st.integers(1, 100))
def test_an_axis_held_longer_is_seen_less_far(topology, size):
    longer = dataclasses.replace(topology, depth=topology.depth + 1, hold=topology.hold + 1)
    assert longer.output_size(size) == topology.output_size(size)  # a stage more, which leaves it as it is
    if longer.hold < longer.depth:
        held = dataclasses.replace(longer, hold=longer.hold + 1)
        assert held.receptive_radius() < longer.receptive_radius()


# Edges and errors


def test_a_single_pixel():
    assert Topology(depth=0).output_size(1) == 1
    assert Topology(depth=4).smallest_size(1) == 16
    assert Topology(depth=0, padding="valid").smallest_size(1) == 3


@pytest.mark.parametrize("size", [-4, 0])
def test_no_pixels_are_no_size(size):
    assert Topology(depth=0).output_size(size) is None
    assert Topology(depth=2).output_size(size) is None


@pytest.mark.parametrize(
    ("topologies", "space", "message"),
    [
        (
            [Topology(depth=3)] * 2,
            (254, 320),
            "`x` must have sizes divisible by 8 (depth 3), got (254, 320); crop to (248, 320) or pad to (256, 320).",
        ),
        ([Topology(depth=2)] * 2, (3, 9), "`x` must have sizes divisible by 4 (depth 2), got (3, 9); pad to (4, 12)."),
        (
            [Topology(depth=1, padding="valid")] * 2,
            (13, 12),
            "`x` must have sizes that are even before each of 1 poolings, got (13, 12); "
            "crop to (12, 12) or pad to (14, 12).",
        ),
        (
            [Topology(depth=1)] * 3,
            (2, 3, 2),
            "divisible by 2 (depth 1), got (2, 3, 2); crop to (2, 2, 2) or pad to (2, 4, 2).",
        ),
        (
            [Topology(depth=3, hold=hold) for hold in (2, 0, 0)],
            (9, 254, 320),
            "`x` must have sizes divisible by (2, 8, 8) (depth 3, hold (2, 0, 0)), got (9, 254, 320); "
            "crop to (8, 248, 320) or pad to (10, 256, 320).",
        ),
        (
            [Topology(depth=2, hold=1)] * 2,
            (3, 4),
            "`x` must have sizes divisible by 2 (depth 2, hold 1), got (3, 4); crop to (2, 4) or pad to (4, 4).",
        ),
        (
            [Topology(depth=1, padding="valid", hold=hold) for hold in (1, 0)],
            (13, 13),
            "`x` must have sizes that are even before each of (0, 1) poolings, got (13, 13); "
            "crop to (13, 12) or pad to (13, 14).",
        ),
    ],
)
def test_refused_sizes_come_with_the_nearest_legal_ones(topologies, space, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_sizes(topologies, space)


@given(TOPOLOGIES, st.data())
def test_sizes_are_refused_exactly_when_one_has_no_output(topology, data):
    holds = data.draw(st.lists(st.integers(0, topology.depth), min_size=1, max_size=3))
    topologies = [dataclasses.replace(topology, hold=hold) for hold in holds]
    space = [data.draw(st.integers(1, 100)) for _ in holds]
    if all(axis.output_size(size) for axis, size in zip(topologies, space, strict=True)):
        check_sizes(topologies, space)
    else:
        with pytest.raises(ValueError, match=re.escape(f"got {tuple(space)}")):
            check_sizes(topologies, space)


@pytest.mark.parametrize("hold", [-1, 3])
def test_an_axis_is_held_through_some_of_the_stages(hold):
    with pytest.raises(ValueError, match=f"`hold` must be from 0 to depth 2, got {hold}."):
        Topology(depth=2, hold=hold)
