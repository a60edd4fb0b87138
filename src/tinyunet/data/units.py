"""Lengths as files of microscopes give them, in micrometres."""

import html

_MICROMETRES = {
    1e-6: ("pm", "picometer", "picometre"),
    1e-4: ("Å", "angstrom"),
    1e-3: ("nm", "nanometer", "nanometre"),
    1.0: ("µm", "um", "micron", "microns", "micrometer", "micrometre"),
    1e3: ("mm", "millimeter", "millimetre"),
    1e4: ("cm", "centimeter", "centimetre"),
    25.4e3: ("in", "inch"),
    1e6: ("m", "meter", "metre"),
}
_FACTORS = {name: factor for factor, names in _MICROMETRES.items() for name in names}
_BOUNDS = (1e-9, 1e12)


def micrometres(length: object, unit: object) -> float | None:
    r"""A length in micrometres; None where it is no length, absurd, or of a unit that is not known.

    Args:
        length: A number, or a text that is one.
        unit: Its unit's symbol or name; `&#181;`, `\u00B5` and the Greek letter stand for the micro sign too.

    Example:
        >>> micrometres("250", "nm"), micrometres(2, "micrometer"), micrometres(2, "pixel")
        (0.25, 2.0, None)
    """
    name = html.unescape(str(unit)).replace("\\u00B5", "µ").replace("\u03bc", "µ").strip()
    if name not in _FACTORS or not isinstance(length, int | float | str):
        return None
    try:
        size = float(length) * _FACTORS[name]
    except (ValueError, OverflowError):
        return None
    return size if _BOUNDS[0] < size < _BOUNDS[1] else None
