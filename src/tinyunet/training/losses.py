"""Losses on logits and labels; pixels with the label -1 take no part."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from tinyunet.errors import ConfigError

SMOOTH = 1.0
"""Pixels added to both sides of the Dice ratio, so that an absent class that is not predicted loses nothing."""


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """What is minimised: `cross_entropy * CE + dice * Dice`.

    Attributes:
        cross_entropy: Weight of the cross-entropy, at least 0.
        dice: Weight of the Dice loss, at least 0; one of the two must be positive.
        class_weights: How much a pixel of each class counts in the cross-entropy: empty for all alike, else one
            positive number for each class.

    Raises:
        ConfigError: A negative weight, or nothing to minimise.
    """

    cross_entropy: float = 1.0
    dice: float = 1.0
    class_weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        # So written, the conditions catch nan too.
        if not (self.cross_entropy >= 0 and self.dice >= 0 and self.cross_entropy + self.dice > 0):
            raise ConfigError(
                f"`loss.cross_entropy` and `loss.dice` must be at least 0 and one of them positive, "
                f"got {self.cross_entropy} and {self.dice}."
            )
        if not all(weight > 0 for weight in self.class_weights):
            raise ConfigError(f"`loss.class_weights` must be positive, got {list(self.class_weights)}.")


def cross_entropy(
    logits: Float[Array, "*pixels k"], labels: Int[Array, "*pixels"], *, class_weights: tuple[float, ...] = ()
) -> Float[Array, ""]:
    """Mean cross-entropy of the labelled pixels.

        CE = sum over p of w_{y_p} (-log softmax(z_p)_{y_p}) / sum over p of w_{y_p}

    with logits z, labels y, class weights w, and p the pixels with y >= 0. Without any such pixel it is 0.

    Args:
        logits: Unnormalised scores.
        labels: Class ids in [0, k), or -1.
        class_weights: One for each class; empty for all alike.

    Raises:
        ValueError: The number of weights is not that of the classes.

    Example:
        >>> cross_entropy(jnp.zeros((2, 2)), jnp.array([0, -1])).round(4)
        Array(0.6931, dtype=float32)
    """
    classes = logits.shape[-1]
    if class_weights and len(class_weights) != classes:
        raise ValueError(f"`class_weights` must have {classes} entries, one for each class, got {len(class_weights)}.")
    # A product with the one-hot truth, because the gradient of an indexed read is a scatter, slow on a CPU.
    truth = jax.nn.one_hot(labels, classes) * jnp.asarray(class_weights or (1.0,) * classes)
    # In float32 whatever the logits come in: bfloat16 would round the logarithm to three digits.
    return -jnp.sum(truth * jax.nn.log_softmax(logits.astype(jnp.float32))) / jnp.maximum(
        jnp.sum(truth), jnp.finfo(jnp.float32).tiny
    )


def dice_loss(logits: Float[Array, "*pixels k"], labels: Int[Array, "*pixels"]) -> Float[Array, ""]:
    """One minus the soft Dice score, mean over the classes, all labelled pixels of the batch taken together.

        D_k = (2 sum over p of s_pk t_pk + 1) / (sum over p of s_pk + sum over p of t_pk + 1),    loss = 1 - mean_k D_k

    with s the softmax of the logits, t the one-hot truth, and p the pixels with a label >= 0. A class absent from the
    truth counts: predicting it lowers its D_k from one.

    Args:
        logits: Unnormalised scores.
        labels: Class ids in [0, k), or -1.

    Example:
        >>> dice_loss(jnp.array([[9.0, -9.0], [-9.0, 9.0]]), jnp.array([0, 1])).round(4)
        Array(0., dtype=float32)

    References:
        Milletari, Navab and Ahmadi (2016), V-Net, section 3, with plain instead of squared sums in the denominator as
        in Isensee et al. (2021), nnU-Net, supplementary note 4.
    """
    truth = jax.nn.one_hot(labels, logits.shape[-1])
    # In float32 whatever the logits come in: a sum of pixels in bfloat16 stands still from 256 on.
    soft = jax.nn.softmax(logits.astype(jnp.float32)) * (labels >= 0)[..., None]
    pixels = tuple(range(labels.ndim))
    overlap = jnp.sum(soft * truth, axis=pixels)
    score = (2 * overlap + SMOOTH) / (jnp.sum(soft, axis=pixels) + jnp.sum(truth, axis=pixels) + SMOOTH)
    return 1 - jnp.mean(score)


def loss(logits: Float[Array, "*pixels k"], labels: Int[Array, "*pixels"], config: LossConfig) -> Float[Array, ""]:
    """The weighted sum that `LossConfig` describes.

    Example:
        >>> logits, labels = jnp.zeros((4, 2)), jnp.array([0, 0, 1, 1])
        >>> loss(logits, labels, LossConfig(dice=0)) == cross_entropy(logits, labels)
        Array(True, dtype=bool)
    """
    total = jnp.zeros(())
    if config.cross_entropy:
        total += config.cross_entropy * cross_entropy(logits, labels, class_weights=config.class_weights)
    if config.dice:
        total += config.dice * dice_loss(logits, labels)
    return total
