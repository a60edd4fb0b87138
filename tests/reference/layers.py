"""The operations of `tinyunet.layers` from their definitions: NumPy loops over pixels, any number of axes of space."""

import itertools

import numpy as np


def positions(space):
    """Every position of a map."""
    return itertools.product(*(range(size) for size in space))


def convolve(x, kernel, bias, padding):
    """Every pixel times the kernel's pixels around it, zeros outside; the window's centre is at (size - 1) // 2."""
    *window, _, features = kernel.shape
    space = x.shape[1:-1]
    lost = [size - 1 if padding == "valid" else 0 for size in window]
    origin = [0 if padding == "valid" else (size - 1) // 2 for size in window]
    y = np.zeros((len(x), *(s - n for s, n in zip(space, lost, strict=True)), features))
    for p in positions(y.shape[1:-1]):
        y[(slice(None), *p)] = bias
        for q in positions(window):
            at = tuple(i + j - o for i, j, o in zip(p, q, origin, strict=True))
            if all(0 <= i < size for i, size in zip(at, space, strict=True)):
                y[(slice(None), *p)] += x[(slice(None), *at)] @ kernel[q]
    return y


def max_pool(x):
    """The largest of every whole window of two pixels along each axis."""
    y = np.zeros((len(x), *(size // 2 for size in x.shape[1:-1]), x.shape[-1]), x.dtype)
    for p in positions(y.shape[1:-1]):
        window = tuple(slice(2 * i, 2 * i + 2) for i in p)
        y[(slice(None), *p)] = x[(slice(None), *window)].max(axis=tuple(range(1, x.ndim - 1)))
    return y


def conv_transpose(x, kernel, bias):
    """Every pixel becomes a block of two along each axis, the kernel turned over; blocks do not overlap."""
    *window, _, features = kernel.shape
    y = np.zeros((len(x), *(2 * size for size in x.shape[1:-1]), features))
    for p in positions(x.shape[1:-1]):
        for q in positions(window):
            at = tuple(2 * i + j for i, j in zip(p, q, strict=True))
            y[(slice(None), *at)] = bias + x[(slice(None), *p)] @ kernel[tuple(1 - j for j in q)]
    return y


def depth_to_space(x):
    """Pixel q of a block is the q-th group of channels, the last axis of space varying fastest."""
    n = x.ndim - 2
    features = x.shape[-1] // 2**n
    y = np.zeros((len(x), *(2 * size for size in x.shape[1:-1]), features), x.dtype)
    for p in positions(x.shape[1:-1]):
        for group, q in enumerate(positions((2,) * n)):
            at = tuple(2 * i + j for i, j in zip(p, q, strict=True))
            y[(slice(None), *at)] = x[(slice(None), *p)][:, group * features : (group + 1) * features]
    return y


def bilinear(x):
    """Linear interpolation at positions (j + 1/2) / 2 - 1/2, which are held within the first and last pixel."""
    space = x.shape[1:-1]
    y = np.zeros((len(x), *(2 * size for size in space), x.shape[-1]))
    for p in positions(y.shape[1:-1]):
        at = [min(max((j + 0.5) / 2 - 0.5, 0), size - 1) for j, size in zip(p, space, strict=True)]
        for corner in positions((2,) * len(space)):
            weight = np.prod([1 - abs(a - int(a) - c) for a, c in zip(at, corner, strict=True)])
            if weight:
                pixel = tuple(int(a) + c for a, c in zip(at, corner, strict=True))
                y[(slice(None), *p)] += weight * x[(slice(None), *pixel)]
    return y
