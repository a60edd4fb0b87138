"""Which axis of a stored array is which: declared by letters, z, y, x for space and c for channels."""

import numpy as np
from jaxtyping import Shaped

from tinyunet.data.header import Unreadable
from tinyunet.errors import ConfigError

SPACE = "zyx"
_DECLARE = 'set axes in dataset.toml, such as axes = "zyx" for volumes or axes = "yxc" for images with channels'


def check_axes(axes: str, *, where: str) -> str:
    """The letters themselves, in lower case.

    Args:
        axes: y and x once each, z and c at most once, in the order in which the files hold them; "" for none.
        where: Who said it, for the message.

    Raises:
        ConfigError: Other letters, a letter twice, or no y and x.

    Example:
        >>> check_axes("ZYX", where="dataset.toml")
        'zyx'
    """
    letters = axes.lower()
    if letters and (len({*letters}) < len(letters) or not {*"yx"} <= {*letters} <= {*"czyx"}):
        raise ConfigError(
            f"{where}: `axes` must hold y and x, and may hold z (slices) and c (channels), each once and in the order "
            f'the files are stored in, such as "zyx"; got {axes!r}.'
        )
    return letters


def letters_of(shape: tuple[int, ...], axes: str) -> str:
    """The letter of each axis of a stored array.

    Where nothing is declared, two axes are an image and three are one with its channels last. An array of one axis
    less than declared has no channels, as masks have none; one of one axis more has them last.

    Args:
        shape: Of the array.
        axes: As declared; "" where nothing is.

    Raises:
        Unreadable: The array has another number of axes.

    Example:
        >>> letters_of((64, 64, 3), ""), letters_of((16, 64, 64), "czyx"), letters_of((16, 64, 64, 2), "zyx")
        ('yxc', 'zyx', 'zyxc')
    """
    space = (axes or "yx").replace("c", "")
    for candidate in (axes, space, space + "c"):
        if candidate and len(candidate) == len(shape):
            return candidate
    if axes:
        raise Unreadable(f'has the shape {shape}, which does not fit axes = "{axes}" of dataset.toml.')
    raise Unreadable(f"has the shape {shape}; save (height, width) or (height, width, channels), or {_DECLARE}.")


def channels_last(array: Shaped[np.ndarray, "..."], letters: str) -> Shaped[np.ndarray, "*space c"]:
    """An array with its axes in the order z, y, x, c; a channel axis is added where there is none.

    Args:
        array: As stored.
        letters: One for each axis.

    Example:
        >>> channels_last(np.zeros((2, 5, 7)), "cyx").shape, channels_last(np.zeros((7, 5)), "xy").shape
        ((5, 7, 2), (5, 7, 1))
    """
    order = [letters.index(letter) for letter in (*SPACE, "c") if letter in letters]
    array = array.transpose(order)
    return array if "c" in letters else array[..., np.newaxis]
