"""Scoring a run on labelled images."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from tinyunet.data.folder import DataFolder, open_folder
from tinyunet.data.readers import shown
from tinyunet.data.sample import sample_header, sample_image
from tinyunet.data.split import Split, resolve_split
from tinyunet.data.store import ImageStore
from tinyunet.data.writers import write_png, write_text
from tinyunet.errors import DataError
from tinyunet.evaluation.baseline import Polarity, choose_polarity, otsu_labels
from tinyunet.evaluation.matching import aligned
from tinyunet.evaluation.overlay import object_colors
from tinyunet.evaluation.panel import panel
from tinyunet.evaluation.result import Evaluation
from tinyunet.evaluation.scores import Evaluator, Instances
from tinyunet.objects.decode import foreground
from tinyunet.runs.display import Display
from tinyunet.runs.folder import EVALUATION, PREVIEWS
from tinyunet.runs.page.pictures import background
from tinyunet.runs.prepare import open_store
from tinyunet.runs.report import write_report
from tinyunet.runs.run import Run, load

Part = Literal["train", "val", "test", "all"]

POLARITY_IMAGES = 20
"""Training images by which the no-learning baseline decides whether what is looked for is bright or dark."""


def evaluate(
    run: Run | str | Path,
    data: str | Path,
    *,
    split: Part | None = None,
    json_file: str | Path | None = None,
    tta: bool = False,
    quiet: bool = False,
) -> Evaluation:
    """Scores a run on images with masks; a run folder gets `evaluation.json`, `previews/` and a new report.

    Args:
        run: A run, its folder, or its `model.safetensors`.
        data: The data set.
        split: Which images: those the run has recorded as `test` (or `val`, `train`) where the data set has them,
            else those the data set declares; `all` labelled images. Without it `test`, or `val` where there is none.
        json_file: Where to write the scores besides.
        tta: Predict with test-time augmentation.
        quiet: Show no progress.

    Raises:
        DataError: The data cannot be read, or no image belongs to the split.
    """
    run = run if isinstance(run, Run) else load(run)
    folder = open_folder(data, minimum_pairs=1)
    part, names = choose_images(run, folder, split)
    store = open_store(run.config, folder, names, resampled=False)
    _check_axes(run, store)
    began = time.monotonic()
    evaluator = Evaluator(run.labelling.names, boundary=run.labelling.boundary, temperature=run.temperature)
    polarity = _polarity(run, folder, evaluator)
    problems: list[str] = []
    with Display(len(names), quiet=quiet) as display:
        for position, name in enumerate(names):
            try:
                image, target = _raw(run, store, position)
            except DataError as error:
                problems += error.problems
            if problems:  # the other files are read on only to say all that is wrong
                continue
            baseline = None
            if polarity is not None:
                baseline = otsu_labels(image, polarity=polarity, positive=_positive(evaluator))
            # Unscaled: the evaluator compares both.
            probabilities = run.probabilities(image, spacing=_spacing(store, position), tta=tta, scaled=False)
            if run.finds_objects:
                instances = Instances(run.decide(probabilities), target)
                evaluator.add(name, foreground(probabilities), _classes(run, target), baseline, instances=instances)
            else:
                evaluator.add(name, probabilities, target, baseline)
            display.count(position + 1, name)
    if problems:
        raise DataError(*problems)
    evaluation = evaluator.result()
    table = {**evaluation.to_dict(), "split": part, "seconds": time.monotonic() - began}
    text = json.dumps(table, indent=1, allow_nan=False) + "\n"
    if json_file is not None:
        write_text(Path(json_file), text)
    if run.path.is_dir():
        _write_previews(run, store, evaluation, tta=tta)
        write_text(run.path / EVALUATION, text)
        write_report(run.path)
    return evaluation


def choose_images(run: Run, folder: DataFolder, split: Part | None) -> tuple[Part, tuple[str, ...]]:
    """Which images of a data set to score.

    The split that the run has recorded counts where the data set holds all of its images; another data set's own
    declarations count otherwise, and where it declares nothing all of it is new to the run.

    Raises:
        DataError: There is no such image.
    """
    labelled = tuple(sample.name for sample in folder.samples if sample.mask is not None)
    if split == "all":
        return "all", labelled
    recorded = run.config.data.split
    if recorded is not None and {*recorded.train, *recorded.val, *recorded.test} <= set(labelled):
        known: Split | None = recorded
    elif folder.declared is not None:
        known = resolve_split(folder, seed=run.config.seed)
    else:
        known = None
    if known is None:
        if split is None:
            return "all", labelled
        raise DataError(f"{folder.root} declares no split and is not what the run was trained on; use --split all.")
    part: Part = split or ("test" if known.test else "val")
    names = getattr(known, part)
    if not names:
        raise DataError(f"{folder.root} has no {part} images; choose another --split, or all.")
    return part, names


def _check_axes(run: Run, store: ImageStore) -> None:
    """Refuses volumes for a run of images and the reverse, by the first file that can be read."""
    for sample in store.samples:
        try:
            header = sample_header(sample)
        except DataError:
            continue  # said with all that is wrong
        run.check_axes(len(header.shape), where=shown(sample.image))
        return


def _raw(run: Run, store: ImageStore, position: int) -> tuple[np.ndarray, np.ndarray]:
    """An image as its file holds it, in the channels that are used, and its labels."""
    _, labels = store(position)
    sample = store.samples[position]
    return run.channels.apply(sample_image(sample), where=str(sample.image)), labels


def _spacing(store: ImageStore, position: int) -> tuple[float, ...]:
    """Size of an image's pixels; () where nothing says it."""
    geometry = store.geometry(position)
    return () if geometry is None else geometry.spacing


def _classes(run: Run, labels: np.ndarray) -> np.ndarray:
    """Class ids of labels, which may be ids of objects."""
    return np.minimum(labels, 1) if run.finds_objects else labels


def _positive(evaluator: Evaluator) -> int:
    assert evaluator.positive is not None  # asked only of two classes
    return evaluator.classes.index(evaluator.positive)


def _polarity(run: Run, folder: DataFolder, evaluator: Evaluator) -> Polarity | None:
    """Whether what is looked for is bright or dark in the training images; None without them or two classes."""
    split = run.config.data.split
    known = {sample.name for sample in folder.samples if sample.mask is not None}
    names = tuple(name for name in (split.train if split else ()) if name in known)[:POLARITY_IMAGES]
    if evaluator.positive is None or not names:
        return None
    store = open_store(run.config, folder, names, resampled=False)
    pairs = ((image, _classes(run, labels)) for image, labels in (_raw(run, store, i) for i in range(len(names))))
    return choose_polarity(pairs, positive=_positive(evaluator))


def _write_previews(run: Run, store: ImageStore, evaluation: Evaluation, *, tta: bool) -> None:
    """The best, the median and the worst image as panels beside the truth."""
    place = run.path / PREVIEWS
    place.mkdir(exist_ok=True)
    for old in place.glob("*.png"):
        old.unlink()
    plain = background(evaluation)
    for kind, position in _representative([image.mean_dice for image in evaluation.images]).items():
        image, labels = _raw(run, store, position)
        predicted, colors = run.predict(image, spacing=_spacing(store, position), tta=tta), run.labelling.colors
        if run.finds_objects:
            predicted, labels = aligned(predicted, labels)
            colors = object_colors(max(int(predicted.max()), int(labels.max())))
        geometry = store.geometry(position)
        spacing = (1.0,) * labels.ndim if geometry is None else geometry.spacing
        upward = geometry is not None and geometry.affine is not None
        picture = panel(image, predicted, labels, colors, background=plain, spacing=spacing, upward=upward)
        write_png(place / f"{kind}_{store.samples[position].name}.png", picture)


def _representative(scores: Sequence[float]) -> dict[str, int]:
    """Positions of the best, the median and the worst score, each position once."""
    order = sorted((i for i, score in enumerate(scores) if not np.isnan(score)), key=lambda i: -scores[i])
    if not order:
        return {}
    places = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    return {kind: i for kind, i in places.items() if list(places.values()).index(i) == list(places).index(kind)}
