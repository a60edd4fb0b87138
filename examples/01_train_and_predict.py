"""From a folder of images and masks to the mask of a new image, in Python.

    python examples/01_train_and_predict.py

The folder is made here: synthetic micrographs of cells. With one of your own (images/ and masks/ with equal names),
leave out the first call.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import tinyunet
from tinyunet.data.synthetic import cells, write_cells


def main() -> None:
    """Trains, scores, and predicts an image that was in no folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/example-01"), help="where (default runs/example-01)")
    parser.add_argument("--steps", type=int, default=200, help="length of the training (default 200)")
    parser.add_argument("--size", type=int, default=256, help="height and width of the images (default 256)")
    arguments = parser.parse_args()
    size, data = arguments.size, arguments.out / "cells"

    write_cells(data, train=12, val=3, test=3, shape=(size, size))

    run = tinyunet.train(data, arguments.out / "run", steps=arguments.steps, settings=[f"batches.patch={size}"])

    evaluation = tinyunet.evaluate(run, data)
    for name, dice in zip(evaluation.classes, evaluation.pooled.dice, strict=True):
        print(f"Dice of {name}: {dice:.3f}")
    if evaluation.baseline is not None:
        print(f"{evaluation.baseline.method}, which learns nothing: {evaluation.baseline.pooled.dice[1]:.3f}")

    # Later, or elsewhere: the run folder, or its model.safetensors alone, is all that is needed.
    run = tinyunet.load(arguments.out / "run" / "model.safetensors")
    image, truth = cells(seed=12345, shape=(size + 37, size - 5))  # no size is special
    labels = run.predict(image)  # class ids, (h, w)
    probability = run.probabilities(image)[..., 1]  # of the foreground, (h, w)
    print(f"{labels.shape[0]} × {labels.shape[1]} pixels, {np.mean(labels == (truth > 0)):.1%} of them right")
    print(f"{np.mean((probability > 0.1) & (probability < 0.9)):.1%} of the pixels are uncertain")

    mask = run.labelling.decode(labels)  # the values the training masks have: 0 and 255
    Image.fromarray(mask).save(arguments.out / "mask.png")
    print(f"mask: {arguments.out / 'mask.png'}")


if __name__ == "__main__":
    main()
