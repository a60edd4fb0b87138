"""How long a training goes on before it shows what it has learnt, and when it has learnt all there is."""

from collections import deque

FIRST_SECONDS = 1.0
"""Of a burst after something has changed."""

LONGEST_SECONDS = 6.0
"""Of a burst when nothing has for a while."""

GROWTH = 1.3
"""From one burst to the next."""

SHOWN_SHARE = 0.25
"""Bursts are so long that predicting what is looked at takes at most about this part of the time."""

SETTLED_STEPS = 1500
"""A training settles after so many steps without a change at the earliest, some minutes on two cores…"""

SETTLED_AGREEMENT = 0.97
"""…if so much of the paint is predicted as it was painted…"""

SETTLED_GAIN = 0.03
"""…and the loss of the last third of these steps is lower than that of the third before by less than this part…"""

LAST_STEPS = 12000
"""…or after so many steps in any case."""


class Pace:
    """The rhythm of a live training.

    Attributes:
        seconds: How long the next burst is to be.
        least_steps: How many steps it has at least, also where they take long.

    Example:
        >>> pace = Pace()
        >>> pace.change(0)
        >>> pace.settled(100) is None, pace.settled(LAST_STEPS) is None
        (True, False)
    """

    least_steps = 8

    def __init__(self) -> None:
        self.seconds = FIRST_SECONDS
        self._changed = 0
        self._shown = 0.0
        self._agreement: float | None = None
        self._losses: deque[tuple[int, float]] = deque(maxlen=1000)

    def change(self, step: int) -> None:
        """Something is new: show soon what comes of it."""
        self._changed = step
        self.seconds = self._bounded(FIRST_SECONDS)
        self._losses.clear()

    def burst(self, step: int, *, loss: float | None, agreement: float | None, shown: float) -> None:
        """Takes note of a burst.

        Args:
            step: The last of it.
            loss: Its mean.
            agreement: Share of the paint that is predicted as painted.
            shown: Seconds that were spent predicting.
        """
        self._shown = shown if not self._shown else 0.5 * (self._shown + shown)
        self.seconds = self._bounded(GROWTH * self.seconds)
        self._agreement = agreement
        if loss is not None:
            self._losses.append((step, loss))

    def settled(self, step: int) -> str | None:
        """Why the training may rest, in words for people; None while it should go on."""
        since = step - self._changed
        if since >= LAST_STEPS:
            return f"Resting: nothing has changed for {since} steps. Paint, or press play, to go on."
        if since < SETTLED_STEPS or self._agreement is None or self._agreement < SETTLED_AGREEMENT:
            return None
        third = SETTLED_STEPS // 3
        last = [loss for at, loss in self._losses if at > step - third]
        before = [loss for at, loss in self._losses if step - 2 * third < at <= step - third]
        if not last or not before:
            return None
        if sum(last) / len(last) < (1 - SETTLED_GAIN) * sum(before) / len(before):
            return None
        return f"Resting: {self._agreement:.0%} of the paint is predicted as painted. Paint, or press play, to go on."

    def _bounded(self, seconds: float) -> float:
        return max(min(seconds, LONGEST_SECONDS), self._shown * (1 - SHOWN_SHARE) / SHOWN_SHARE)
