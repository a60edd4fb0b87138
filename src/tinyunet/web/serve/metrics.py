"""Counts and times in the text format of Prometheus."""

import bisect
import time
from collections import Counter
from dataclasses import dataclass, field

import psutil

from tinyunet.web.guard import App, Message, Receive, Scope, Send

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper ends of the classes of times, in seconds."""

TEXT = "text/plain; version=0.0.4; charset=utf-8"
"""The content type of the format."""


@dataclass
class Metrics:
    """What happened since the start.

    Attributes:
        answers: Number of answers by path, as the interface names it, and status.
        pixels: Pixels predicted.
    """

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    pixels: int = 0
    _began: float = field(default_factory=time.time)
    _seconds: float = 0.0
    _counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))

    def observe(self, seconds: float, pixels: int) -> None:
        """Counts one prediction.

        Args:
            seconds: That its computation took, without waiting.
            pixels: Of its image.
        """
        self._counts[bisect.bisect_left(BUCKETS, seconds)] += 1
        self._seconds += seconds
        self.pixels += pixels

    def text(self, *, inside: int) -> str:
        """Everything, as Prometheus reads it.

        Args:
            inside: Requests that are being computed or wait, now.
        """
        lines = [*_about("tinyunet_requests_total", "counter", "Answers by path and status.")]
        lines += [
            f'tinyunet_requests_total{{path="{path}",status="{status}"}} {count}'
            for (path, status), count in sorted(self.answers.items())
        ]
        name = "tinyunet_prediction_seconds"
        lines += _about(name, "histogram", "Time of computing a prediction, without waiting.")
        total = 0
        for end, count in zip((*(f"{bucket:g}" for bucket in BUCKETS), "+Inf"), self._counts, strict=True):
            total += count
            lines.append(f'{name}_bucket{{le="{end}"}} {total}')
        lines += [f"{name}_sum {self._seconds:.6f}", f"{name}_count {total}"]
        for name, kind, words, value in (
            ("tinyunet_predicted_pixels_total", "counter", "Pixels of all predicted images.", self.pixels),
            ("tinyunet_requests_inside", "gauge", "Predictions that are being computed or wait.", inside),
            ("process_start_time_seconds", "gauge", "Start of the server since the epoch.", f"{self._began:.3f}"),
            ("process_resident_memory_bytes", "gauge", "Memory of the process.", psutil.Process().memory_info().rss),
        ):
            lines += [*_about(name, kind, words), f"{name} {value}"]
        return "\n".join(lines) + "\n"


def _about(name: str, kind: str, words: str) -> list[str]:
    return [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]


class Counted:
    """An ASGI application whose answers are counted.

    Args:
        app: The application; it notes in the scope which of its routes was taken.
        metrics: Where they are counted.
    """

    def __init__(self, app: App, metrics: Metrics):
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection, as ASGI asks for."""

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = getattr(
                    scope.get("route"), "path", "other"
                )  # never a path from outside, of which there are many
                self.metrics.answers[path, message["status"]] += 1
            await send(message)

        await self.app(scope, receive, counting if scope["type"] == "http" else send)
