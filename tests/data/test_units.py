import pytest

from tinyunet.data.units import micrometres


@pytest.mark.parametrize(
    ("length", "unit", "expected"),
    [
        (1, "µm", 1.0),
        (1, "\u03bcm", 1.0),
        (1, "&#181;m", 1.0),
        (1, "\\u00B5m", 1.0),
        ("0.5", "micron", 0.5),
        (250.0, "nm", 0.25),
        (250, "nanometer", 0.25),
        (2, "mm", 2000.0),
        (2, "millimeter", 2000.0),
        (3, "Å", 3e-4),
        (1, "inch", 25400.0),
        (2, " um ", 2.0),
    ],
)
def test_lengths_in_units_that_are_known(length, unit, expected):
    assert micrometres(length, unit) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("length", "unit"),
    [
        (1, "pixel"),
        (1, ""),
        (1, None),
        (1, "reference frame"),
        (0, "um"),
        (-1, "um"),
        ("nan", "um"),
        ("inf", "um"),
        (float("nan"), "um"),
        (10**400, "um"),
        (1e300, "um"),
        ("one", "um"),
        (None, "um"),
        ((1, 2), "um"),
        ("9" * 100_000, "um"),
    ],
)
def test_everything_else_is_no_length(length, unit):
    assert micrometres(length, unit) is None
