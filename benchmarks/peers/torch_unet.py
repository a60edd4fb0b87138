"""The same network in PyTorch, for images and volumes; needs the extra `bench`."""

import atexit
import functools
import os
import shutil
import tempfile

import torch
from torch import nn

from benchmarks.measure import cores
from benchmarks.peers.case import CLASSES, INFERENCE, LEARNING_RATE, STEP, Case
from benchmarks.workers import Work


class TorchSegmenter(nn.Module):
    """The U-Net of a case, and its head.

    Args:
        case: Sizes; the input must divide.
    """

    def __init__(self, case: Case):
        super().__init__()
        self.case = case
        widths = [case.features * 2**stage for stage in range(case.depth + 1)]
        joined = 2 if case.skip == "concat" else 1
        self.encoder = nn.ModuleList(map(self._block, [1, *widths], widths))
        upwards = list(reversed(list(zip(widths[1:], widths, strict=False))))
        self.upsample = nn.ModuleList(self._layer("ConvTranspose", deep, width, 2, stride=2) for deep, width in upwards)
        self.decoder = nn.ModuleList(self._block(joined * width, width) for _, width in upwards)
        self.pool = self._layer("MaxPool", 2)
        self.head = self._layer("Conv", widths[0], CLASSES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (b, k, *space) of images (b, 1, *space)."""
        skips = []
        for stage in self.encoder[:-1]:
            x = stage(x)
            skips.append(x)
            x = self.pool(x)
        x = self.encoder[-1](x)
        for upsample, stage in zip(self.upsample, self.decoder, strict=True):
            u, e = upsample(x), skips.pop()
            for axis in range(2, x.ndim):
                e = e.narrow(axis, (e.shape[axis] - u.shape[axis]) // 2, u.shape[axis])
            x = stage(torch.cat([u, e], dim=1) if self.case.skip == "concat" else u + e)
        return self.head(x)

    def _layer(self, name: str, *arguments: int, **options: int) -> nn.Module:
        """For as many axes as the case has."""
        return getattr(nn, f"{name}{len(self.case.space)}d")(*arguments, **options)

    def _block(self, channels: int, features: int) -> nn.Sequential:
        """Convolution of a window of 3, batch normalisation, ReLU, as often as the case says."""
        layers: list[nn.Module] = []
        for i in range(self.case.convs_per_block):
            padding = 1 if self.case.padding == "same" else 0
            layers.append(self._layer("Conv", features if i else channels, features, 3, padding=padding))
            if self.case.norm == "batch":
                layers.append(self._layer("BatchNorm", features))
            layers.append(nn.ReLU(inplace=True))
        return nn.Sequential(*layers)


def make(case: Case, *, channels_last: bool, compiled: bool = False) -> Work:
    """What is timed: on the graphics card if PyTorch has one, else on the processor.

    Args:
        case: The network and its input.
        channels_last: The layout of the maps; the other one is channels first.
        compiled: By `torch.compile`, with an empty cache.
    """
    torch.set_num_threads(cores())
    torch.manual_seed(0)
    last = torch.channels_last if len(case.space) == 2 else torch.channels_last_3d
    layout = last if channels_last else torch.contiguous_format
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.set_float32_matmul_precision("high")  # products of float32 by TensorFloat-32, as JAX has them
        torch.backends.cudnn.benchmark = True  # the fastest convolution is found by trying, as XLA does
    images, labels = map(torch.from_numpy, case.data())
    images = images.movedim(-1, 1).contiguous(memory_format=layout).to(device)
    labels = labels.long().to(device)
    model = TorchSegmenter(case).to(device, memory_format=layout)
    half = functools.partial(torch.autocast, device, torch.bfloat16, enabled=case.dtype == "bfloat16")
    run = _compile(model) if compiled else model
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    loss = nn.CrossEntropyLoss()

    def train() -> None:
        model.train()
        optimiser.zero_grad(set_to_none=True)
        with half():
            logits = run(images)
        loss(logits.float(), labels).backward()
        optimiser.step()

    def infer() -> None:
        model.eval()
        with torch.inference_mode(), half():
            run(images)

    parameters = sum(parameter.numel() for parameter in model.parameters())
    calls = {INFERENCE: infer, STEP: train}
    if device == "cpu":
        return Work(parameters, calls)
    return Work(parameters, calls, wait=torch.cuda.synchronize, memory=torch.cuda.max_memory_allocated)


def _compile(model: nn.Module) -> nn.Module:
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
    return torch.compile(model)
