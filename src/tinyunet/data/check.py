"""Look at a whole data set before anything is trained on it: everything that is wrong, and what was understood."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tinyunet.data.channels import decide_channels
from tinyunet.data.facts import MaskFacts, SampleFacts, measure
from tinyunet.data.fingerprint import Fingerprint, summarise
from tinyunet.data.folder import DataFolder, scan_folder
from tinyunet.data.labelling import Labelling
from tinyunet.data.meaning import as_kind, decide_kind, decide_labelling
from tinyunet.data.normalise import ChannelRule
from tinyunet.data.readers import shown
from tinyunet.data.remarks import remarks
from tinyunet.data.sample import Sample
from tinyunet.data.spec import DatasetSpec, check_task
from tinyunet.data.split import Split, resolve_split
from tinyunet.errors import DataError

_CHUNK = 32  # samples handed to the threads at a time
_ENOUGH = 4  # masks that look like objects settle the matter


@dataclass(frozen=True)
class Examination:
    """What was found in a data set.

    Where there are problems, split, labelling, channels and fingerprint are as good as the readable files allow, for
    display only: call `raise_for_problems` before working with them.

    Args:
        folder: The data set, without the files that have a problem of name or place.
        split: Which image serves which purpose.
        labelling: What the masks mean.
        channels: Which channels of the images are used.
        fingerprint: Facts about sizes, values and classes.
        problems: What is wrong, one line each: file, rule, value, way out.
        notes: What was understood and decided, one line each.
    """

    folder: DataFolder
    split: Split
    labelling: Labelling
    channels: ChannelRule
    fingerprint: Fingerprint
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    def raise_for_problems(self) -> None:
        """Stop here if anything is wrong.

        Raises:
            DataError: All problems, one line each.
        """
        if self.problems:
            raise DataError(*self.problems)

    def lines(self) -> list[str]:
        """The findings as plain text, one line each, problems last."""
        found = self.fingerprint
        sizes = sorted(found.sizes.items(), key=lambda item: (-item[1], item[0]))
        shown_sizes = [f"{'×'.join(map(str, size))} ({count})" for size, count in sizes[:6]]
        shown_sizes += [f"and {len(sizes) - 6} other sizes"] if len(sizes) > 6 else []
        stored = ", ".join(f"{channels}" for channels in found.stored_channels)
        low, high = min(found.channel_min, default=0.0), max(found.channel_max, default=0.0)
        parts = {name: len(getattr(self.split, name)) for name in ("train", "val", "test", "unlabelled")}
        width = max(len(name) for name in self.labelling.names)
        return [
            f"{shown(self.folder.root)}: {found.images} images, {found.labelled} of them with a mask",
            f"sizes     {', '.join(shown_sizes) or 'none'} ({'depth×' * (found.dimensions == 3)}height×width)",
            *self._spacings(),
            f"values    {', '.join(found.dtypes) or 'none'}, {low:g} to {high:g} in training",
            f"channels  {stored or 'none'} stored, {self.channels.used} used",
            f"split     {', '.join(f'{count} {name}' for name, count in parts.items() if count)}",
            f"task      {self.labelling.task}",
            *(
                f"class {k}   {one.name:<{width}}  {share:7.2%} of the pixels, in {found.labelled - len(absent)} masks"
                for k, (one, share, absent) in enumerate(
                    zip(self.labelling.classes, found.class_shares, found.absent, strict=True)
                )
            ),
            *(f"note      {note}" for note in self.notes),
            *(f"problem   {problem}" for problem in self.problems),
        ]

    def _spacings(self) -> list[str]:
        """The line of the sizes of pixels, where files say any."""
        known = sorted(((count, size) for size, count in self.fingerprint.spacings.items() if size), reverse=True)
        if not known:
            return []
        texts = [f"{' × '.join(f'{x:g}' for x in size)} ({count})" for count, size in known[:6]]
        return [f"spacing   {', '.join(texts)}{' and others' if len(known) > 6 else ''}"]

    def to_dict(self) -> dict[str, Any]:
        """The findings for JSON."""
        return {
            "root": str(self.folder.root),
            "split": self.split.to_dict(),
            "labelling": self.labelling.to_dict(),
            "channels": asdict(self.channels),
            "fingerprint": self.fingerprint.to_dict(),
            "problems": list(self.problems),
            "notes": list(self.notes),
        }


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
    if not more:
        problems += _one_class(folder, fingerprint, labelling)
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

    Looking for objects takes long, so it ends with the chunk in which enough have been found. Chunks, not threads,
    decide where that is, so that the findings are the same every time.
    """
    seek = spec.task is None and spec.classes is None
    found = done = 0
    with ThreadPoolExecutor(max_workers=min(4, max(2, os.cpu_count() or 2))) as pool:
        for start in range(0, len(samples), _CHUNK):
            read = partial(measure, ignore=spec.ignore, seek_objects=seek and found < _ENOUGH)
            for facts in pool.map(read, samples[start : start + _CHUNK]):
                found += facts.mask is not None and facts.mask.objects
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
    kinds = {2: "an image of two axes", 3: "a volume of three"}
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


def _one_class(folder: DataFolder, fingerprint: Fingerprint, labelling: Labelling) -> list[str]:
    """The problem that there is nothing to tell apart, in all masks or in those of train."""
    for pixels, which in ((fingerprint.class_pixels, "masks"), (fingerprint.train_class_pixels, "training masks")):
        present = [one for one, count in zip(labelling.classes, pixels, strict=True) if count]
        if len(present) == 1:
            return [
                f"{shown(folder.root)}: the {which} must hold at least 2 classes, got only {present[0].name} (value "
                f"{present[0].value}). Check how the masks were saved, and which images are for training."
            ]
    return []
