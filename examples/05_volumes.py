"""From a folder of volumes to the labels of one, which lie where the volume lies.

    python examples/05_volumes.py

The volumes are made here: NIfTI files of thick slices, in each a head and a tail that touch. With a folder of your own
(images/ and masks/ with equal names), leave out the first call.
"""

import argparse
from pathlib import Path

import nibabel
import numpy as np

import tinyunet
from tinyunet.data.synthetic import write_volumes
from tinyunet.runs.predict import plan_jobs, predict_files


def main() -> None:
    """Makes volumes, trains, scores, predicts one file, and compares where both lie."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/example-05"), help="where (default runs/example-05)")
    parser.add_argument("--steps", type=int, default=200, help="length of the training (default 200)")
    parser.add_argument("--size", type=int, default=40, help="voxels along y and x (default 40)")
    parser.add_argument("--features", type=int, help="channels of the first stage (default: planned)")
    arguments = parser.parse_args()
    data, size = arguments.out / "scans", arguments.size

    # A quarter as many slices, four times as thick: (z, y, x) everywhere, slowest first.
    write_volumes(data, train=8, val=2, test=2, shape=(size // 4, size, size), spacing=(4.0, 1.0, 1.0))

    settings = [f"model.features={arguments.features}"] if arguments.features else []
    run = tinyunet.train(data, arguments.out / "run", steps=arguments.steps, settings=settings)
    print(f"patch {run.config.batches.patch} voxels, held {run.config.model.hold}, of {run.config.data.spacing} mm")

    evaluation = tinyunet.evaluate(run, data)
    for name, dice in zip(evaluation.classes, evaluation.pooled.dice, strict=True):
        print(f"Dice of {name}: {dice:.3f}")

    # Files to files: the labels of a NIfTI file are one that lies exactly where it does.
    scan = data / "images" / "test-000.nii.gz"
    (job,) = jobs = plan_jobs([scan], arguments.out / "labels", volumes=True)
    predict_files(run, jobs)
    image, labels = nibabel.load(scan), nibabel.load(job.labels)
    print(f"{job.labels}: {labels.shape} voxels, the same place: {np.array_equal(image.affine, labels.affine)}")

    # Arrays to arrays: say how large a voxel is, so that a volume of other voxels is resampled, and its labels back.
    array = np.asarray(image.dataobj)[::-1, ::-1].transpose(2, 1, 0)  # to the head, the front and the right
    found = run.predict(array, spacing=(4.0, 1.0, 1.0))
    print(f"as an array {found.shape}, {np.sum(found > 0)} voxels of head and tail")


if __name__ == "__main__":
    main()
