"""What a benchmark shows: tables for the terminal, Markdown to paste into RESULTS.md, or JSON for programs."""

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import machine_line

Cell = str | int | float | None
"""Text as it is; a number with four significant digits; None where there is nothing to say."""


@dataclass(frozen=True)
class Table:
    """Figures under a line that says what they are.

    Args:
        title: What is shown, with units.
        header: Names of the columns.
        rows: As many cells each as the header has; the first names the row.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """The options every benchmark shares."""
    parser.add_argument("--markdown", action="store_true", help="print a section ready to paste into RESULTS.md")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every figure for programs")


def present(
    arguments: argparse.Namespace,
    *,
    question: str,
    machine: Mapping[str, Any],
    tables: Sequence[Table],
    raw: Mapping[str, Any],
) -> None:
    """Prints the tables, and writes the JSON file if one is asked for.

    Args:
        arguments: With the options of `add_output_options`.
        question: What the benchmark answers: the heading.
        machine: From `measure.machine`, taken before the measurement.
        tables: The answer.
        raw: The single measurements behind it, plain values.
    """
    if arguments.json is not None:
        answer = {"question": question, "machine": machine, "tables": [asdict(table) for table in tables], "raw": raw}
        arguments.json.write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
    if arguments.markdown:
        print(f"## {question}\n\n{machine_line(machine)}  \n`{_command()}`\n")
        print("\n\n".join(f"{table.title}:\n\n{markdown(table)}" for table in tables))
    else:
        print(f"{question}\n{machine_line(machine)}\n")
        print("\n\n".join(f"{table.title}\n{aligned(table)}" for table in tables))


def markdown(table: Table) -> str:
    """A Markdown table.

    Example:
        >>> print(markdown(Table("Score", ("system", "Dice"), (("ours", 0.91234), ("none", None)))))
        | system | Dice |
        | --- | --- |
        | ours | 0.9123 |
        | none | – |
    """
    lines = [table.header, ["---"] * len(table.header), *([shown(cell) for cell in row] for row in table.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def aligned(table: Table) -> str:
    """Columns of text, the first to the left and the others to the right."""
    lines = [list(table.header), *([shown(cell) for cell in row] for row in table.rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def shown(cell: Cell) -> str:
    """A cell as text.

    Example:
        >>> shown(0.123456), shown(1234567), shown(None), shown("a")
        ('0.1235', '1,234,567', '–', 'a')
    """
    if cell is None or cell != cell:  # nan
        return "–"
    if isinstance(cell, str):
        return cell
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.4g}"


def _command() -> str:
    """The command that repeats the measurement."""
    name = Path(sys.argv[0]).stem
    rest = [argument for argument in sys.argv[1:] if argument != "--markdown"]
    return shlex.join(["python", "-m", f"benchmarks.{name}", *rest])
