"""The operations of `tinyunet.layers` from their definitions: NumPy loops over pixels, any number of axes of space."""

import itertools

import numpy as np


def positions(space):
    """Every position of a map."""
    return itertools.product(*(range(size) for size in space))


def enlarged(x, block):
    """The sizes of a map whose pixels have become blocks."""
    return (step * size for step, size in zip(block, x.shape[1:-1], strict=True))


def inside(p, q, block):
    """Where pixel q of the block of pixel p lies."""
    return tuple(s * i + j for i, j, s in zip(p, q, block, strict=True))


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


def max_pool(x, steps):
    """The largest of every whole window of as many pixels along each axis."""
    space = (size // step for size, step in zip(x.shape[1:-1], steps, strict=True))
    y = np.zeros((len(x), *space, x.shape[-1]), x.dtype)
    for p in positions(y.shape[1:-1]):
        window = tuple(slice(s * i, s * i + s) for i, s in zip(p, steps, strict=True))
        y[(slice(None), *p)] = x[(slice(None), *window)].max(axis=tuple(range(1, x.ndim - 1)))
    return y


def conv_transpose(x, kernel, bias):
    """Every pixel becomes a block of the window's size, the kernel turned over; blocks do not overlap."""
    *window, _, features = kernel.shape
    y = np.zeros((len(x), *enlarged(x, window), features))
    for p in positions(x.shape[1:-1]):
        for q in positions(window):
            turned = tuple(s - 1 - j for s, j in zip(window, q, strict=True))
            y[(slice(None), *inside(p, q, window))] = bias + x[(slice(None), *p)] @ kernel[turned]
    return y


def depth_to_space(x, block):
    """Pixel q of a block is the q-th group of channels, the last axis of space varying fastest."""
    features = x.shape[-1] // np.prod(block)
    y = np.zeros((len(x), *enlarged(x, block), features), x.dtype)
    for p in positions(x.shape[1:-1]):
        for group, q in enumerate(positions(block)):
            part = x[(slice(None), *p)][:, group * features : (group + 1) * features]
            y[(slice(None), *inside(p, q, block))] = part
    return y


def bilinear(x, factors):
    """Linear interpolation at positions (j + 1/2) / factor - 1/2, held within the first and last pixel."""
    space = x.shape[1:-1]
    y = np.zeros((len(x), *enlarged(x, factors), x.shape[-1]))
    for p in positions(y.shape[1:-1]):
        axes = zip(p, factors, space, strict=True)
        at = [min(max((j + 0.5) / factor - 0.5, 0), size - 1) for j, factor, size in axes]
        for corner in positions((2,) * len(space)):
            weight = np.prod([1 - abs(a - int(a) - c) for a, c in zip(at, corner, strict=True)])
            if weight:
                pixel = tuple(int(a) + c for a, c in zip(at, corner, strict=True))
                y[(slice(None), *p)] += weight * x[(slice(None), *pixel)]
    return y
