"""Tables as data, and numbers as a reader wants them."""

import math
from dataclasses import dataclass

NOTHING = "–"  # what stands where there is no number


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: What is read.
        value: What is sorted by and, in a column of bars, drawn, or None.
        color: A swatch before the text, or None.
    """

    text: str
    value: float | None = None
    color: str | None = None


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table.

    Attributes:
        head: Its title.
        words: Whether it holds words, which stand left and sort by the alphabet, rather than numbers.
        bars: Whether its numbers, in [0, 1], are drawn as bars too.
    """

    head: str
    words: bool = False
    bars: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with a caption that says what its numbers are averaged over.

    Attributes:
        caption: What the numbers are.
        columns: Its columns.
        rows: As many cells in each as there are columns; the first names the row.
        sortable: Whether the reader may sort it; it starts sorted by the second column, the lowest first.
        note: What else is to be said, below it.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    sortable: bool = False
    note: str = ""


@dataclass(frozen=True)
class Fact:
    """One fact in a list of them.

    Attributes:
        label: What it is about.
        value: What is so.
        note: What the number is taken over, or what it means.
    """

    label: str
    value: str
    note: str = ""


def score_cell(value: float | None) -> Cell:
    """A score in [0, 1] as a cell."""
    return Cell(text=score_text(value), value=value)


def score_text(value: float | None, *, digits: int = 3) -> str:
    """A score, never rounded up to a perfect one.

    Args:
        value: A number in [0, 1], or None or nan where there is no score.
        digits: Digits after the point; one more where fewer would make 1 of it.

    Example:
        >>> score_text(0.9634), score_text(0.9634, digits=2), score_text(0.9972, digits=2)
        ('0.963', '0.96', '0.997')
        >>> score_text(1.0), score_text(0.99999), score_text(None)
        ('1.000', '> 0.999', '–')
    """
    if value is None or math.isnan(value):
        return NOTHING
    text = f"{value:.{digits}f}"
    if value < 1 and float(text) >= 1:
        return score_text(value, digits=3) if digits < 3 else f"> {1 - 10.0**-digits:.{digits}f}"
    return text


def number_text(value: float | None) -> str:
    """A number of any size, in four significant digits.

    Example:
        >>> number_text(0.00031416), number_text(1234567.0), number_text(12.0), number_text(None)
        ('0.0003142', '1,234,567', '12', '–')
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.4g}"


def percent_text(part: float | None) -> str:
    """A part of a whole in per cent, where something is never 0 and something missing never 100.

    Example:
        >>> percent_text(0.2571), percent_text(0.0002), percent_text(0.9999), percent_text(0.0), percent_text(1.0)
        ('25.7 %', '< 0.1 %', '> 99.9 %', '0 %', '100 %')
    """
    if part is None or not math.isfinite(part):
        return NOTHING
    if part in (0, 1):
        return f"{100 * part:.0f} %"
    if part < 0.001:
        return "< 0.1 %"
    if 0.999 < part < 1:
        return "> 99.9 %"
    return f"{100 * part:.1f} %"


def duration_text(seconds: float | None) -> str:
    """A time as a person says it.

    Example:
        >>> duration_text(0.31), duration_text(42.4), duration_text(298.2), duration_text(7383), duration_text(None)
        ('0.3 s', '42 s', '4 min 58 s', '2 h 03 min', '–')
    """
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def bytes_text(size: float | None) -> str:
    """An amount of memory, in units of 1000.

    Example:
        >>> bytes_text(1_412_000_000), bytes_text(8_123_456), bytes_text(None)
        ('1.4 GB', '8.1 MB', '–')
    """
    if size is None or not math.isfinite(size):
        return NOTHING
    unit, name = (1e9, "GB") if size >= 1e9 else (1e6, "MB")
    return f"{size / unit:.1f} {name}"


def counted(number: int, thing: str, things: str | None = None) -> str:
    """A number of things.

    Example:
        >>> counted(1, "image"), counted(1200, "image"), counted(2, "class", "classes")
        ('1 image', '1,200 images', '2 classes')
    """
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"
