"""This project's segmenter and cross-entropy."""

import tinyunet
from benchmarks.peers.case import CLASSES, Case
from benchmarks.peers.linen import linen_work
from benchmarks.workers import Work
from tinyunet.training.losses import cross_entropy


def model(case: Case) -> tinyunet.Segmenter:
    """The network of a case."""
    unet = tinyunet.UNet(features=case.features, depth=case.depth, convs_per_block=case.convs_per_block, skip=case.skip)
    return tinyunet.Segmenter(classes=CLASSES, unet=unet)


def make(case: Case) -> Work:
    """What is timed."""
    return linen_work(model(case), case, cross_entropy)
