"""How long are a training step and inference on volumes, beside plain Flax and PyTorch doing the same?"""

import argparse
import dataclasses
import functools
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.measure import cores, machine
from benchmarks.peers.case import CLASSES, INFERENCE, LEARNING_RATE, STEP, Case
from benchmarks.present import add_output_options, present
from benchmarks.step import OURS, tabulate, to_raw
from benchmarks.workers import Make, Work, compare

QUESTION = "Training step and inference on volumes"
PEERS = (OURS, "plain Flax", "PyTorch channels_last_3d", "PyTorch NCDHW")


@dataclass(frozen=True)
class VolumeCase(Case):
    """A batch of volumes of which `size` is the width, and the depth; the height is a third more.

    The sides are those of the cropped hippocampi of the Medical Segmentation Decathlon, 48×64×48.
    """

    @property
    def space(self) -> tuple[int, int, int]:
        """Pixels along z, y and x."""
        return self.size, 4 * self.size // 3, self.size

    @property
    def title(self) -> str:
        """In words."""
        convs = f"{self.convs_per_block} convolutions a block"
        sides = "×".join(map(str, self.space))
        return f"{self.features} features, depth {self.depth}, {convs}, batch {self.batch}×{sides}"

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Volumes of noise, float32 (b, z, y, x, 1), and the labels of their bright pixels, int32 (b, z, y, x)."""
        shape = (self.batch, *self.space, 1)
        volumes = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        return volumes, (volumes[..., 0] > 0).astype(np.int32)


CASE = VolumeCase(features=8, depth=3, batch=2, size=48, convs_per_block=2)


def plain_segmenter(case: VolumeCase) -> Any:
    """The network in stock Flax modules: nothing of tinyunet is used."""
    # Here and below libraries are imported inside: a peer's process imports this file, and must load its own alone.
    import jax.numpy as jnp
    from flax import linen as nn

    twos = (2, 2, 2)

    class PlainBlock(nn.Module):
        features: int

        @nn.compact
        def __call__(self, x: Any, *, train: bool) -> Any:
            for _ in range(case.convs_per_block):
                x = nn.Conv(self.features, (3, 3, 3), padding="SAME")(x)
                x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
            return x

    class PlainSegmenter(nn.Module):
        @nn.compact
        def __call__(self, x: Any, *, train: bool = False) -> Any:
            skips = []
            for stage in range(case.depth):
                x = PlainBlock(case.features * 2**stage)(x, train=train)
                skips.append(x)
                x = nn.max_pool(x, twos, strides=twos, padding="VALID")
            x = PlainBlock(case.features * 2**case.depth)(x, train=train)
            for stage in reversed(range(case.depth)):
                u = nn.ConvTranspose(case.features * 2**stage, twos, strides=twos, padding="VALID")(x)
                x = PlainBlock(case.features * 2**stage)(jnp.concatenate([u, skips.pop()], axis=-1), train=train)
            return nn.Conv(CLASSES, (1, 1, 1))(x)

    return PlainSegmenter()


def make_plain_flax(case: VolumeCase) -> Work:
    """What is timed of plain Flax."""
    from benchmarks.peers.linen import linen_work
    from benchmarks.peers.plain_flax import cross_entropy

    return linen_work(plain_segmenter(case), case, cross_entropy)


def torch_segmenter(case: VolumeCase) -> Any:
    """The network in PyTorch."""
    import torch
    from torch import nn

    widths = [case.features * 2**stage for stage in range(case.depth + 1)]

    def block(channels: int, features: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for i in range(case.convs_per_block):
            convolution = nn.Conv3d(features if i else channels, features, 3, padding=1)
            layers += [convolution, nn.BatchNorm3d(features), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)

    class TorchSegmenter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.ModuleList(map(block, [1, *widths], widths))
            upwards = list(reversed(list(zip(widths[1:], widths, strict=False))))
            self.upsample = nn.ModuleList(nn.ConvTranspose3d(deep, width, 2, stride=2) for deep, width in upwards)
            self.decoder = nn.ModuleList(block(2 * width, width) for _, width in upwards)
            self.pool = nn.MaxPool3d(2)
            self.head = nn.Conv3d(widths[0], CLASSES, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            skips = []
            for stage in self.encoder[:-1]:
                x = stage(x)
                skips.append(x)
                x = self.pool(x)
            x = self.encoder[-1](x)
            for upsample, stage in zip(self.upsample, self.decoder, strict=True):
                x = stage(torch.cat([upsample(x), skips.pop()], dim=1))
            return self.head(x)

    return TorchSegmenter()


def make_torch(case: VolumeCase, *, channels_last: bool) -> Work:
    """What is timed of PyTorch: eager, channels first or channels last."""
    import torch

    torch.set_num_threads(cores())
    torch.manual_seed(0)
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    volumes, labels = map(torch.from_numpy, case.data())
    volumes = volumes.permute(0, 4, 1, 2, 3).contiguous(memory_format=layout)
    labels = labels.long()
    model = torch_segmenter(case).to(memory_format=layout)
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    loss = torch.nn.CrossEntropyLoss()

    def train() -> None:
        model.train()
        optimiser.zero_grad(set_to_none=True)
        loss(model(volumes), labels).backward()
        optimiser.step()

    def infer() -> None:
        model.eval()
        with torch.inference_mode():
            model(volumes)

    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Work(parameters=parameters, calls={INFERENCE: infer, STEP: train})


def make_ours(case: VolumeCase) -> Work:
    """What is timed of this project."""
    from benchmarks.peers import ours

    return ours.make(case)


def make_peers(names: Sequence[str], case: VolumeCase) -> dict[str, Make]:
    """How to make each peer's work; PyTorch is left out, saying so, where it is not installed."""
    found: dict[str, Make] = {
        OURS: functools.partial(make_ours, case),
        "plain Flax": functools.partial(make_plain_flax, case),
        "PyTorch channels_last_3d": functools.partial(make_torch, case, channels_last=True),
        "PyTorch NCDHW": functools.partial(make_torch, case, channels_last=False),
    }
    if importlib.util.find_spec("torch") is None:
        for name in [name for name in names if name.startswith("PyTorch")]:
            print(f"{name} is skipped: torch is not installed; pip install 'tinyunet[bench]'.", file=sys.stderr)
            del found[name]
    return {name: found[name] for name in names if name in found}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.volumes", description=__doc__)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="who (default all)")
    parser.add_argument("--rounds", type=int, default=15, help="measurements of each peer (default 15)")
    parser.add_argument("--turn-seconds", type=float, default=1.0, help="how long one works in a turn (default 1)")
    parser.add_argument("--shrink", type=int, default=1, help="divide every side by this (1, 2 or 3), for a trial")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    facts, case = machine(), dataclasses.replace(CASE, size=CASE.size // arguments.shrink)
    peers = make_peers(arguments.peers, case)
    measured = compare(peers, rounds=arguments.rounds, turn_seconds=arguments.turn_seconds)
    present(arguments, question=QUESTION, machine=facts, tables=tabulate(case, measured), raw=to_raw(measured))


if __name__ == "__main__":
    main()
