import jax.numpy as jnp
import numpy as np
import pytest

from tinyunet.data.store import ImageStore
from tinyunet.evaluation.temperature import fit_temperature
from tinyunet.prediction.tiles import TileSpec
from tinyunet.runs import calibrate as module
from tinyunet.runs.calibrate import FEWEST_PIXELS, calibrate, choose_temperature
from tinyunet.runs.validate import Validator

NAMES = ("background", "cell")
SPEC = TileSpec(ladder=(32,), halo=0, multiple=4, batch=1)


class Images(ImageStore):
    """Images in memory instead of files: pixels are probabilities, and labels right as often as these say."""

    def __init__(self, count, *, side=32):
        rng = np.random.default_rng(count)
        self.items = []
        for _ in range(count):
            image = rng.uniform(0.01, 0.99, (side, side, 1)).astype(np.float32)
            labels = (rng.random((side, side)) < image[..., 0]).astype(np.int16)
            self.items.append((image, np.where(rng.random((side, side)) < 0.1, np.int16(-1), labels)))

    def __len__(self):
        return len(self.items)

    def __call__(self, position):
        return self.items[position]

    def shape(self, position):
        return self.items[position][1].shape


def probabilities(variables, tiles, valid):
    """A network whose log-odds are those of the pixels, times `variables["sureness"]`."""
    odds = (tiles / (1 - tiles)) ** variables["sureness"]
    return jnp.concatenate([1 / (1 + odds), odds / (1 + odds)], axis=-1)


def fitted(images, *, sureness=1.0, seed=0):
    return calibrate(Validator(probabilities, SPEC, images, classes=2), {"sureness": sureness}, NAMES, seed=seed)


@pytest.mark.parametrize("sureness", [0.5, 1.0, 2.0])
def test_the_temperature_undoes_how_sure_the_network_is(sureness):
    found = fitted(Images(6), sureness=sureness)
    assert found.note is None
    assert found.value == pytest.approx(sureness, rel=0.1)


def test_it_is_that_of_all_labelled_pixels_to_four_digits():
    images = Images(3)
    values = np.concatenate([image.reshape(-1) for image, _ in images.items]).astype(np.float64)
    labels = np.concatenate([labels.ravel() for _, labels in images.items])
    expected = fit_temperature(np.stack([1 - values, values], -1)[labels >= 0], labels[labels >= 0])
    assert fitted(images).value == pytest.approx(expected, rel=1e-3)
    assert fitted(images).value == float(f"{fitted(images).value:.4g}")


def test_large_sets_are_sampled_alike_at_the_same_seed(monkeypatch):
    images, seen = Images(4), []
    choose = module.choose_temperature
    monkeypatch.setattr(
        module, "choose_temperature", lambda p, labels, names: seen.append(p) or choose(p, labels, names)
    )
    whole = fitted(images).value
    monkeypatch.setattr(module, "MOST_PIXELS", 2000)
    sampled = [fitted(images, seed=seed).value for seed in (0, 0, 1)]
    assert [len(p) for p in seen[1:]] == [2000] * 3
    assert sampled[0] == sampled[1] != sampled[2]
    np.testing.assert_array_equal(seen[1], seen[2])
    assert sampled == pytest.approx([whole] * 3, rel=0.3)


def pixels(*, count=FEWEST_PIXELS, right=0.8, sure=0.9, classes=2):
    """Pixels of which a part is right, and what is said of each."""
    labels = np.arange(count) % classes
    chosen = np.where(np.arange(count) < right * count, labels, (labels + 1) % classes)
    other = (1 - sure) / (classes - 1)
    return (other + (sure - other) * np.eye(classes)[chosen]), labels


def test_eight_right_of_ten_where_it_says_nine():
    found = choose_temperature(*pixels(), NAMES)
    assert found.value == pytest.approx(np.log(9) / np.log(4), rel=1e-3)
    assert found.note is None


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"count": 999}, "temperature scaling wants 1,000 labelled validation pixels, there are 999."),
        ({"right": 1.0}, "on the validation images no temperature above 0.05 is low enough."),
        ({"right": 0.2}, "on the validation images they are no better than chance."),
    ],
)
def test_where_it_cannot_be_told_probabilities_stay_with_a_note(given, text):
    assert choose_temperature(*pixels(**given), NAMES) == (1.0, f"Probabilities are not scaled: {text}")


def test_a_class_that_is_absent_is_named():
    values, labels = pixels()
    found = choose_temperature(np.concatenate([values, 0 * values], -1), labels, ("a", "b", "c", "d"))
    assert found == (1.0, "Probabilities are not scaled: the validation images hold no pixel of 'c', 'd'.")
