"""Muon for the hidden kernels, AdamW for the rest, with a warm-up and a cosine decay."""

import dataclasses
import functools
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from tinyunet.errors import ConfigError
from tinyunet.training.muon import scale_by_muon


@dataclasses.dataclass(frozen=True)
class OptimiserConfig:
    """How the weights move.

    Attributes:
        kind: `muon` orthogonalises the updates of all kernels but the first and the head's, and leaves the rest to
            Adam; `adamw` leaves all to Adam.
        learning_rate: Peak of the schedule.
        warmup_share: Share of all steps over which the rate rises linearly from zero, in [0, 1).
        weight_decay: Decoupled decay of the kernels, per step relative to the learning rate; biases, scales and
            shifts are not decayed.
        clip_norm: Largest global norm of the gradient.
        ema_decay: Share of the old value that the exponential moving average of the weights keeps at each step, in
            [0, 1). The average is what is validated and saved.
        muon_rms: For `muon`: root mean square of what a step adds to a kernel, in learning rates; Adam's is about 0.3.

    Raises:
        ConfigError: A value out of its range.
    """

    kind: Literal["muon", "adamw"] = "muon"
    learning_rate: float = 3e-3
    warmup_share: float = 0.05
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    ema_decay: float = 0.99
    muon_rms: float = 0.4

    def __post_init__(self) -> None:
        # So written, the conditions catch nan too.
        for name in ("learning_rate", "clip_norm", "muon_rms"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"`optimiser.{name}` must be positive, got {getattr(self, name)}.")
        for name in ("warmup_share", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"`optimiser.{name}` must be in [0, 1), got {getattr(self, name)}.")
        if not self.weight_decay >= 0:
            raise ConfigError(f"`optimiser.weight_decay` must be at least 0, got {self.weight_decay}.")


def learning_rate(step: int, config: OptimiserConfig, *, steps: int) -> float:
    """The learning rate of one step: linear up to the peak, then half a cosine down to a hundredth of it.

        r(s) = peak (s + 1) / w                                                   for s < w
        r(s) = peak (0.01 + 0.99 (1 + cos(pi (s - w) / (steps - w))) / 2)         for s >= w

    with s the steps done before and w = warmup_share * steps, at least 1.

    Args:
        step: Steps done before this one, from 0.
        config: Peak and share of the warm-up.
        steps: All steps of the training, at least 1.

    Example:
        >>> config = OptimiserConfig(learning_rate=1.0, warmup_share=0.1)
        >>> [round(learning_rate(step, config, steps=100), 3) for step in (0, 4, 9, 55, 100)]
        [0.1, 0.5, 1.0, 0.505, 0.01]

    References:
        Loshchilov and Hutter (2017), SGDR, equation 5, without restarts.
    """
    warmup = max(1, round(config.warmup_share * steps))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return config.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


@functools.lru_cache(maxsize=4)
def optimiser(config: OptimiserConfig) -> optax.GradientTransformation:
    """Clipping by the global norm, then Muon's or Adam's direction and the decay, to be multiplied by minus the rate.

    The rate is an argument of the step and not part of the program, so that one compiled program serves trainings of
    any length.

    References:
        Loshchilov and Hutter (2019), Decoupled weight decay regularization, algorithm 2; for Muon see
        `tinyunet.training.muon`.
    """
    hidden = optax.scale_by_adam() if config.kind == "adamw" else scale_by_muon(rms=config.muon_rms)
    return optax.chain(
        optax.stateless(lambda gradients, _: _clip(gradients, config.clip_norm)),
        optax.partition({True: hidden, False: optax.scale_by_adam()}, is_hidden),
        optax.add_decayed_weights(config.weight_decay, mask=_is_kernel),
    )


def _clip(gradients: optax.Updates, most: float) -> optax.Updates:
    """Scaled to a global norm of at most `most`.

    Unlike `optax.clip_by_global_norm`, by one factor for all, which is multiplied in wherever a gradient is used; what
    divides every leaf and then chooses is stored first, by programs that have to be compiled.
    """
    factor = jnp.minimum(1.0, most / optax.tree.norm(gradients))
    return jax.tree.map(lambda g: factor * g, gradients)


def is_hidden(params: optax.Params) -> optax.Params:
    """Marks the kernels between the first convolution and the head, which a segmenter names `head`.

    What Muon holds for, that all directions of a layer's input and output matter alike, is not so of pixels and of
    logits, one of whose directions changes nothing.
    """

    def hidden(path: tuple[jax.tree_util.DictKey, ...], p: Any) -> bool:
        names = [key.key for key in path]
        return p.ndim > 1 and "head" not in names and names[-3:] != ["ConvBlock_0", "Conv_0", "kernel"]

    return jax.tree_util.tree_map_with_path(hidden, params)


def _is_kernel(params: optax.Params) -> optax.Params:
    """Marks the weights with more than one axis: kernels, not biases, scales and shifts."""
    return jax.tree.map(lambda p: p.ndim > 1, params)
