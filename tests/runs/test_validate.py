import math

import jax.numpy as jnp
import numpy as np
import pytest

from tinyunet.data.store import ImageStore
from tinyunet.prediction.tiles import TileSpec
from tinyunet.runs.validate import Validation, Validator, collapsed

SPEC = TileSpec(ladder=(8, 16), halo=2, multiple=4, batch=1)


class Images(ImageStore):
    """Images in memory instead of files."""

    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __call__(self, position):
        return self.items[position]

    def shape(self, position):
        return self.items[position][1].shape


def probabilities(variables, tiles, valid):
    """A network whose probability of class 1 is the pixel itself, times `variables["scale"]`."""
    p = variables["scale"] * tiles[..., :1]
    return jnp.concatenate([1 - p, p], axis=-1)


def an_image(pixels, labels):
    return np.float32(pixels)[..., None], np.array(labels, np.int16)


def validate(*images, scale=1.0, classes=2):
    return Validator(probabilities, SPEC, Images(*images), classes=classes)({"scale": scale})


def test_five_pixels_by_hand():
    one = an_image([[0.25, 0.75], [0.75, 0.75]], [[0, 1], [0, -1]])
    two = an_image([[0.125]], [[1]])
    found = validate(one, two)
    # Class 0: 1 right, 1 of class 1 taken for it, 1 missed. Class 1: 1 right, 1 too many, 1 missed.
    np.testing.assert_allclose(found.dice, [0.5, 0.5])
    assert found.score == 0.5
    assert found.loss == pytest.approx(-sum(map(math.log, [0.75, 0.75, 0.25, 0.125])) / 4)
    assert found.predicted == (2, 3)


def test_images_are_pooled_pixel_by_pixel():
    rng = np.random.default_rng(0)
    pixels, labels = rng.uniform(0.01, 0.99, (20, 30)), rng.integers(-1, 2, (20, 30))
    whole = validate(an_image(pixels, labels))
    halves = validate(an_image(pixels[:7], labels[:7]), an_image(pixels[7:], labels[7:]))
    np.testing.assert_allclose(whole.dice, halves.dice)
    assert whole.loss == pytest.approx(halves.loss)
    assert whole.predicted == halves.predicted
    assert sum(whole.predicted) == 600


def test_the_variables_are_those_it_is_called_with():
    image = an_image(np.full((4, 4), 0.75), np.ones((4, 4)))
    assert validate(image).score == 1
    assert validate(image, scale=0.5).score == 0


def test_a_probability_of_zero_costs_much_but_not_everything():
    assert validate(an_image([[0.0]], [[1]])).loss == pytest.approx(-math.log(1e-12))


def test_a_class_that_occurs_nowhere_is_not_scored():
    found = validate(an_image([[0.25, 0.25]], [[0, 0]]))
    assert found.dice[0] == 1
    assert math.isnan(found.dice[1])
    assert found.score == 1


def test_where_everything_is_ignored_the_score_is_zero():
    found = validate(an_image([[0.25]], [[-1]]))
    assert (found.loss, found.score) == (0, 0)
    assert np.isnan(found.dice).all()


@pytest.mark.parametrize(
    ("predicted", "dice", "expected"),
    [
        ((9, 0), [0.8, 0.0], 0),
        ((0, 9), [0.0, 0.8], 1),
        ((8, 1), [0.8, 0.5], None),
        ((9, 0), [1.0, math.nan], None),
        ((0, 0, 9), [0.0, math.nan, 0.5], 2),
    ],
)
def test_collapsed_is_one_class_for_all_pixels_though_there_are_others(predicted, dice, expected):
    assert collapsed(Validation(1.0, np.array(dice), 0.5, predicted)) == expected


def test_measuring_predicts_one_image_of_each_program_twice_and_scales_by_pixels(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr("tinyunet.runs.validate.time.monotonic", lambda: next(clock))
    seen = []

    def watched(variables, tiles, valid):
        seen.append(tiles.shape[1:3])
        return probabilities(variables, tiles, valid)

    # Two images in tiles of 8 x 8, three in tiles of 16 x 8; the largest of each stands for all of its kind.
    images = [an_image(np.full(shape, 0.5), np.zeros(shape)) for shape in ((4, 4), (8, 8), (12, 4), (16, 8), (16, 4))]
    seconds = Validator(watched, SPEC, Images(*images), classes=2).measure({"scale": 1.0})
    assert seen == [(8, 8), (8, 8), (16, 8), (16, 8)]
    assert seconds == pytest.approx((16 + 64) / 64 + (48 + 128 + 64) / 128)
