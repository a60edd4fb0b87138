"""How many steps fit into the minutes a user gives."""

import dataclasses

MARGIN = 0.97
"""Share of the minutes that is planned for; the rest is for what varies."""

VALIDATION_SHARE = 0.08
"""Share of the time left that validation may take."""

OVERRUN = 1.25
"""A training that takes this many times its minutes is stopped early."""


@dataclasses.dataclass(frozen=True)
class Timing:
    """What was measured before the first step.

    Attributes:
        used: Seconds since the process began.
        step: Seconds of one step.
        validation: Seconds of one validation.
        finish: Seconds to choose and write the weights, and to fit their temperature.
    """

    used: float
    step: float
    validation: float
    finish: float = 2.0


def plan_steps(minutes: float, timing: Timing, *, validations: int) -> tuple[int, int]:
    """The steps and validations that fit.

        steps = (0.97 * 60 minutes - used - finish - V validation) / step

    with V the wanted number of validations, or as many as fit into 8 % of the time left, at least one.

    Args:
        minutes: From the process's start to the written weights.
        timing: What was measured.
        validations: How many are wanted, at least 1.

    Returns:
        Steps and validations, each at least 1.

    Example:
        >>> plan_steps(10, Timing(used=30, step=0.5, validation=2), validations=10)
        (1060, 10)
        >>> plan_steps(1, Timing(used=70, step=0.5, validation=2), validations=10)
        (1, 1)
    """
    left = MARGIN * 60 * minutes - timing.used - timing.finish
    fitting = int(VALIDATION_SHARE * left / timing.validation) if timing.validation > 0 else validations
    count = max(1, min(validations, fitting))
    steps = max(1, int((left - count * timing.validation) / timing.step))
    return steps, min(count, steps)


def validation_steps(steps: int, validations: int) -> frozenset[int]:
    """After which steps to validate: evenly spread, the last step always.

    Example:
        >>> sorted(validation_steps(10, 3))
        [3, 7, 10]
    """
    count = min(validations, steps)
    return frozenset(round(steps * i / count) for i in range(1, count + 1))
