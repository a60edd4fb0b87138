import dataclasses

import numpy as np
import pytest
from reference import tiny
from reference.untrained import untrained_run

from tinyunet.errors import DataError
from tinyunet.runs.parity import LARGEST, SIZES, Whole, _compare, compare, cut_out_images, made_up, made_up_images
from tinyunet.runs.pipeline import pipeline_of


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_pairs(tmp_path_factory.mktemp("parity") / "cells")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return untrained_run(tmp_path_factory.mktemp("parity") / "run")


@pytest.fixture(scope="module")
def whole(run):
    return Whole(run)


def test_an_image_as_one_piece_is_what_the_run_predicts(run, whole):
    image = tiny.picture(3, side=37)[0][..., np.newaxis]
    np.testing.assert_allclose(whole(image), run.probabilities(image), atol=1e-5)


def test_what_differs_is_found(run, whole):
    image = tiny.picture(3, side=37)[0][..., np.newaxis]
    told = []

    def wrong_in_one_pixel(raw):
        found = whole(raw)
        found[5, 6] = found[5, 6, ::-1].copy()
        return {"probabilities": found}

    expected = np.abs(wrong_in_one_pixel(image)["probabilities"] - whole(image)).max()
    (same,) = compare(run, whole.results, [image], progress=lambda *facts: told.append(facts))
    (other,) = compare(run, wrong_in_one_pixel, [image], progress=lambda *facts: None)
    assert (same.shape, same.difference, same.equal) == ((37, 37), 0, 1)
    assert told == [(1, "37 × 37")]
    assert (other.difference, other.equal) == (pytest.approx(expected), 1 - 1 / 37**2)


def test_labels_and_maps_are_compared_themselves(run, whole):
    image = tiny.picture(3)[0][..., np.newaxis]

    def wrong_labels(raw):
        return whole.results(raw) | {"labels": whole.results(raw)["labels"] // 255}

    (found,) = compare(run, wrong_labels, [image], progress=lambda *facts: None)
    assert found.difference == 0
    assert found.equal == np.mean(whole.results(image)["labels"] == 0) < 1
    data = dataclasses.replace(run.config.data, labelling=dataclasses.replace(run.labelling, task="instances"))
    objects = dataclasses.replace(run, config=dataclasses.replace(run.config, data=data))
    probabilities = np.full((2, 2, 3), 1 / 3, np.float32)
    expected = {"probabilities": probabilities, "foreground": 2 * probabilities[..., 0], "core": probabilities[..., 0]}
    assert pipeline_of(objects).outputs == tuple(expected)
    assert _compare(expected | {"core": probabilities[..., 0] + 0.25}, expected).difference == pytest.approx(0.25)


def test_what_is_no_number_differs_without_bound(run, whole):
    def broken(raw):
        return {"probabilities": np.where(np.arange(2) > 0, np.float32(np.nan), whole(raw))}

    (found,) = compare(run, broken, [tiny.picture(3)[0][..., np.newaxis]], progress=lambda *facts: None)
    assert found.difference == np.inf


def test_an_export_of_another_shape_is_an_error(run, whole):
    image = tiny.picture(3)[0][..., np.newaxis]
    with pytest.raises(ValueError, match=r"gives probabilities of shape \(31, 32, 2\), and the run \(32, 32, 2\)"):
        compare(run, lambda raw: {"probabilities": whole(raw)[1:]}, [image], progress=lambda *facts: None)


@pytest.mark.parametrize("shape", [*SIZES[2], *SIZES[3]])
def test_images_that_are_made_up_are_about_as_bright_as_is_asked(shape):
    image = made_up(shape, np.array([100.0, 7.0]), np.array([20.0, 5.0]), seed=0)
    assert image.shape == (*shape, 2)
    assert (image == np.round(image)).all()
    np.testing.assert_allclose(image.reshape(-1, 2).mean(0), [100, 7], atol=30)
    np.testing.assert_allclose(image.reshape(-1, 2).std(0), [20, 5], rtol=0.4)


def test_sizes_are_odd(run):
    assert all(side % 2 for sizes in (*SIZES.values(), *LARGEST.values()) for shape in sizes for side in shape)
    assert [image.shape for image in made_up_images(run)] == [(*shape, 1) for shape in SIZES[2]]


def test_images_are_cut_out_of_the_middle_of_test_images(run, data):
    images = cut_out_images(run, data)
    (name,) = run.config.data.split.test
    assert [image.shape for image in images] == [(31, 31, 1)] * 3
    np.testing.assert_array_equal(images[0][..., 0], tiny.picture(int(name))[0][:31, :31])


def test_another_kind_of_image_is_refused(run, data):
    volumes = dataclasses.replace(
        run, config=dataclasses.replace(run.config, batches=dataclasses.replace(run.config.batches, patch=(8, 8, 8)))
    )
    with pytest.raises(
        DataError, match=r"\d\.png has 2 axes of space, and the network was trained on volumes of three"
    ):
        cut_out_images(volumes, data)
