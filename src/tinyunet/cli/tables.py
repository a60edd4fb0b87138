"""Tables for people: columns of text on stdout."""

import math
from collections.abc import Sequence
from typing import Any


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows under a header, words to the left, numbers to the right, scores with three decimals.

    Example:
        >>> print(table(["class", "Dice"], [["cell", 0.91234], ["membrane", float("nan")]]))
        class      Dice
        cell      0.912
        membrane      –
    """
    text = [list(header), *([_shown(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in text) for i in range(len(header))]
    words = [any(isinstance(row[i], str) for row in rows) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.ljust(width) if word else cell.rjust(width)
            for cell, width, word in zip(row, widths, words, strict=True)
        )
        return "  ".join(cells).rstrip()

    return "\n".join(line(row) for row in text)


def _shown(value: str | float | int | None) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
