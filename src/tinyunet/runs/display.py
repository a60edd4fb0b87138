"""What a user sees while a training runs: on a terminal a bar, elsewhere a line now and then; always on stderr."""

import sys
import time
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

LINE_SECONDS = 15.0
"""How often a line is written where there is no terminal."""

MARK_SECONDS = 0.5
"""How often it is remembered how far a training was."""


class Display:
    """Shows how a long work goes on. Use as a context.

    Args:
        total: Steps in all.
        quiet: Show nothing.
    """

    def __init__(self, total: int, *, quiet: bool = False):
        self.total = total
        self.quiet = quiet
        self._console = Console(stderr=True)
        self._marks: deque[tuple[float, int]] = deque()  # times, and the steps done by then
        self._began = self._line = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.completed:>5.0f}/{task.total:.0f}"),
            BarColumn(),
            TextColumn("{task.fields[facts]}"),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total, facts="")

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        if not self.quiet:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def busy(self, what: str) -> AbstractContextManager[object]:
        """A context in which a terminal says what is going on, for work whose end is not known; outside of the bar."""
        if self.quiet or not self._console.is_terminal:
            return nullcontext()
        return self._console.status(escape(what))

    def update(self, done: int, *, loss: float, score: float | None, waiting: float) -> None:
        """The state after `done` steps.

        Args:
            done: Steps done.
            loss: Of the training.
            score: Of the last validation, if there was one.
            waiting: Share of the time spent waiting for data.
        """
        now = time.monotonic()
        if not self._marks:
            self._began = now
            self._marks.append((now, done))
            return
        speed = self._speed(now, done)
        left = clock((self.total - done) / max(1e-9, speed))
        dice = "" if score is None else f"  Dice {score:.3f}"
        facts = f"loss {loss:.3f}{dice}  {speed:.2f} steps/s  {left} left  {waiting:.0%} waiting for data"
        self._bar.update(self._task, completed=done, facts=facts)
        if self._bar.disable and not self.quiet and now - self._line >= LINE_SECONDS:
            self._line = now
            print(f"step {done}/{self.total}  {facts}", file=sys.stderr, flush=True)

    def _speed(self, now: float, done: int) -> float:
        """Steps per second in the latter half of the time: what was compiled once, for a validation, is soon past."""
        while len(self._marks) > 1 and self._marks[1][0] <= (self._began + now) / 2:
            self._marks.popleft()
        if now - self._marks[-1][0] >= MARK_SECONDS:
            self._marks.append((now, done))
        since, before = self._marks[0]
        return (done - before) / max(1e-9, now - since)

    def count(self, done: int, what: str) -> None:
        """After `done` things of a list, the last of them called `what`."""
        self._say(done, what)

    def parts(self, before: int, what: str, done: int, total: int, *, since: float) -> None:
        """After `done` parts of `total` of a thing called `what`, with `before` things of the list done.

        Args:
            before: Things done.
            what: The one that is being done.
            done: Parts of it that are done.
            total: Parts of it, at least one.
            since: When they began, by `time.monotonic`.
        """
        left = (time.monotonic() - since) * (total - done) / max(1, done)
        self._say(before + done / total, f"{what}  {done}/{total} tiles  {clock(left)} left", whole=before)

    def _say(self, done: float, facts: str, *, whole: int | None = None) -> None:
        """Moves the bar, or writes a line if the last one is long ago."""
        self._bar.update(self._task, completed=done, facts=escape(facts))
        now = time.monotonic()
        if self._bar.disable and not self.quiet and now - self._line >= LINE_SECONDS:
            self._line = now
            print(f"{done if whole is None else whole}/{self.total}  {facts}", file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, with hours where there are any.

    Example:
        >>> clock(75), clock(3725)
        ('1:15', '1:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
