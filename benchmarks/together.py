"""Do the networks of several folds train faster one after another, or together in one program?"""

import argparse
import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measure import Call, in_turn, machine
from benchmarks.present import Table, add_output_options, present
from tinyunet.runs.build import build_model
from tinyunet.runs.config import Config
from tinyunet.training.optimiser import optimiser
from tinyunet.training.state import initial_state, initial_variables
from tinyunet.training.step import Batch, make_step


def make_calls(*, folds: int, patch: int, features: int) -> dict[str, Call]:
    """One step of every fold, in turn and vectorised over the folds.

    Args:
        folds: Number of networks.
        patch: Height and width of a patch in pixels.
        features: Channels of the network's first stage.
    """
    config = Config()
    model = build_model(dataclasses.replace(config.model, features=features), classes=2)
    descent = optimiser(config.optimiser)
    step = make_step(
        model,
        descent,
        patch=(patch, patch),
        loss_config=config.loss,
        augment_config=config.augment,
        ema_decay=config.optimiser.ema_decay,
    )
    states = [initial_state(initial_variables(model, k, channels=1, shape=(16, 16)), descent) for k in range(folds)]
    rng, size, window = np.random.default_rng(0), config.batches.batch, patch + patch // 4
    batch = Batch(
        images=jnp.asarray(rng.standard_normal((size, window, window, 1), dtype=np.float32)),
        labels=jnp.asarray(rng.integers(0, 2, (size, window, window), dtype=np.int32)),
        epoch=jnp.zeros(size, jnp.int32),
        number=jnp.arange(size, dtype=jnp.int32),
    )
    key, rate = jax.random.PRNGKey(0), jnp.float32(1e-3)
    alone, together = jax.jit(step), jax.jit(jax.vmap(step, in_axes=(0, None, None, None)))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    return {
        "one after another": lambda: [jax.block_until_ready(alone(state, batch, key, rate)) for state in states],
        "together": lambda: jax.block_until_ready(together(stacked, batch, key, rate)),
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.together", description=__doc__)
    parser.add_argument("--folds", type=int, default=4, help="number of networks (default 4)")
    parser.add_argument("--patches", type=int, nargs="+", default=[32, 64, 256], help="sides (default 32 64 256)")
    parser.add_argument("--features", type=int, default=8, help="channels of the first stage (default 8)")
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each (default 7)")
    parser.add_argument("--turn-seconds", type=float, default=0.3, help="how long one runs in a turn (default 0.3)")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    facts = machine()
    rows, raw = [], {}
    for patch in arguments.patches:
        calls = make_calls(folds=arguments.folds, patch=patch, features=arguments.features)
        found = in_turn(calls, rounds=arguments.rounds, turn_seconds=arguments.turn_seconds)
        apart, together = found.values()
        shown = [spread.text(scale=1000, digits=0) for spread in (apart, together)]
        rows.append((f"{patch}²", *shown, together.over(apart).text()))
        raw[str(patch)] = {name: spread.values for name, spread in found.items()}
    header = ("patch", "one after another, ms", "together, ms", "÷ one after another")
    title = f"A step of {arguments.folds} networks of {arguments.features} features, two patches each"
    present(arguments, question="Folds together", machine=facts, tables=[Table(title, header, tuple(rows))], raw=raw)


if __name__ == "__main__":
    main()
