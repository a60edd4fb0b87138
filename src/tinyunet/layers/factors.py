"""By how much a map becomes coarser or finer along each axis of space."""

from collections.abc import Sequence


def axis_factors(given: Sequence[int] | None, axes: int, *, name: str) -> tuple[int, ...]:
    """The factors of all axes of space: those given, or 2 along every axis.

    Args:
        given: 2 for an axis that is halved or doubled, 1 for one that is left as it is; None for 2 everywhere.
        axes: Number n of axes of space.
        name: Of the argument, for the error.

    Raises:
        ValueError: Not one number for each axis, or a number that is neither 1 nor 2.

    Example:
        >>> axis_factors(None, 2, name="window"), axis_factors((1, 2, 2), 3, name="window")
        ((2, 2), (1, 2, 2))
        >>> axis_factors((1, 3), 2, name="window")
        Traceback (most recent call last):
        ValueError: `window` must be 1 or 2 for each of 2 axes of space, got (1, 3).
    """
    factors = (2,) * axes if given is None else tuple(given)
    if len(factors) != axes or not set(factors) <= {1, 2}:
        raise ValueError(f"`{name}` must be 1 or 2 for each of {axes} axes of space, got {factors}.")
    return factors
