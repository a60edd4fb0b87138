"""Look at a whole data set before anything is trained on it: everything that is wrong, and what was understood."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from tinyunet.data.channels import decide_channels
from tinyunet.data.classproblems import class_problems
from tinyunet.data.examination import Examination
from tinyunet.data.facts import MaskFacts, SampleFacts, measure
from tinyunet.data.folder import DataFolder, scan_folder
from tinyunet.data.foreground import PIXELS
from tinyunet.data.labelling import Labelling
from tinyunet.data.meaning import as_kind, decide_kind, decide_labelling
from tinyunet.data.readers import shown
from tinyunet.data.remarks import remarks
from tinyunet.data.sample import Sample
from tinyunet.data.spec import DatasetSpec, check_task
from tinyunet.data.split import Split, resolve_split
from tinyunet.data.summary import summarise
from tinyunet.errors import DataError

_CHUNK = 32  # samples handed to the threads at a time
_ENOUGH = 16  # masks of many values settle whether these are objects
_PIXELS = 2**20  # pixels kept of all images together, of each a share


def examine(
    root: Path | str,
    *,
    task: str | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Examination:
    """Read every file of a data set once, collect every problem, and work out what the data mean.

    Args:
        root: The data set's folder; see `open_folder`.
        task: The task, instead of the one that `dataset.toml` sets.
        seed: Seeds the split where none is declared.
        progress: Called after each image with how many are done and how many there are.

    Returns:
        The findings; the same for the same files whatever the number of threads.

    Raises:
        DataError: There is no such folder, or no images/ in it.
        ConfigError: `dataset.toml` or `task` cannot be used.
    """
    folder, structural = scan_folder(root)
    problems = list(structural)
    spec, notes = _with_task(folder.spec, task)
    split, more = _split(folder, seed=seed)
    problems += more
    facts = list(_measured(folder.samples, spec, progress=progress))
    for one in facts:
        problems += one.problems
    facts, odd = _same_dimensions(facts)
    problems += odd
    images = [(one.sample.image, one.image) for one in facts if one.image is not None]
    channels, findings = decide_channels(images)
    problems += findings.problems
    notes += findings.notes
    facts, labelling, more, notes_on_masks = _understand_masks(facts, spec)
    problems += more
    notes += notes_on_masks
    fingerprint = summarise(facts, channels=channels, labelling=labelling, train=split.train)
    problems += class_problems(folder, facts, fingerprint, labelling, complete=not more)
    notes += (*split.notes, *remarks(facts, split, fingerprint, labelling))
    return Examination(folder, split, labelling, channels, fingerprint, tuple(problems), tuple(notes))


def _with_task(spec: DatasetSpec, task: str | None) -> tuple[DatasetSpec, list[str]]:
    """The declarations with the task of the configuration, which wins."""
    if task is None:
        return spec, []
    check_task(task, where="`task`")
    changed = spec.task is not None and spec.task != task
    notes = [f"The task given, {task}, wins over {spec.task} in dataset.toml."] if changed else []
    return replace(spec, task=task), notes


def _split(folder: DataFolder, *, seed: int) -> tuple[Split, tuple[str, ...]]:
    """The split, or all that is labelled as train together with the reason."""
    labelled = tuple(sample.name for sample in folder.samples if sample.mask is not None)
    everything_trains = Split(train=labelled, val=(), test=())
    if len(labelled) < 2:  # a problem of the folder that has been reported
        return everything_trains, ()
    try:
        return resolve_split(folder, seed=seed), ()
    except DataError as error:
        return everything_trains, error.problems


def _measured(
    samples: Sequence[Sample], spec: DatasetSpec, *, progress: Callable[[int, int], None] | None
) -> Iterator[SampleFacts]:
    """The facts of each sample in their order; a few are read at the same time.

    Looking for objects takes long, so it ends with the chunk in which enough masks have been judged. Chunks, not
    threads, decide where that is, so that the findings are the same every time.
    """
    seek = spec.task is None and spec.classes is None
    judged = done = 0
    at_most = max(64, min(PIXELS, _PIXELS // max(1, len(samples))))
    with ThreadPoolExecutor(max_workers=min(4, max(2, os.cpu_count() or 2))) as pool:
        for start in range(0, len(samples), _CHUNK):
            read = partial(
                measure,
                ignore=spec.ignore,
                seek_objects=seek and judged < _ENOUGH,
                seek_slices=seek or spec.task == "instances",
                at_most=at_most,
            )
            for facts in pool.map(read, samples[start : start + _CHUNK]):
                judged += facts.mask is not None and facts.mask.objects is not None
                done += 1
                if progress is not None:
                    progress(done, len(samples))
                yield facts


def _same_dimensions(facts: list[SampleFacts]) -> tuple[list[SampleFacts], list[str]]:
    """The samples of as many axes as most have, and a problem for each of the others."""
    counts = Counter(len(one.image.size) for one in facts if one.image is not None)
    if len(counts) < 2:
        return facts, []
    usual = counts.most_common(1)[0][0]
    kinds = {2: "an image of two axes", 3: "a volume of three axes"}
    odd = [one for one in facts if one.image is not None and len(one.image.size) != usual]
    problems = [
        f"{shown(one.sample.image)} must be {kinds[usual]} as most are, got {kinds[5 - usual]}. Remove it, or "
        "keep images and volumes in data sets of their own."
        for one in odd
    ]
    return [one for one in facts if one not in odd], problems


def _understand_masks(
    facts: list[SampleFacts], spec: DatasetSpec
) -> tuple[list[SampleFacts], Labelling, tuple[str, ...], tuple[str, ...]]:
    """Work out what the masks mean from those that have no problem; the others are left out of the facts."""
    masks: list[tuple[Path, MaskFacts]] = []
    problems: list[str] = []
    for one in facts:
        if one.mask is None or one.sample.mask is None:
            continue
        if one.mask.smeared:
            problems.append(
                f"{shown(one.sample.mask)} must hold exact values, got {len(one.mask.counts)} of them, blurred as by "
                "JPEG or resizing. Save it from its source as PNG or TIFF, resized without interpolation."
            )
        else:
            masks.append((one.sample.mask, one.mask))
    kind = decide_kind(masks, spec)
    agreeing, more = as_kind(masks, kind)
    labelling, findings = decide_labelling(agreeing, spec, kind=kind)
    problems += (*more, *findings.problems)
    kept = dict(agreeing)
    facts = [replace(one, mask=kept.get(one.sample.mask) if one.sample.mask else None) for one in facts]
    return facts, labelling, tuple(problems), findings.notes
