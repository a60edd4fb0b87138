"""How much memory a training takes, as the compiled program itself says, and a plan that fits the machine."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from tinyunet.runs.build import build_model
from tinyunet.runs.config import Config
from tinyunet.runs.plan import Decision, Plan
from tinyunet.runs.request import Request
from tinyunet.training.optimiser import optimiser
from tinyunet.training.state import initial_state
from tinyunet.training.step import Batch, make_step

SHARE = 0.5
"""Share of the installed memory that a step may take; the rest is for images, the system and others."""

MAPS_PER_FEATURE = 200
"""A generous bound on the values a step holds for each pixel and feature of the first stage."""


def bounded_bytes(config: Config) -> int:
    """A generous bound on what a step takes, without compiling it; see `step_bytes`."""
    pixels = config.batches.batch * math.prod(config.patch)
    return 4 * MAPS_PER_FEATURE * pixels * config.model.features * config.model.convs_per_block


def step_bytes(config: Config, *, channels: int, classes: int) -> int:
    """Bytes that one step takes: what the compiled program says of its arguments, its results and all between.

    Args:
        config: Resolved, or with a patch of as many axes as the images have.
        channels: Channels of the images.
        classes: What the network tells apart.
    """
    model, axes = build_model(config.model, classes=classes), len(config.patch)
    descent = optimiser(config.optimiser)
    step = make_step(
        model,
        descent,
        patch=config.patch,
        spacing=config.data.spacing,
        loss_config=config.loss,
        augment_config=config.augment,
        ema_decay=config.optimiser.ema_decay,
    )
    smallest = tuple(topology.smallest_size(1) for topology in config.model.unet().topologies(axes))
    image = _of((1, *smallest, channels), jnp.float32)
    key = _of((2,), jnp.uint32)
    variables = jax.eval_shape(model.init, key, image)
    state = jax.eval_shape(lambda v: initial_state(v, descent), variables)
    size, window = config.batches.batch, config.batches.window_shape(axes)
    number = _of((size,), jnp.int32)
    batch = Batch(
        images=_of((size, *window, channels), jnp.float32),
        labels=_of((size, *window), jnp.int32),
        epoch=number,
        number=number,
    )
    rate = _of((), jnp.float32)
    compiled = jax.jit(step, donate_argnums=0).lower(state, batch, key, rate).compile()
    analysis: Any = compiled.memory_analysis()
    needed = analysis.temp_size_in_bytes + analysis.argument_size_in_bytes + analysis.output_size_in_bytes
    return int(needed - analysis.alias_size_in_bytes)


def _of(shape: tuple[int, ...], dtype: Any) -> Any:
    """Stands for an array in compiling: what its type and shape are, but no values."""
    return jax.ShapeDtypeStruct(shape, dtype)


def fit_memory(plan: Plan, request: Request, *, channels: int, classes: int, installed: int) -> Plan:
    """The plan with a batch, and then a patch, halved until a step fits into half of the installed memory.

    What is free at the moment plays no part: the same machine gives the same plan. A step that a generous bound lets
    fit is not compiled for this. What the user asks for is kept, whether it fits or not.

    Args:
        plan: Made from the data.
        request: What the user asks for.
        channels: Channels of the images.
        classes: What the network tells apart.
        installed: Bytes of memory that the machine has.
    """
    config, limit = plan.config, SHARE * installed
    while bounded_bytes(config) > limit and step_bytes(config, channels=channels, classes=classes) > limit:
        batches = config.batches
        if batches.batch > 1 and not request.holds("batches.batch"):
            changed = dataclasses.replace(batches, batch=batches.batch // 2)
        elif not request.holds("batches.patch") and (patch := _halved(config)) != batches.patch:
            changed = dataclasses.replace(batches, patch=patch)
        else:
            break
        config = dataclasses.replace(config, batches=changed)
    if config == plan.config:
        return plan
    reason = f"so that a step takes at most half of the {installed / 2**30:.0f} GiB of this machine"
    smaller = {
        f"batches.{name}": getattr(config.batches, name)
        for name in ("batch", "patch")
        if getattr(config.batches, name) != getattr(plan.config.batches, name)
    }
    decisions = tuple(
        Decision(one.key, smaller[one.key], reason) if one.key in smaller else one for one in plan.decisions
    )
    return Plan(config, decisions)


def _halved(config: Config) -> tuple[int, ...]:
    """The patch with its longest side halved, as far as the network can take it."""
    patch = list(config.patch)
    multiples = [topology.multiple for topology in config.model.unet().topologies(len(patch))]
    longest = max(range(len(patch)), key=lambda axis: patch[axis])
    half = -(-patch[longest] // 2 // multiples[longest]) * multiples[longest]
    patch[longest] = max(2 * multiples[longest], 8, half)
    return tuple(patch)
