"""The log of a run: one JSON object a line."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinyunet.data.writers import replace_file
from tinyunet.errors import CheckpointError


class Log:
    """Appends events to `metrics.jsonl`, each line whole or not at all for whoever reads along.

    Args:
        path: The file; created if it is not there.
    """

    def __init__(self, path: Path):
        self.path = path

    def write(self, event: str, step: int, **values: Any) -> None:
        """Appends one event. A number that is not finite is written as null, which JSON can hold."""
        line = json.dumps({"event": event, "step": step, **_finite(values)}, allow_nan=False)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def cut(self, step: int) -> None:
        """Removes the events after a step, before the training that wrote them is resumed there."""
        kept = [e for e in read_log(self.path) if e["step"] <= step and e["event"] != "end"]
        with replace_file(self.path) as temporary:
            temporary.write_text("".join(json.dumps(e) + "\n" for e in kept), encoding="utf-8")


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a log, in order. A last line that a kill cut short is passed over.

    Raises:
        CheckpointError: A line before the last that is not JSON, named by its number.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            if number < len(lines):
                raise CheckpointError(f"{path}, line {number} is not JSON; restore the file or remove it.") from None


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
