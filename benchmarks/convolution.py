"""How fast are a 3×3 convolution and its two gradients, and how near to what the machine can do?"""

import argparse
import dataclasses
import functools
import importlib.util
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from benchmarks.measure import Spread, cores, machine
from benchmarks.present import Table, add_output_options, present
from benchmarks.workers import Conditions, Make, Measured, Work, compare

QUESTION = "3×3 convolution"
OURS = "tinyunet"
PEERS = (OURS, "XLA", "PyTorch channels_last", "PyTorch channels_first")
OPERATIONS = ("forward", "gradient of the input", "gradient of the kernel")
PRODUCT, COPY = "matrix product", "copy"
SIDE = 1024  # of the matrices
COPIED = 2**28  # bytes, more than any cache holds


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


SHAPES = (
    Shape(4, 256, 32, 16),
    Shape(4, 128, 64, 32),
    Shape(4, 64, 32, 64),
    Shape(4, 256, 8, 8),
    Shape(4, 32, 64, 64),
)


def kind(shape: Shape, operation: str) -> str:
    """What is timed, in words."""
    return f"{shape.title}, {operation}"


# Libraries are imported inside: a peer's process imports this file, and must load its own alone.


def jax_calls(shape: Shape, *, native: bool) -> dict[str, Callable[[], object]]:
    """By operation; this project's convolution, or XLA's."""
    import jax
    import jax.numpy as jnp

    from tinyunet.layers.conv import convolve, convolve_by_xla

    x, kernel, dy = map(jax.device_put, shape.data())
    bias = jnp.zeros(shape.features)

    def forward(x: jax.Array, kernel: jax.Array, dy: jax.Array) -> jax.Array:
        return convolve(x, kernel, bias) if native else convolve_by_xla(x, None, kernel, bias, padding="same")

    def gradient_of_input(x: jax.Array, kernel: jax.Array, dy: jax.Array) -> jax.Array:
        return jax.vjp(lambda x: forward(x, kernel, dy), x)[1](dy)[0]

    def gradient_of_kernel(x: jax.Array, kernel: jax.Array, dy: jax.Array) -> jax.Array:
        return jax.vjp(lambda kernel: forward(x, kernel, dy), kernel)[1](dy)[0]

    def call(compiled: Callable[..., jax.Array]) -> object:
        return compiled(x, kernel, dy).block_until_ready()

    functions = map(jax.jit, (forward, gradient_of_input, gradient_of_kernel))
    return {name: functools.partial(call, function) for name, function in zip(OPERATIONS, functions, strict=True)}


def torch_calls(shape: Shape, *, channels_last: bool) -> dict[str, Callable[[], object]]:
    """By operation; the gradients by what autograd calls, one at a time."""
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format
    x, kernel, dy = map(torch.from_numpy, shape.data())
    x, dy = (array.permute(0, 3, 1, 2).contiguous(memory_format=layout) for array in (x, dy))
    kernel = kernel.permute(3, 2, 0, 1).contiguous(memory_format=layout)

    def forward() -> torch.Tensor:
        with torch.inference_mode():
            return torch.nn.functional.conv2d(x, kernel, padding=1)

    def backward(which: int) -> torch.Tensor:
        mask = [i == which for i in range(3)]
        arguments = [1, 1], [1, 1], [1, 1], False, [0, 0], 1, mask
        return torch.ops.aten.convolution_backward(dy, x, kernel, None, *arguments)[which]

    return dict(zip(OPERATIONS, (forward, functools.partial(backward, 0), functools.partial(backward, 1)), strict=True))


def product_by_jax(side: int) -> Callable[[], object]:
    """The product of two square matrices, float32."""
    import jax
    import jax.numpy as jnp

    matrix, multiply = jax.device_put(np.ones((side, side), np.float32)), jax.jit(jnp.dot)
    return lambda: multiply(matrix, matrix).block_until_ready()


def product_by_torch(side: int) -> Callable[[], object]:
    """The same."""
    import torch

    matrix = torch.ones(side, side)
    return lambda: torch.matmul(matrix, matrix)


def copy(size: int) -> Callable[[], object]:
    """Copies so many bytes, every core its part."""
    source, target = np.zeros((2, size // 4), np.float32)
    source[:] = 1  # so that the memory is really there
    parts = [np.array_split(array, cores()) for array in (target, source)]
    pool = ThreadPoolExecutor(cores())
    return lambda: list(pool.map(np.copyto, *parts))


def make_jax(shapes: Sequence[Shape], *, native: bool) -> Work:
    """What is timed of this project or of XLA."""
    calls = {kind(shape, op): call for shape in shapes for op, call in jax_calls(shape, native=native).items()}
    return Work(parameters=0, calls=calls if native else calls | {PRODUCT: product_by_jax(SIDE), COPY: copy(COPIED)})


def make_torch(shapes: Sequence[Shape], *, channels_last: bool) -> Work:
    """What is timed of PyTorch."""
    import torch

    torch.set_num_threads(cores())
    calls = {
        kind(shape, op): call
        for shape in shapes
        for op, call in torch_calls(shape, channels_last=channels_last).items()
    }
    return Work(parameters=0, calls=calls | {PRODUCT: product_by_torch(SIDE)} if channels_last else calls)


def make_peers(names: Sequence[str], shapes: Sequence[Shape]) -> dict[str, Make]:
    """How to make each peer's work; what is not installed is left out with a line that says so."""
    found: dict[str, Make] = {"XLA": functools.partial(make_jax, shapes, native=False)}
    if importlib.util.find_spec("tinyunet_native") is not None:
        found[OURS] = functools.partial(make_jax, shapes, native=True)
    if importlib.util.find_spec("torch") is not None:
        found["PyTorch channels_last"] = functools.partial(make_torch, shapes, channels_last=True)
        found["PyTorch channels_first"] = functools.partial(make_torch, shapes, channels_last=False)
    for name in names:
        if name not in found:
            reason = "tinyunet-native is" if name == OURS else "torch is"
            way = "./native" if name == OURS else "'tinyunet[bench]'"
            print(f"{name} is skipped: {reason} not installed; pip install {way}.", file=sys.stderr)
    return {name: found[name] for name in names if name in found}


def rate(seconds: Spread, amount: float) -> Spread:
    """An amount for each second, in thousands of millions."""
    return Spread(tuple(amount / one / 1e9 for one in seconds.values))


def ceiling(measured: Mapping[str, Measured]) -> tuple[Table, float]:
    """What the machine can do, and the GFLOP/s of the fastest matrix product; nan where none was measured."""
    rows, fastest = [], math.nan
    for name, library in (("XLA", "jnp.dot"), ("PyTorch channels_last", "torch.matmul")):
        if name in measured:
            found = rate(measured[name].seconds[PRODUCT], 2 * SIDE**3)
            fastest = found.median if math.isnan(fastest) else max(fastest, found.median)
            rows.append((f"{SIDE}³ matrix product by {library}, GFLOP/s", found.text(digits=1)))
    if "XLA" in measured:
        found = rate(measured["XLA"].seconds[COPY], 2 * COPIED)
        rows.append((f"copy of {COPIED >> 20} MiB, GB/s read and written", found.text(digits=1)))
    return Table("The machine", ("", "median (min–max)"), tuple(rows)), fastest


def tabulate(shapes: Sequence[Shape], measured: Mapping[str, Measured], *, instructions: str | None) -> list[Table]:
    """The machine's ceiling, and one table for each operation."""
    machine_table, fastest = ceiling(measured)
    tables = [machine_table]
    for operation in OPERATIONS:
        rows = []
        for shape in shapes:
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
    parser.add_argument("--shrink", type=int, default=1, help="divide height and width by this, for a trial")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    shapes = [dataclasses.replace(shape, size=shape.size // arguments.shrink) for shape in SHAPES]
    facts, peers = machine(), make_peers(arguments.peers, shapes)
    measured = compare(
        peers,
        rounds=arguments.rounds,
        turn_seconds=arguments.turn_seconds,
        conditions=dict.fromkeys(peers, Conditions(memory_kept=True)),
    )
    from tinyunet.layers.native import instruction_set

    tables = tabulate(shapes, measured, instructions=instruction_set() if OURS in measured else None)
    raw = {name: dataclasses.asdict(peer) for name, peer in measured.items()}
    present(arguments, question=QUESTION, machine=facts, tables=tables, raw=raw)


if __name__ == "__main__":
    main()
