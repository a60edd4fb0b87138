import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from reference.compiled import quick_jit
from reference.variables import positive_variables

from tinyunet.models.sizes import Topology
from tinyunet.models.unet import UNet

TOPOLOGIES = st.builds(
    Topology,
    depth=st.integers(0, 4),
    padding=st.sampled_from(["same", "valid"]),
    convs_per_block=st.integers(1, 2),
    upsample=st.sampled_from(["transpose", "bilinear", "pixel_shuffle"]),
)


def traced_size(topology, size):
    """What the network itself makes of a size along one axis."""
    model = UNet(
        features=1,
        depth=topology.depth,
        padding=topology.padding,
        convs_per_block=topology.convs_per_block,
        norm="none",
        upsample=topology.upsample,
    )
    return jax.eval_shape(model.init_with_output, jax.random.PRNGKey(0), jnp.zeros((1, size, 1)))[0].shape[1]


def reach(topology):
    """How far impulses travel in a network of ones, measured from every pixel of a line at once."""
    margin = topology.receptive_radius() + topology.multiple
    size = topology.multiple * (-(-3 * margin // topology.multiple))
    model = UNet(
        features=1,
        depth=topology.depth,
        convs_per_block=topology.convs_per_block,
        norm="none",
        upsample=topology.upsample,
        max_features=1,
    )
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


def test_how_far_one_pooling_sees():
    # The last 3x3: 1; the pixel pair at 1 past it starts at 2 at the farthest; bottom 3x3: 2 more; pairs; first 3x3.
    assert Topology(depth=1).receptive_radius() == 5


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
@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize("upsample", ["transpose", "pixel_shuffle", "bilinear"])
def test_no_pixel_is_seen_from_farther_than_the_receptive_radius(upsample, depth, convs):
    topology = Topology(depth=depth, convs_per_block=convs, upsample=upsample)
    assert reach(topology) <= topology.receptive_radius()
    if upsample != "bilinear":  # of whose two neighbours a pixel needs only the nearer one
        assert reach(topology) == topology.receptive_radius()


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
    deeper = Topology(depth=topology.depth + 1, convs_per_block=topology.convs_per_block, upsample=topology.upsample)
    assert deeper.receptive_radius() > topology.receptive_radius()


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
    ("topology", "space", "message"),
    [
        (
            Topology(depth=3),
            (254, 320),
            "`x` must have sizes divisible by 8 (depth 3), got (254, 320); crop to (248, 320) or pad to (256, 320).",
        ),
        (Topology(depth=2), (3, 9), "`x` must have sizes divisible by 4 (depth 2), got (3, 9); pad to (4, 12)."),
        (
            Topology(depth=1, padding="valid"),
            (13, 12),
            "`x` must have sizes that are even before each of 1 poolings, got (13, 12); "
            "crop to (12, 12) or pad to (14, 12).",
        ),
        (
            Topology(depth=1),
            (2, 3, 2),
            "divisible by 2 (depth 1), got (2, 3, 2); crop to (2, 2, 2) or pad to (2, 4, 2).",
        ),
    ],
)
def test_refused_sizes_come_with_the_nearest_legal_ones(topology, space, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        topology.check(space)


@given(TOPOLOGIES, st.lists(st.integers(1, 100), min_size=1, max_size=3))
def test_sizes_are_refused_exactly_when_one_has_no_output(topology, space):
    if all(topology.output_size(size) for size in space):
        topology.check(space)
    else:
        with pytest.raises(ValueError, match=re.escape(f"got {tuple(space)}")):
            topology.check(space)
