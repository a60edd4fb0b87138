"""Several devices: a training that they share, and one image divided over them; see tests/reference/four_devices.py."""

import numpy as np
import pytest
from reference.processes import found_by


@pytest.fixture(scope="module")
def found():
    return found_by("four_devices.py")


@pytest.fixture(scope="module")
def training(found):
    return found["training"]


def test_all_devices_are_used_or_as_many_as_are_asked_for(training):
    assert (training["devices"], training["two devices"]) == (4, 2)
    assert training["five devices"] == "`devices` must be from 1 to the 4 that JAX finds here, got 5."


def test_the_first_gradient_is_that_of_one_device(training):
    assert training["gradient"] < 1e-5


def test_batch_statistics_are_those_of_the_whole_batch(training):
    assert training["statistics"] < 1e-5


def test_losses_are_those_of_one_device(training):
    losses = np.array(training["losses"])
    difference = np.abs(losses - training["losses_shared"])
    assert len(difference) == 50
    assert difference[:10].max() < 1e-4
    assert difference[-1] < 2e-3
    assert losses[-1] < 0.9 * losses[0]  # something was learnt that could have gone apart


def test_a_shared_training_repeats_bit_for_bit(training):
    assert training["repeats"]


def test_a_batch_that_does_not_divide_is_refused(training):
    refusals = training["refusals"]
    assert refusals["8"] is None
    assert refusals["6"] == (
        "A batch of 6 cannot be shared equally by 4 devices: take --set batches.batch=4 or --set batches.batch=8, or "
        "fewer devices of each process by --devices."
    )
    assert "take --set batches.batch=4, or fewer" in refusals["2"]
    assert training["rows"] == list(range(8))


@pytest.mark.parametrize("case", ["image", "stripes narrower than the halo", "volume"])
def test_a_divided_image_is_the_whole_to_rounding(found, case):
    assert found["prediction"][case] < 1e-5


def test_without_the_halo_it_would_not_be(found):
    assert found["prediction"]["without a halo"] > 1e-2
