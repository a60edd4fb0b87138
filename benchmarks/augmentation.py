"""How long does augmenting a batch take, and which part of it?"""

import argparse
import functools
from collections.abc import Sequence

import jax
import numpy as np

from benchmarks.measure import Call, in_turn, machine
from benchmarks.present import Table, add_output_options, present
from tinyunet.data.augment.compose import AugmentConfig, augment

NO_WARP = {"warp_probability": 0.0}
NO_GREY = dict.fromkeys(("gamma", "contrast", "brightness", "blur_px", "noise"), 0.0)

VARIANTS = {
    "cut only": AugmentConfig(flips=False, quarter_turns=False, **NO_WARP, **NO_GREY),
    "flips and turns": AugmentConfig(**NO_WARP, **NO_GREY),
    "flips, turns, affine": AugmentConfig(elastic_px=0.0, **NO_GREY),
    "flips, turns, affine, elastic": AugmentConfig(**NO_GREY),
    "grey values only": AugmentConfig(flips=False, quarter_turns=False, **NO_WARP),
    "everything (the default)": AugmentConfig(),
}


def make_calls(*, batch: int, patch: int, margin: int) -> dict[str, Call]:
    """The compiled augmentation of one batch, by variant.

    Args:
        batch: Samples in the batch.
        patch: Height and width of a result in pixels.
        margin: Pixels of context on every side of it.
    """
    window = patch + 2 * margin
    rng = np.random.default_rng(0)
    images = jax.device_put(rng.standard_normal((batch, window, window, 1), dtype=np.float32))
    labels = jax.device_put(rng.integers(0, 2, (batch, window, window), dtype=np.int32))
    keys = jax.random.split(jax.random.PRNGKey(0), batch)

    def call(config: AugmentConfig) -> Call:
        compiled = jax.jit(jax.vmap(functools.partial(augment, config=config, shape=(patch, patch))))
        return lambda: jax.block_until_ready(compiled(keys, images, labels))

    return {name: call(config) for name, config in VARIANTS.items()}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.augmentation", description=__doc__)
    parser.add_argument("--batch", type=int, default=4, help="samples in a batch (default 4)")
    parser.add_argument("--patch", type=int, default=256, help="height and width of a result (default 256)")
    parser.add_argument("--margin", type=int, default=32, help="pixels of context on every side (default 32)")
    parser.add_argument("--rounds", type=int, default=20, help="measurements of each (default 20)")
    parser.add_argument("--turn-seconds", type=float, default=0.3, help="how long one runs in a turn (default 0.3)")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    facts = machine()
    calls = make_calls(batch=arguments.batch, patch=arguments.patch, margin=arguments.margin)
    found = in_turn(calls, rounds=arguments.rounds, turn_seconds=arguments.turn_seconds)
    rows = tuple((name, spread.text(scale=1000, digits=2)) for name, spread in found.items())
    title = f"One batch of {arguments.batch}×{arguments.patch}², {arguments.margin} pixels of context, one channel"
    present(
        arguments,
        question="Augmentation",
        machine=facts,
        tables=[Table(title, ("", "ms, median (min–max)"), rows)],
        raw={name: spread.values for name, spread in found.items()},
    )


if __name__ == "__main__":
    main()
