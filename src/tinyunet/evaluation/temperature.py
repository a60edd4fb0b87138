"""Temperature scaling: one number by which probabilities are softened or sharpened until they mean what they say."""

import numpy as np
from jaxtyping import Float, Integer

LOWEST, HIGHEST = 0.05, 20.0
"""The range in which a temperature is looked for."""

FLOOR = float(np.finfo(np.float32).tiny)
"""What a probability of zero is taken for: the least that float32 holds in full precision."""

_STEPS = 100  # Newton takes about eight; halving the interval, should it come to that, about fifty


def scale_probabilities(
    probabilities: Float[np.ndarray, "*space k"], temperature: float
) -> Float[np.ndarray, "*space k"]:
    """Probabilities at another temperature.

        q_k = p_k^(1/T) / sum over j of p_j^(1/T)

    which is the softmax of logits divided by T. Above 1 it makes probabilities more modest, below 1 surer. The most
    probable class stays the same: where rounding makes equals of two, it is put ahead by the last bit.

    Args:
        probabilities: At least 0, summing up to 1 over the last axis; not changed.
        temperature: T, above 0. With 1 the probabilities come back as they are, bit for bit.

    Returns:
        Probabilities, in the same precision.

    Raises:
        ValueError: The temperature is not above 0, or not finite.

    Example:
        >>> scale_probabilities(np.array([[0.8, 0.2]]), 2.0)
        array([[0.66666667, 0.33333333]])

    References:
        Guo et al. (2017), On calibration of modern neural networks, section 4.2.
    """
    if not 0 < temperature < np.inf:
        raise ValueError(f"`temperature` must be above 0 and finite, got {temperature}.")
    if temperature == 1:
        return probabilities
    chosen = np.argmax(probabilities, axis=-1)[..., np.newaxis]
    scaled = np.maximum(probabilities, FLOOR)  # the one copy: a volume of many classes is large
    np.log(scaled, out=scaled)
    scaled -= np.take_along_axis(scaled, chosen, axis=-1)
    scaled /= temperature
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=-1, keepdims=True)
    overtaken = np.argmax(scaled, axis=-1)[..., np.newaxis] != chosen
    ahead = np.nextafter(scaled.max(axis=-1, keepdims=True), scaled.dtype.type(2))
    np.put_along_axis(scaled, chosen, np.where(overtaken, ahead, np.take_along_axis(scaled, chosen, axis=-1)), axis=-1)
    return scaled


def fit_temperature(probabilities: Float[np.ndarray, "n k"], labels: Integer[np.ndarray, " n"]) -> float:
    """The temperature at which labelled pixels are least surprising.

        T = argmin -1/n sum over i of log q_i,label(i),   q = scale_probabilities(p, T)

    The mean is convex in b = 1/T, with the slope E[log p] - log p_label, E over q, and the curvature Var[log p], so
    Newton's method finds its minimum; where a step leaves the interval that is known to hold it, the interval is
    halved instead. All in float64.

    Args:
        probabilities: Of single pixels, summing up to 1.
        labels: Their true classes, in [0, k).

    Returns:
        T in [0.05, 20]; the nearer end where the minimum is not inside: 0.05 where every pixel's class is the most
        probable one, since then no temperature is too low, 20 where chance would do better.

    Raises:
        ValueError: There is no pixel.

    Example:
        >>> probabilities = np.tile([0.9, 0.1], (10, 1))  # eight of ten are right where it says nine
        >>> round(fit_temperature(probabilities, np.array([0] * 8 + [1] * 2)), 3)
        1.585

    References:
        Guo et al. (2017), On calibration of modern neural networks, section 4.2.
    """
    if not len(labels):
        raise ValueError("`labels` must hold at least one pixel.")
    logs = np.log(np.maximum(probabilities.astype(np.float64), FLOOR))
    logs -= logs.max(axis=-1, keepdims=True)
    true = np.take_along_axis(logs, labels[:, np.newaxis].astype(np.int64), axis=-1).mean()
    low, high = 1 / HIGHEST, 1 / LOWEST
    if _slope(logs, low)[0] >= true:
        return HIGHEST
    if _slope(logs, high)[0] <= true:
        return LOWEST
    at = 1.0
    for _ in range(_STEPS):
        expected, curvature = _slope(logs, at)
        low, high = (low, at) if expected > true else (at, high)
        following = at - (expected - true) / curvature if curvature > 0 else low
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - at) <= 1e-10 * at:
            break
        at = following
    return float(1 / at)


def _slope(logs: Float[np.ndarray, "n k"], inverse: float) -> tuple[float, float]:
    """Mean over the pixels of the expected log-probability at a temperature, and of its variance."""
    weights = np.exp(inverse * logs)
    weights /= weights.sum(axis=-1, keepdims=True)
    expected = (weights * logs).sum(axis=-1)
    variance = (weights * logs**2).sum(axis=-1) - expected**2
    return float(expected.mean()), float(variance.mean())
