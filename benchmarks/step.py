"""How long are a training step and inference, beside plain Flax and PyTorch doing the same?"""

import argparse
import dataclasses
import functools
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.measure import machine
from benchmarks.peers.case import INFERENCE, STEP, Case
from benchmarks.present import Table, add_output_options, present
from benchmarks.workers import Make, Measured, compare

QUESTION = "Training step and inference"
OURS = "tinyunet"
PEERS = (OURS, "plain Flax", "PyTorch channels_last", "PyTorch NCHW")


def tiny_case(*, batch: int = 4, size: int = 256) -> Case:
    """The product's default network at its default batch.

    Raises:
        ValueError: The preset has an option that the peers do not transcribe.
    """
    from tinyunet.models.presets import PRESETS, ModelConfig

    config = PRESETS["tiny"]
    shared = {name: getattr(config, name) for name in ("features", "depth", "convs_per_block", "skip")}
    if dataclasses.replace(ModelConfig(), **shared, momentum=config.momentum) != config or config.skip == "none":
        raise ValueError(f"The peers know batch normalisation, transposed convolution and a skip, got {config}.")
    return Case(**shared, batch=batch, size=size)


def cases() -> dict[str, Case]:
    """The cases by name: three sizes of the seed's network, and the preset `tiny`."""
    return {
        "seed16": Case(features=16, depth=2, batch=4, size=256),
        "seed8": Case(features=8, depth=2, batch=8, size=128),
        "seed32": Case(features=32, depth=2, batch=2, size=256),
        "tiny": tiny_case(),
    }


def make_peers(names: Sequence[str], case: Case) -> dict[str, Make]:
    """How to make each peer's work; PyTorch is left out, saying so, where it is not installed."""
    # Imported here and not above: a peer's process imports this file again, and must load its own libraries alone.
    from benchmarks.peers import ours, plain_flax

    found: dict[str, Make] = {
        OURS: functools.partial(ours.make, case),
        "plain Flax": functools.partial(plain_flax.make, case),
    }
    if importlib.util.find_spec("torch") is not None:
        from benchmarks.peers import torch_unet

        found["PyTorch channels_last"] = functools.partial(torch_unet.make, case, channels_last=True)
        found["PyTorch NCHW"] = functools.partial(torch_unet.make, case, channels_last=False)
    for name in names:
        if name not in found:
            print(f"{name} is skipped: torch is not installed; pip install 'tinyunet[bench]'.", file=sys.stderr)
    return {name: found[name] for name in names if name in found}


def tabulate(case: Case, measured: Mapping[str, Measured]) -> list[Table]:
    """One table for each kind of work; the ratio says how many times our time a peer takes."""
    tables = []
    for kind in (STEP, INFERENCE):
        rows = []
        for name, peer in measured.items():
            seconds = peer.seconds[kind]
            ratio = seconds.over(measured[OURS].seconds[kind]).text() if OURS in measured else None
            first, peak = f"{peer.first_seconds[kind]:.1f}", round(peer.peak_bytes[kind] / 2**20)
            rows.append((name, seconds.text(scale=1000, digits=1), ratio, first, peak, peer.parameters))
        header = ("", "ms, median (min–max)", "÷ ours, pair by pair", "first call, s", "peak MiB", "parameters")
        tables.append(Table(f"{kind.capitalize()}, {case.title}", header, tuple(rows)))
    return tables


def to_raw(measured: Mapping[str, Measured]) -> dict[str, Any]:
    """Every single measurement, for the JSON file."""
    return {name: dataclasses.asdict(peer) for name, peer in measured.items()}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step", description=__doc__)
    known = cases()
    parser.add_argument("--cases", nargs="+", choices=known, default=list(known), help="which networks (default all)")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="who (default all)")
    parser.add_argument("--rounds", type=int, default=15, help="measurements of each peer (default 15)")
    parser.add_argument("--turn-seconds", type=float, default=1.0, help="how long one works in a turn (default 1)")
    parser.add_argument("--shrink", type=int, default=1, help="divide height and width by this, for a trial")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    facts, tables, raw = machine(), [], {}
    for name in arguments.cases:
        case = dataclasses.replace(known[name], size=known[name].size // arguments.shrink)
        peers = make_peers(arguments.peers, case)
        measured = compare(peers, rounds=arguments.rounds, turn_seconds=arguments.turn_seconds)
        tables += tabulate(case, measured)
        raw[name] = to_raw(measured)
    present(arguments, question=QUESTION, machine=facts, tables=tables, raw=raw)


if __name__ == "__main__":
    main()
