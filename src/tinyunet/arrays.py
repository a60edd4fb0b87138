"""The vocabulary of array shapes: one letter for an axis, the same everywhere.

    b  batch            z y x  volume axes, slowest first      h w  image axes
    c  image channels   d      features                        k    classes
    t  diffusion time   n      objects or tiles

Channels come last. ``*space`` stands for the axes of an image (h w) or of a volume (z y x).

    logits     unnormalised scores, float           probabilities  in [0, 1], summing to one over k
    labels     integer class ids, -1 is ignored     mask           boolean
"""

from jaxtyping import Array, Bool, Float, Int, Key, UInt32

Batch = Float[Array, "b *space c"]
"""A batch of images or volumes."""

Features = Float[Array, "b *space d"]
"""A batch of feature maps."""

Logits = Float[Array, "b *space k"]
"""Scores of each class, before the softmax."""

Labels = Int[Array, "b *space"]
"""Class ids; -1 takes no part."""

Valid = Bool[Array, "b *space 1"]
"""Which pixels of a tile lie inside the image."""

PRNGKey = Key[Array, ""] | UInt32[Array, "2"]
"""A random key, typed or raw."""

__all__ = ["Array", "Batch", "Bool", "Features", "Float", "Int", "Labels", "Logits", "PRNGKey", "Valid"]
