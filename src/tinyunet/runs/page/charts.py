"""Curves for the report: numbers in, the geometry of a small SVG out; the template draws it.

Only geometry is made here. Colours are the page's own, so that a curve is as readable in the dark as on paper, and text
goes through the template, which escapes it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 440, 250  # SVG units; about CSS pixels on a laptop, a little less than that on a phone
LEFT, RIGHT, TOP, BOTTOM = 48, 96, 20, 38  # margins: tick labels left and below, the curves' names on the right
_NO_NAMES = 16  # the margin on the right where the curves have no names
_LABEL_HEIGHT = 14
_MOST_POINTS = 160


@dataclass(frozen=True, kw_only=True)
class Series:
    """Numbers to be drawn as one curve.

    Attributes:
        name: Stands at the end of the curve.
        points: (x, y), x rising; a y that is None or not finite leaves a gap.
        dots: Whether each point is drawn too, which suits few points.
    """

    name: str
    points: tuple[tuple[float, float | None], ...]
    dots: bool = False


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One drawn curve, in SVG units.

    Attributes:
        name: What it shows.
        line: Path through the points.
        band: Path round the least and greatest values where several points were drawn as one; empty if none were.
        dots: (x, y, text) of each dot.
        label_y: Where the name stands.
    """

    name: str
    line: str
    band: str
    dots: tuple[tuple[float, float, str], ...]
    label_y: float


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawn chart, in SVG units.

    Attributes:
        title: What it shows.
        x_label: Name of the horizontal axis.
        curves: The curves.
        x_ticks: (x, text) along the bottom.
        y_ticks: (y, text) along the left.
        mark: (x, text) of a vertical line, or None.
        width: Of the whole drawing.
        height: Of the whole drawing.
        left: Where the vertical axis stands.
        right: Where the curves end and their names begin.
        top: Upper end of the vertical axis.
        bottom: Where the horizontal axis lies.
    """

    title: str
    x_label: str
    curves: tuple[Curve, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    mark: tuple[float, str] | None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


@dataclass(frozen=True)
class Scale:
    """A line from numbers to SVG units: `low` comes to lie at `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Where a number lies.

        Example:
            >>> Scale(0, 10, 100, 200)(5), Scale(1, 100, 0, 10, logarithmic=True)(10)
            (150.0, 5.0)
        """
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 2)


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_range: tuple[float, float] | None = None,
    logarithmic: bool = False,
    mark: tuple[float, str] | None = None,
) -> Chart | None:
    """Draw curves over one pair of axes.

    The horizontal axis begins at zero. A curve of more than 160 points is drawn through the means of as many equal
    groups, with a band from the least to the greatest value of each.

    Args:
        series: The curves; those without a finite value are left out.
        title: What the chart shows.
        x_label: Name of the horizontal axis.
        y_range: Least and greatest value of the vertical axis. None: from zero, or the least value below it, to a
            round number above the greatest.
        logarithmic: Whether the vertical axis may be logarithmic instead; it is if all values are positive and span
            more than a factor of 10.
        mark: Place and text of a vertical line.

    Returns:
        The chart, or None if there is nothing to draw.

    Example:
        >>> chart = line_chart([Series(name="loss", points=((0, 1.0), (10, 0.5)))], title="Loss", x_label="step")
        >>> chart.curves[0].line
        'M48 20L344 116'
    """
    grouped = {one: _grouped(one.points) for one in series}
    grouped = {one: groups for one, groups in grouped.items() if groups}
    if not grouped:
        return None
    every = [group for groups in grouped.values() for group in groups]
    xs = [0.0, *(x for x, *_ in every), *([mark[0]] if mark else [])]
    low, high = y_range or (min(group[2] for group in every), max(group[3] for group in every))
    logarithmic = logarithmic and 0 < 10 * low < high
    if y_range is None and not logarithmic:
        low, high = _rounded(*_apart(min(low, 0.0), max(high, 0.0)))
    right = WIDTH - (RIGHT if any(one.name for one in grouped) else _NO_NAMES)
    x_scale = Scale(*_apart(min(xs), max(xs)), LEFT, right)
    y_scale = Scale(low, high, HEIGHT - BOTTOM, TOP, logarithmic)
    curves = [_curve(one, groups, x_scale, y_scale) for one, groups in grouped.items()]
    return Chart(
        title=f"{title} (logarithmic scale)" if logarithmic else title,
        x_label=x_label,
        curves=_spread(curves),
        x_ticks=tuple((x_scale(tick), f"{tick:,g}") for tick in _ticks(x_scale)),
        y_ticks=tuple((y_scale(tick), f"{tick:g}") for tick in _ticks(y_scale)),
        mark=(x_scale(mark[0]), mark[1]) if mark else None,
        right=right,
    )


def _grouped(points: tuple[tuple[float, float | None], ...]) -> list[tuple[float, float, float, float]]:
    """(x, mean, least, greatest) of up to 160 groups of neighbouring points; what is not finite is left out."""
    finite = [(x, y) for x, y in points if y is not None and math.isfinite(y)]
    count = min(len(finite), _MOST_POINTS)
    groups = [finite[i * len(finite) // count : (i + 1) * len(finite) // count] for i in range(count)]
    return [
        (sum(x for x, _ in group) / len(group), sum(ys) / len(ys), min(ys), max(ys))
        for group in groups
        for ys in [[y for _, y in group]]
    ]


def _curve(series: Series, groups: list[tuple[float, float, float, float]], x_scale: Scale, y_scale: Scale) -> Curve:
    line = [(x_scale(x), y_scale(mean)) for x, mean, _, _ in groups]
    upper = [(x_scale(x), y_scale(greatest)) for x, _, _, greatest in groups]
    lower = [(x_scale(x), y_scale(least)) for x, _, least, _ in groups]
    dots = zip(line, groups, strict=True) if series.dots or len(groups) == 1 else ()
    return Curve(
        name=series.name,
        line=_path(line),
        band=_path([*upper, *reversed(lower)]) + "Z" if upper != lower else "",
        dots=tuple((x, y, f"{series.name}: {group[1]:.4g} at {group[0]:,g}") for (x, y), group in dots),
        label_y=line[-1][1],
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def _apart(low: float, high: float) -> tuple[float, float]:
    """The two ends of an axis, moved apart where they coincide."""
    return (low, high) if high > low else (low, low + 1)


def _rounded(low: float, high: float) -> tuple[float, float]:
    """The ends of an axis moved outwards to its next ticks."""
    step = _step(low, high)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def _step(low: float, high: float) -> float:
    """The distance of about five ticks: 1, 2 or 5 times a power of ten."""
    span = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(span))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= span * 0.999)


def _ticks(scale: Scale) -> list[float]:
    """Round numbers on an axis: evenly spaced, or powers of ten, with three times these between few, if logarithmic."""
    if scale.logarithmic:
        decades = range(math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high)) + 1)
        factors = (1,) if len(decades) > 4 else (1, 3)
        ticks = [float(f"{factor}e{decade}") for decade in decades for factor in factors]
        ticks = ticks[:: math.ceil(len(ticks) / 8)]
        return [tick for tick in ticks if scale.low <= tick <= scale.high]
    step = _step(scale.low, scale.high)
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def _spread(curves: list[Curve]) -> tuple[Curve, ...]:
    """Move the curves' names apart where they would lie on each other, keeping their order and the chart's height."""
    ys = sorted((curve.label_y, i) for i, curve in enumerate(curves))
    placed: dict[int, float] = {}
    at = float(TOP)
    for y, i in ys:
        at = placed[i] = max(y, at)
        at += _LABEL_HEIGHT
    at = float(HEIGHT - BOTTOM)
    for _, i in reversed(ys):
        at = placed[i] = min(placed[i], at)
        at -= _LABEL_HEIGHT
    return tuple(
        Curve(name=curve.name, line=curve.line, band=curve.band, dots=curve.dots, label_y=round(placed[i], 2))
        for i, curve in enumerate(curves)
    )
