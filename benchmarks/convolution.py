"""How fast are a 3×3 convolution and its two gradients, and how near to what the machine can do?"""

import argparse
import dataclasses
import functools
import importlib.util
import math
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from benchmarks.measure import Call, Spread, cores, machine, nothing
from benchmarks.present import Table, add_output_options, present
from benchmarks.workers import Conditions, JaxCalls, Make, Measured, Work, compare

QUESTION = "3×3 convolution"
OURS = "tinyunet"
PEERS = (OURS, "XLA", "PyTorch channels_last", "PyTorch channels_first")
OPERATIONS = ("forward", "gradient of the input", "gradient of the kernel")
PRODUCT, COPY = "matrix product", "copy"


@dataclass(frozen=True)
class Shape:
    """A convolution that keeps the size.

    Args:
        batch: Images.
        size: Their height and width in pixels.
        channels: Of the input.
        features: Of the result.
    """

    batch: int
    size: int
    channels: int
    features: int

    @property
    def title(self) -> str:
        """In the manner of 4×256²×32→16."""
        return f"{self.batch}×{self.size}²×{self.channels}→{self.features}"

    @property
    def operations(self) -> int:
        """Additions and multiplications of the result, and as many of each gradient; borders are counted in full."""
        return 2 * 9 * self.batch * self.size**2 * self.channels * self.features

    def data(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Map (b, h, w, c), kernel (3, 3, c, d) and the result's gradient (b, h, w, d), of noise, float32."""
        noise = np.random.default_rng(0).standard_normal
        maps = (self.batch, self.size, self.size)
        sizes = ((*maps, self.channels), (3, 3, self.channels, self.features), (*maps, self.features))
        x, kernel, dy = (noise(size, dtype=np.float32) for size in sizes)
        return x, kernel, dy


@dataclass(frozen=True)
class Workload:
    """What is computed where.

    Args:
        shapes: The convolutions.
        side: Of the square matrices whose product shows what the machine can do.
        copied: Bytes of a copy that shows the same, more than any cache holds.
        dtype: Of convolutions and matrices.
        card: On a graphics card, whose calls are waited for together.
    """

    shapes: tuple[Shape, ...]
    side: int = 1024
    copied: int = 2**28
    dtype: str = "float32"
    card: bool = False


PROCESSOR = Workload(
    (Shape(4, 256, 32, 16), Shape(4, 128, 64, 32), Shape(4, 64, 32, 64), Shape(4, 256, 8, 8), Shape(4, 32, 64, 64))
)
CARD = Workload(
    (
        Shape(16, 256, 64, 64),
        Shape(16, 256, 128, 64),
        Shape(16, 128, 128, 128),
        Shape(16, 64, 256, 256),
        Shape(16, 32, 512, 512),
        Shape(16, 256, 32, 16),
    ),
    side=8192,
    copied=2**31,
    dtype="bfloat16",
    card=True,
)


def kind(shape: Shape, operation: str) -> str:
    """What is timed, in words."""
    return f"{shape.title}, {operation}"


# Libraries are imported inside: a peer's process imports this file, and must load its own alone.


def make_jax(workload: Workload, *, native: bool) -> Work:
    """What is timed of this project, or of XLA alone and then of the machine too."""
    import jax
    import jax.numpy as jnp

    from tinyunet.layers.conv import convolve, convolve_by_xla

    timed = JaxCalls(card=workload.card)

    def forward(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
        return convolve(x, kernel, bias) if native else convolve_by_xla(x, None, kernel, bias, padding="same")

    def gradient_of_input(x: jax.Array, kernel: jax.Array, bias: jax.Array, dy: jax.Array) -> jax.Array:
        return jax.vjp(lambda x: forward(x, kernel, bias), x)[1](dy)[0]

    def gradient_of_kernel(x: jax.Array, kernel: jax.Array, bias: jax.Array, dy: jax.Array) -> jax.Array:
        return jax.vjp(lambda kernel: forward(x, kernel, bias), kernel)[1](dy)[0]

    calls: dict[str, Call] = {}
    for shape in workload.shapes:
        x, kernel, dy = (jnp.asarray(array, workload.dtype) for array in shape.data())
        inputs = x, kernel, jnp.zeros(shape.features, workload.dtype)
        functions = (forward, inputs), (gradient_of_input, (*inputs, dy)), (gradient_of_kernel, (*inputs, dy))
        for operation, (function, arguments) in zip(OPERATIONS, functions, strict=True):
            calls[kind(shape, operation)] = timed.call(jax.jit(function), *arguments)
    if not native:
        matrix = jax.random.normal(jax.random.key(0), (workload.side, workload.side), workload.dtype)
        calls[PRODUCT] = timed.call(jax.jit(jnp.dot), matrix, matrix)
        negate = jax.jit(jnp.negative)  # as much read and written as by a copy, which would be no work for XLA
        calls[COPY] = timed.call(negate, jnp.ones(workload.copied // 4)) if workload.card else copy(workload.copied)
    return Work(parameters=0, calls=calls, wait=timed.wait)


def copy(size: int) -> Call:
    """Copies so many bytes, every core its part."""
    source, target = np.zeros((2, size // 4), np.float32)
    source[:] = 1  # so that the memory is really there
    parts = [np.array_split(array, cores()) for array in (target, source)]
    pool = ThreadPoolExecutor(cores())
    return lambda: list(pool.map(np.copyto, *parts))


def make_torch(workload: Workload, *, channels_last: bool) -> Work:
    """What is timed of PyTorch; the gradients by what autograd calls, one at a time."""
    import torch

    torch.set_num_threads(cores())
    torch.backends.cudnn.benchmark = True  # a graphics card's fastest convolution is found by trying, as XLA does
    layout = torch.channels_last if channels_last else torch.contiguous_format
    to = functools.partial(
        torch.Tensor.to, device="cuda" if workload.card else "cpu", dtype=getattr(torch, workload.dtype)
    )

    def forward(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return torch.nn.functional.conv2d(x, kernel, padding=1)

    def backward(x: torch.Tensor, kernel: torch.Tensor, dy: torch.Tensor, which: int) -> torch.Tensor:
        mask = [i == which for i in range(3)]
        arguments = [1, 1], [1, 1], [1, 1], False, [0, 0], 1, mask
        return torch.ops.aten.convolution_backward(dy, x, kernel, None, *arguments)[which]

    calls: dict[str, Call] = {}
    for shape in workload.shapes:
        x, kernel, dy = map(torch.from_numpy, shape.data())
        x, dy = (to(array.permute(0, 3, 1, 2)).contiguous(memory_format=layout) for array in (x, dy))
        kernel = to(kernel.permute(3, 2, 0, 1)).contiguous(memory_format=layout)
        calls[kind(shape, OPERATIONS[0])] = functools.partial(forward, x, kernel)
        for which, operation in enumerate(OPERATIONS[1:]):
            calls[kind(shape, operation)] = functools.partial(backward, x, kernel, dy, which)
    if channels_last:
        matrix = to(torch.randn(workload.side, workload.side))
        calls[PRODUCT] = functools.partial(torch.matmul, matrix, matrix)
    return Work(parameters=0, calls=calls, wait=torch.cuda.synchronize if workload.card else nothing)


def make_peers(names: Sequence[str], workload: Workload) -> dict[str, Make]:
    """How to make each peer's work; what is not installed is left out with a line that says so."""
    found: dict[str, Make] = {"XLA": functools.partial(make_jax, workload, native=False)}
    if importlib.util.find_spec("tinyunet_native") is not None:
        found[OURS] = functools.partial(make_jax, workload, native=True)
    if importlib.util.find_spec("torch") is not None:
        found["PyTorch channels_last"] = functools.partial(make_torch, workload, channels_last=True)
        found["PyTorch channels_first"] = functools.partial(make_torch, workload, channels_last=False)
    for name in names:
        if name not in found:
            reason = "tinyunet-native is" if name == OURS else "torch is"
            way = "./native" if name == OURS else "'tinyunet[bench]'"
            print(f"{name} is skipped: {reason} not installed; pip install {way}.", file=sys.stderr)
    return {name: found[name] for name in names if name in found}


def rate(seconds: Spread, amount: float) -> Spread:
    """An amount for each second, in thousands of millions."""
    return Spread(tuple(amount / one / 1e9 for one in seconds.values))


def ceiling(workload: Workload, measured: Mapping[str, Measured]) -> tuple[Table, float]:
    """What the machine can do, and the GFLOP/s of the fastest matrix product; nan where none was measured."""
    rows, fastest = [], math.nan
    for name, library in (("XLA", "jnp.dot"), ("PyTorch channels_last", "torch.matmul")):
        if name in measured:
            found = rate(measured[name].seconds[PRODUCT], 2 * workload.side**3)
            fastest = found.median if math.isnan(fastest) else max(fastest, found.median)
            rows.append((f"{workload.side}³ matrix product by {library}, GFLOP/s", found.text(digits=1)))
    if "XLA" in measured:
        found = rate(measured["XLA"].seconds[COPY], 2 * workload.copied)
        rows.append((f"copy of {workload.copied >> 20} MiB, GB/s read and written", found.text(digits=1)))
    return Table("The machine", ("", "median (min–max)"), tuple(rows)), fastest


def tabulate(workload: Workload, measured: Mapping[str, Measured], *, instructions: str | None) -> list[Table]:
    """The machine's ceiling, and one table for each operation."""
    machine_table, fastest = ceiling(workload, measured)
    tables = [machine_table]
    for operation in OPERATIONS:
        rows = []
        for shape in workload.shapes:
            what = kind(shape, operation)
            for name, peer in measured.items():
                seconds = peer.seconds[what]
                found = rate(seconds, shape.operations)
                ratio = seconds.over(measured[OURS].seconds[what]).text() if OURS in measured else None
                rows.append((f"{shape.title}, {name}", found.text(digits=1), found.median / fastest, ratio))
        header = ("", "GFLOP/s, median (min–max)", "of the matrix product's", "time ÷ ours, pair by pair")
        kernels = f", tinyunet by kernels for {instructions}" if instructions else ""
        tables.append(Table(f"{operation.capitalize()}{kernels}", header, tuple(rows)))
    return tables


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.convolution", description=__doc__)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="who (default all)")
    parser.add_argument("--rounds", type=int, default=15, help="measurements of each peer (default 15)")
    parser.add_argument("--turn-seconds", type=float, default=0.2, help="how long one works in a turn (default 0.2)")
    parser.add_argument("--card", action="store_true", help="on a graphics card: larger shapes, in bfloat16")
    parser.add_argument("--shrink", type=int, default=1, help="divide height and width by this, for a trial")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    known = CARD if arguments.card else PROCESSOR
    shapes = (dataclasses.replace(shape, size=shape.size // arguments.shrink) for shape in known.shapes)
    workload = dataclasses.replace(known, shapes=tuple(shapes))
    facts, peers = machine(), make_peers(arguments.peers, workload)
    measured = compare(
        peers,
        rounds=arguments.rounds,
        turn_seconds=arguments.turn_seconds,
        conditions=dict.fromkeys(peers, Conditions(memory_kept=True)),
    )
    from tinyunet.layers.paths import instruction_set

    tables = tabulate(workload, measured, instructions=instruction_set() if OURS in measured else None)
    raw = {name: dataclasses.asdict(peer) for name, peer in measured.items()}
    present(arguments, question=QUESTION, machine=facts, tables=tables, raw=raw)


if __name__ == "__main__":
    main()
