"""How long are a training step and inference, beside plain Flax and PyTorch doing the same?"""

import argparse
import dataclasses
import functools
import importlib.util
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.measure import machine
from benchmarks.peers.case import INFERENCE, STEP, Case
from benchmarks.present import Table, add_output_options, present
from benchmarks.workers import Conditions, Make, Measured, compare

QUESTION = "Training step and inference"
OURS = "tinyunet"
XLA_ALONE = "tinyunet, XLA alone"
KERAS = "Keras on JAX"
TORCH = {
    "PyTorch channels_last": {"channels_last": True},
    "PyTorch channels_first": {"channels_last": False},
    "PyTorch compiled, channels_last": {"channels_last": True, "compiled": True},
    "PyTorch compiled, channels_first": {"channels_last": False, "compiled": True},
}
"""Options of `torch_unet.make`, by name."""
KEPT = ", memory kept"
"""What is added to the name of a PyTorch that keeps the memory it frees, as this project's command line does."""
TORCH_KEPT = {name + KEPT: options for name, options in TORCH.items()}
RUNTIMES = {"ONNX Runtime": "onnxruntime", "OpenVINO": "openvino"}
"""Of inference alone, and the modules of each."""
RIVALS = {
    "PyTorch as it comes": tuple(TORCH),
    "PyTorch with memory kept": tuple(TORCH_KEPT),
    "ONNX Runtime or OpenVINO": tuple(RUNTIMES),
}
"""Of whom the fastest counts, by what they are called together."""
PEERS = (OURS, XLA_ALONE, "plain Flax", KERAS, *TORCH, *TORCH_KEPT, *RUNTIMES)
NEEDS = {
    KERAS: ("keras",),
    **dict.fromkeys((*TORCH, *TORCH_KEPT), ("torch",)),
    **{name: ("torch", "onnxscript", module) for name, module in RUNTIMES.items()},
}
"""Modules of the extra `bench`, by peer."""
SPECIAL = {"unet2015", "large"}
"""Cases that take long and much memory, the second one for graphics cards."""


def preset_case(name: str, *, batch: int, size: int) -> Case:
    """A preset of the product.

    Raises:
        ValueError: The preset has an option that the peers do not transcribe.
    """
    from tinyunet.models.presets import PRESETS, ModelConfig

    config = PRESETS[name]
    names = ("features", "depth", "convs_per_block", "skip", "padding", "norm")
    shared = {name: getattr(config, name) for name in names}
    known = config.skip != "none" and config.norm in ("batch", "none")
    if not known or dataclasses.replace(ModelConfig(), **shared, momentum=config.momentum) != config:
        raise ValueError(f"The peers know batch normalisation, transposed convolution and a skip, got {config}.")
    return Case(**shared, batch=batch, size=size)


def cases() -> dict[str, Case]:
    """The cases by name: three sizes of the seed's network, and presets; those of `SPECIAL` are measured when named."""
    return {
        "seed16": Case(features=16, depth=2, batch=4, size=256),
        "seed8": Case(features=8, depth=2, batch=8, size=128),
        "seed32": Case(features=32, depth=2, batch=2, size=256),
        "tiny": preset_case("tiny", batch=4, size=256),
        "unet2015": preset_case("unet2015", batch=1, size=572),
        "large": Case(features=64, depth=4, convs_per_block=2, batch=16, size=256),
    }


def make_peers(names: Sequence[str], case: Case) -> dict[str, Make]:
    """How to make each peer's work; what is not installed is left out with a line that says so."""
    # Imported here and not above: a peer's process imports this file again, and must load its own libraries alone.
    from benchmarks.peers import ours, plain_flax

    able = []
    for name in names:
        missing = [module for module in NEEDS.get(name, ()) if importlib.util.find_spec(module) is None]
        if missing:
            print(f"{name} is skipped: {missing[0]} is not installed; pip install 'tinyunet[bench]'.", file=sys.stderr)
        elif name == XLA_ALONE and importlib.util.find_spec("tinyunet_native") is None:
            print(f"{name} is skipped: {OURS} is that without tinyunet-native; pip install ./native.", file=sys.stderr)
        else:
            able.append(name)
    found: dict[str, Make] = dict.fromkeys((OURS, XLA_ALONE), functools.partial(ours.make, case))
    found["plain Flax"] = functools.partial(plain_flax.make, case)
    if KERAS in able:
        from benchmarks.peers import keras_unet

        found[KERAS] = functools.partial(keras_unet.make, case)
    if any("torch" in NEEDS.get(name, ()) for name in able):
        from benchmarks.peers import torch_unet

        torches = TORCH | TORCH_KEPT
        found |= {name: functools.partial(torch_unet.make, case, **options) for name, options in torches.items()}
    if any(name in RUNTIMES for name in able):
        from benchmarks.peers import runtimes

        found["ONNX Runtime"] = functools.partial(runtimes.make_onnx_runtime, case)
        found["OpenVINO"] = functools.partial(runtimes.make_openvino, case)
    return {name: found[name] for name in able}


def begin(names: Sequence[str], *, keep_memory: bool) -> dict[str, Conditions]:
    """How each peer's process begins.

    Args:
        names: Of the peers.
        keep_memory: Whether this project keeps the memory it frees; of the others, those do whose name says so.
    """
    kept = {OURS: keep_memory, XLA_ALONE: keep_memory}
    variables = {XLA_ALONE: {"TINYUNET_NATIVE": "off"}}
    return {name: Conditions(kept.get(name, name.endswith(KEPT)), variables.get(name, {})) for name in names}


def add_peer_options(parser: argparse.ArgumentParser) -> None:
    """Who is compared, how long and how."""
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="who (default all)")
    parser.add_argument("--rounds", type=int, default=15, help="measurements of each peer (default 15)")
    parser.add_argument("--turn-seconds", type=float, default=1.0, help="how long one works in a turn (default 1)")
    parser.add_argument(
        "--keep-memory",
        action=argparse.BooleanOptionalAction,
        default=True,
        help=f"whether {OURS} keeps the memory it frees, as its command line does (default yes)",
    )


def add_case_options(parser: argparse.ArgumentParser) -> None:
    """What the cases are changed to."""
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="in what convolutions are computed (default float32; bfloat16 is for graphics cards)",
    )


def measure(arguments: argparse.Namespace, case: Case) -> dict[str, Measured]:
    """Times a case as the options of `add_peer_options` say."""
    peers = make_peers(arguments.peers, case)
    return compare(
        peers,
        rounds=arguments.rounds,
        turn_seconds=arguments.turn_seconds,
        conditions=begin(list(peers), keep_memory=arguments.keep_memory),
    )


def kernels() -> str:
    """What this project computes with, in words."""
    from tinyunet.layers.paths import instruction_set

    found = instruction_set()
    return f"{OURS} by kernels for {found}" if found else f"{OURS} by XLA alone"


def tabulate(case: Case, measured: Mapping[str, Measured]) -> list[Table]:
    """One table for each kind of work; the ratio says how many times our time a peer takes."""
    tables = []
    for kind in (STEP, INFERENCE):
        rows = []
        for name, peer in measured.items():
            if kind not in peer.seconds:
                continue
            seconds = peer.seconds[kind]
            ratio = seconds.over(measured[OURS].seconds[kind]).text() if OURS in measured else None
            first, peak = f"{peer.first_seconds[kind]:.1f}", round(peer.peak_bytes[kind] / 2**20)
            rate = f"{case.operations(kind) / seconds.median / 1e9:.0f}"
            rows.append((name, seconds.text(scale=1000, digits=1), ratio, rate, first, peak, peer.parameters))
        header = (
            "",
            "ms, median (min–max)",
            "÷ ours, pair by pair",
            "GFLOP/s",
            "first call, s",
            "peak MiB",
            "parameters",
        )
        tables.append(Table(f"{kind.capitalize()}, {case.title}, {kernels()}", header, tuple(rows)))
    return tables


def ratio_to_fastest(mine: str, others: Sequence[str], kind: str, measured: Mapping[str, Measured]) -> float | None:
    """Our time over that of the fastest of others, the median of the ratios pair by pair; None if one is missing."""
    spreads = [measured[name].seconds[kind] for name in others if name in measured and kind in measured[name].seconds]
    if mine not in measured or not spreads:
        return None
    return measured[mine].seconds[kind].over(min(spreads, key=lambda spread: spread.median)).median


def summaries(found: Mapping[str, Mapping[str, Measured]]) -> list[Table]:
    """Over all cases: this project's time over that of the fastest of its rivals, one table for each kind of work.

    Args:
        found: What was measured, by case and then by peer.
    """
    tables = []
    for kind in (STEP, INFERENCE):
        rows = []
        for mine in (OURS, XLA_ALONE):
            for words, others in RIVALS.items():
                ratios = [ratio_to_fastest(mine, others, kind, measured) for measured in found.values()]
                mean = None if None in ratios else statistics.geometric_mean(ratios)
                rows += [] if set(ratios) == {None} else [(f"{mine} ÷ {words}", *ratios, mean)]
        title = f"{kind.capitalize()}, our time ÷ that of the fastest (below 1: ours is faster)"
        tables.append(Table(title, ("", *found, "geometric mean"), tuple(rows)))
    return tables


def to_raw(measured: Mapping[str, Measured]) -> dict[str, Any]:
    """Every single measurement, for the JSON file."""
    return {name: dataclasses.asdict(peer) for name, peer in measured.items()}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step", description=__doc__)
    known = cases()
    usual = [name for name in known if name not in SPECIAL]
    said = "which networks (default all but unet2015 and large)"
    parser.add_argument("--cases", nargs="+", choices=known, default=usual, help=said)
    add_peer_options(parser)
    add_case_options(parser)
    parser.add_argument("--shrink", type=int, default=1, help="divide height and width by this, for a trial")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    facts, tables, found = machine(), [], {}
    for name in arguments.cases:
        case = dataclasses.replace(known[name].shrunk(arguments.shrink), dtype=arguments.dtype)
        found[name] = measure(arguments, case)
        tables += tabulate(case, found[name])
    raw = {name: to_raw(measured) for name, measured in found.items()}
    present(arguments, question=QUESTION, machine=facts, tables=tables + summaries(found), raw=raw)


if __name__ == "__main__":
    main()
