import itertools
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.runs.page.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Scale, Series, line_chart

FINITE = st.floats(-1e9, 1e9, allow_subnormal=False)


def draw(*ys, **options):
    series = [Series(name=f"c{i}", points=tuple(enumerate(values))) for i, values in enumerate(ys)]
    return line_chart(series, title="T", x_label="step", **options)


def points(path):
    return [tuple(map(float, pair.split())) for pair in re.split("[ML]", path.rstrip("Z"))[1:]]


def test_points_lie_where_the_axes_say():
    chart = draw([0.0, 0.5, 1.0], y_range=(0.0, 1.0))
    middle = ((LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2)
    assert points(chart.curves[0].line) == [(LEFT, HEIGHT - BOTTOM), middle, (WIDTH - RIGHT, TOP)]
    assert chart.x_ticks[0] == (LEFT, "0")
    assert chart.y_ticks[-1] == (TOP, "1")
    assert [text for _, text in chart.y_ticks] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]


@given(st.lists(FINITE, min_size=1, max_size=400), st.booleans())
def test_every_point_lies_inside_and_ticks_rise(values, logarithmic):
    chart = draw(values, logarithmic=logarithmic)
    curve = chart.curves[0]
    for x, y in [*points(curve.line), *points(curve.band)]:
        assert chart.left <= x <= chart.right
        assert chart.top <= y <= chart.bottom
    assert chart.top <= curve.label_y <= chart.bottom
    heights = [y for y, _ in chart.y_ticks]
    assert heights == sorted(heights, reverse=True)
    assert len(points(curve.line)) <= 160


def test_the_vertical_axis_begins_at_zero_and_ends_at_a_tick():
    chart = draw([3.0, 7.3])
    assert chart.y_ticks[0] == (chart.bottom, "0")
    assert chart.y_ticks[-1] == (chart.top, "8")


def test_a_wide_range_of_positive_values_may_be_logarithmic():
    chart = draw([100.0, 1.0, 10.0], logarithmic=True)
    assert chart.title == "T (logarithmic scale)"
    heights = [y for _, y in points(chart.curves[0].line)]
    assert heights == [chart.top, chart.bottom, (chart.top + chart.bottom) / 2]
    assert [text for _, text in chart.y_ticks] == ["1", "3", "10", "30", "100"]


@pytest.mark.parametrize("values", [[1.0, 9.0], [0.0, 100.0], [-1.0, 100.0]])
def test_others_may_not(values):
    assert draw(values, logarithmic=True).title == "T"


def test_many_points_become_means_with_a_band():
    chart = draw([float(i % 2) for i in range(1600)], y_range=(0.0, 1.0))
    curve = chart.curves[0]
    middle = (chart.top + chart.bottom) / 2
    assert {y for _, y in points(curve.line)} == {middle}
    assert {y for _, y in points(curve.band)} == {chart.top, chart.bottom}


def test_few_points_have_no_band():
    assert draw([1.0, 2.0]).curves[0].band == ""


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_what_is_no_number_is_left_out(missing):
    assert len(points(draw([1.0, missing, 2.0]).curves[0].line)) == 2
    assert draw([missing, missing]) is None
    assert [curve.name for curve in draw([missing], [1.0]).curves] == ["c1"]


def test_nothing_to_draw_is_no_chart():
    assert line_chart([], title="T", x_label="step") is None


def test_one_point_is_a_dot():
    chart = line_chart([Series(name="a", points=((3, 0.25),))], title="T", x_label="step")
    assert [text for _, _, text in chart.curves[0].dots] == ["a: 0.25 at 3"]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_names_do_not_lie_on_each_other(ends):
    chart = draw(*([end] for end in ends), y_range=(0.0, 1.0))
    heights = sorted(curve.label_y for curve in chart.curves)
    assert all(b - a >= 13.99 for a, b in itertools.pairwise(heights))
    assert chart.top <= heights[0]
    assert heights[-1] <= chart.bottom


def test_a_mark_beyond_the_points_widens_the_axis():
    chart = draw([1.0, 2.0], mark=(4.0, "chosen"))
    assert chart.mark == (chart.right, "chosen")


def test_curves_without_names_take_their_room():
    chart = line_chart([Series(name="", points=((0, 1), (1, 2)))], title="T", x_label="step")
    assert chart.right > WIDTH - RIGHT


def test_a_scale_is_a_straight_line():
    scale = Scale(2.0, 4.0, 100.0, 0.0)
    assert [scale(2.0), scale(3.0), scale(4.0)] == [100.0, 50.0, 0.0]
