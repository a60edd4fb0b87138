"""From a data set and what the user asked for to a configuration in which nothing is left open."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tinyunet.data.check import examine
from tinyunet.data.examination import Examination
from tinyunet.data.folder import DataFolder
from tinyunet.data.labelling import Labelling
from tinyunet.data.masks import RawMask
from tinyunet.data.normalise import Normalisation
from tinyunet.data.remarks import remarks_on_types
from tinyunet.data.store import ImageStore, Target
from tinyunet.errors import ConfigError, DataError
from tinyunet.runs.build import network_classes
from tinyunet.runs.config import Config
from tinyunet.runs.machine import installed_memory
from tinyunet.runs.memory import fit_memory
from tinyunet.runs.plan import Plan, make_plan
from tinyunet.runs.request import Request

CACHE_SHARE = 1 / 8
"""Share of the installed memory that images may occupy while training."""


def resolve(
    wanted: Request | Config, root: Path, *, progress: Callable[[int, int], None] | None = None
) -> tuple[Config, Examination]:
    """Examines a data set, plans what is left open, and fills in what was understood of the data.

    Args:
        wanted: What the user asks for; a whole configuration, such as that of an earlier run, leaves nothing open.
        root: The data set.
        progress: Called after each image with how many are done and how many there are.

    Returns:
        The configuration, and what was found, with a note for each value that was planned.

    Raises:
        DataError: Everything that is wrong with the data, one line each; or they are not what is asked for.
        ConfigError: A list with one entry for each class that has more or fewer.
    """
    request = wanted if isinstance(wanted, Request) else Request.of(wanted)
    asked = request.over(Config())
    examination = examine(root, task=asked.data.task or None, seed=asked.seed, progress=progress)
    examination.raise_for_problems()
    plan = plan_for(examination, request)
    config = plan.config
    data, facts = config.data, examination.fingerprint
    more = remarks_on_types(facts) if data.normalise == "dataset" else ()
    examination = dataclasses.replace(examination, notes=(*examination.notes, *more, *plan.notes))
    split = data.split or examination.split
    known = {sample.name for sample in examination.folder.samples}
    if missing := sorted({*split.train, *split.val} - known):
        raise DataError(
            f"The configuration trains on {missing[0]!r} ({len(missing)} such names), which {root} does not have; "
            "remove data.split from the configuration to draw a new one."
        )
    normalisation = data.normalisation or (
        Normalisation("dataset", facts.channel_mean, facts.channel_std)
        if data.normalise == "dataset"
        else Normalisation("image")
    )
    labelling = data.labelling or examination.labelling
    _check_fit(config, labelling, examination, root)
    resolved = dataclasses.replace(
        data,
        folder=str(root.resolve()),
        task=labelling.task,
        normalise=normalisation.kind,
        labelling=labelling,
        channels=data.channels or examination.channels,
        normalisation=normalisation,
        split=split,
        axes=examination.folder.spec.axes or "",
    )
    return dataclasses.replace(config, data=resolved), examination


def plan_for(examination: Examination, request: Request) -> Plan:
    """What is planned for a data set on this machine."""
    labelling = request.over(Config()).data.labelling or examination.labelling
    return fit_memory(
        make_plan(examination.fingerprint, request),
        request,
        channels=examination.channels.used,
        classes=len(network_classes(labelling)),
        installed=installed_memory(),
    )


def _check_fit(config: Config, labelling: Labelling, examination: Examination, root: Path) -> None:
    """Refuses what would fail only later: a configuration of other data, class weights of other classes."""
    weights, names = config.loss.class_weights, network_classes(labelling)
    if weights and len(weights) != len(names):
        raise ConfigError(
            f"`loss.class_weights` must have one entry for each class ({', '.join(names)}), got {len(weights)}."
        )
    values = np.array([sorted(examination.fingerprint.mask_values)], np.int64)
    labelling.encode(RawMask(values, examination.labelling.kind), where=str(root / "masks"))
    known, found = config.data.channels, examination.channels
    if known is not None and known.used != found.used:
        raise DataError(
            f"The configuration is for images of {known.used} channels, but {root} has images of {found.used}; "
            "remove data.channels and data.normalisation from the configuration."
        )


def open_store(
    config: Config,
    folder: DataFolder,
    names: tuple[str, ...],
    *,
    target: Target | None = None,
    resampled: bool = True,
) -> ImageStore:
    """The labelled images of these names, as the configuration reads them.

    Args:
        config: Resolved.
        folder: The data set.
        names: Of the images.
        target: From labels to what is learnt of them; None: the labels.
        resampled: To the spacing at which the network works; else with the pixels of the files.

    Raises:
        DataError: The data set lacks one of the images.
    """
    data = config.data
    assert data.labelling is not None  # a resolved configuration
    assert data.channels is not None
    assert data.normalisation is not None
    by_name = {sample.name: sample for sample in folder.samples}
    if missing := [name for name in names if name not in by_name]:
        raise DataError(f"{folder.root} has no image {missing[0]!r} ({len(missing)} of {len(names)} are missing).")
    return ImageStore(
        [by_name[name] for name in names],
        labelling=data.labelling,
        channels=data.channels,
        normalisation=data.normalisation,
        max_bytes=int(CACHE_SHARE * installed_memory()),
        target=target,
        spacing=data.spacing if resampled else (),
    )
