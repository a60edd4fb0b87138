"""The same network in PyTorch, eager, channels first or channels last; needs the extra `bench`."""

import torch
from torch import nn

from benchmarks.measure import cores
from benchmarks.peers.case import CLASSES, INFERENCE, LEARNING_RATE, STEP, Case
from benchmarks.workers import Work


def block(channels: int, features: int, convs: int) -> nn.Sequential:
    """Convolution 3x3, batch normalisation, ReLU; `convs` times."""
    layers: list[nn.Module] = []
    for i in range(convs):
        layers += [
            nn.Conv2d(channels if i == 0 else features, features, 3, padding=1),
            nn.BatchNorm2d(features),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class TorchSegmenter(nn.Module):
    """The U-Net of a case, and its head.

    Args:
        case: Sizes; the input must divide.
    """

    def __init__(self, case: Case):
        super().__init__()
        self.skip = case.skip
        widths = [case.features * 2**stage for stage in range(case.depth + 1)]
        convs, joined = case.convs_per_block, 2 if case.skip == "concat" else 1
        self.encoder = nn.ModuleList(
            block(channels, features, convs) for channels, features in zip([1, *widths], widths, strict=False)
        )
        upwards = list(reversed(list(zip(widths[1:], widths, strict=False))))
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(deep, features, 2, stride=2) for deep, features in upwards)
        self.decoder = nn.ModuleList(block(joined * features, features, convs) for _, features in upwards)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(widths[0], CLASSES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (b, k, h, w) of images (b, 1, h, w)."""
        skips = []
        for stage in self.encoder[:-1]:
            x = stage(x)
            skips.append(x)
            x = self.pool(x)
        x = self.encoder[-1](x)
        for upsample, stage in zip(self.upsample, self.decoder, strict=True):
            u, e = upsample(x), skips.pop()
            x = stage(torch.cat([u, e], dim=1) if self.skip == "concat" else u + e)
        return self.head(x)


def make(case: Case, *, channels_last: bool) -> Work:
    """What is timed."""
    torch.set_num_threads(cores())
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    images, labels = map(torch.from_numpy, case.data())
    images = images.permute(0, 3, 1, 2).contiguous(memory_format=layout)
    labels = labels.long()
    model = TorchSegmenter(case).to(memory_format=layout)
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    loss = nn.CrossEntropyLoss()

    def train() -> None:
        model.train()
        optimiser.zero_grad(set_to_none=True)
        loss(model(images), labels).backward()
        optimiser.step()

    def infer() -> None:
        model.eval()
        with torch.inference_mode():
            model(images)

    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Work(parameters=parameters, calls={INFERENCE: infer, STEP: train})
