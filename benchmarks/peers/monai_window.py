"""The same large image through MONAI's sliding window, as its documentation shows it; needs monai and torch."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile
import torch
from monai.inferers import sliding_window_inference

from benchmarks.measure import cores
from benchmarks.peers.case import Case
from benchmarks.peers.torch_unet import TorchSegmenter
from tinyunet.runs.folder import read_run_config

WINDOW = 512
"""Pixels along a side of a window: that of this project's tiles."""

OVERLAP = 0.25
"""Part of a window that the next one covers too: MONAI's default."""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.monai_window", description=__doc__)
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder, for the shape of its network")
    parser.add_argument("image", type=Path, help="a grey TIFF")
    parser.add_argument("out", type=Path, help="the labels, a TIFF")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(cores())
    model = read_run_config(arguments.run).model
    case = Case(features=model.features, depth=model.depth, batch=1, size=WINDOW, convs_per_block=model.convs_per_block)
    network = TorchSegmenter(case).eval().to(memory_format=torch.channels_last)
    pixels = tifffile.imread(arguments.image)
    if pixels.ndim != 2:
        parser.error(f"{arguments.image} must be grey, got the shape {pixels.shape}.")
    image = torch.from_numpy(pixels.astype(np.float32))
    image = ((image - image.mean()) / image.std())[None, None]
    with torch.inference_mode():
        logits = sliding_window_inference(
            image, (WINDOW, WINDOW), 1, network, overlap=OVERLAP, mode="gaussian", progress=False
        )
        labels = logits.argmax(dim=1)[0].to(torch.uint8).numpy()
    tifffile.imwrite(arguments.out, labels, compression="zlib")


if __name__ == "__main__":
    main()
