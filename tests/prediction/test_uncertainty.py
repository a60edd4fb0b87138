import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from tinyunet.prediction.uncertainty import normalised_entropy


def test_three_pixels_by_hand():
    found = normalised_entropy(np.array([[0.25, 0.75], [0.5, 0.5], [0.0, 1.0]]))
    np.testing.assert_allclose(found, [0.25 * 2 + 0.75 * np.log2(4 / 3), 1, 0])


@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_it_agrees_with_scipy_and_stays_in_range(seed, classes):
    probabilities = np.random.default_rng(seed).dirichlet(np.full(classes, 0.2), (3, 4))
    found = normalised_entropy(probabilities)
    np.testing.assert_allclose(found, entropy(probabilities, axis=-1, base=classes), atol=1e-12)
    assert ((found >= 0) & (found <= 1)).all()


def test_float32_stays_float32():
    assert normalised_entropy(np.full((2, 3), 1 / 3, np.float32)).dtype == np.float32


def test_one_class_is_refused():
    message = "`probabilities` must be of two classes or more, got 1."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        normalised_entropy(np.ones((2, 1)))
