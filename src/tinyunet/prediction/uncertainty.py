"""How unsure probabilities are."""

import numpy as np
from jaxtyping import Float


def normalised_entropy(probabilities: Float[np.ndarray, "*space k"]) -> Float[np.ndarray, "*space"]:
    """Entropy of the classes' probabilities at each pixel, as a part of the largest there can be.

        u = - sum over k of p_k log p_k / log K

    0 where one class is certain, 1 where all K are equally probable. Of averaged probabilities it is large both where
    each network is unsure and where they contradict one another.

    Args:
        probabilities: Of two classes or more, summing up to 1 at each pixel.

    Raises:
        ValueError: There are fewer than two classes.

    Example:
        >>> normalised_entropy(np.array([[0.5, 0.5], [1.0, 0.0]]))
        array([1., 0.])

    References:
        Shannon (1948), A mathematical theory of communication, section 6.
    """
    classes = probabilities.shape[-1]
    if classes < 2:
        raise ValueError(f"`probabilities` must be of two classes or more, got {classes}.")
    # p log p is 0 at p = 0, its limit.
    logarithms = np.log(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    entropy = np.abs(np.sum(probabilities * logarithms, axis=-1))  # not minus, which would make -0 of 0
    return np.clip(entropy / np.log(classes), 0, 1).astype(probabilities.dtype)
