"""Say what is in a data-set folder, what is wrong with it, how it will be understood, and what is planned."""

import argparse
import csv
import dataclasses
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tinyunet.cli.request import add_request_arguments
from tinyunet.errors import ConfigError

if TYPE_CHECKING:
    from tinyunet.data.examination import Examination
    from tinyunet.runs.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `check`."""
    parser.add_argument("data", metavar="DATA", type=Path, help="folder with images/ and masks/")
    parser.add_argument(
        "--task", choices=("semantic", "foreground", "instances"), help="instead of what dataset.toml says"
    )
    parser.add_argument("--seed", metavar="S", type=int, default=0, help="of a split that is drawn (default 0)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the findings and the plan for programs")
    parser.add_argument(
        "--write-split", action="store_true", help="write split.csv; images without a mask become unlabelled"
    )
    add_request_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Prints what was found; problems are an error."""
    from tinyunet.data.check import examine
    from tinyunet.data.remarks import remarks_on_types
    from tinyunet.data.writers import write_text
    from tinyunet.runs.display import Display
    from tinyunet.runs.prepare import plan_for
    from tinyunet.runs.request import read_request

    if arguments.write_split:
        print(f"split     {write_split(arguments.data, seed=arguments.seed)}")
    with Display(0, quiet=arguments.quiet) as display:

        def progress(done: int, total: int) -> None:
            display.total = total
            display.count(done, "files read")

        examination = examine(arguments.data, task=arguments.task, seed=arguments.seed, progress=progress)
    plan = None if examination.problems else plan_for(examination, read_request(arguments.config, arguments.settings))
    if plan is not None and plan.config.data.normalise == "dataset":
        more = remarks_on_types(examination.fingerprint)
        examination = dataclasses.replace(examination, notes=(*examination.notes, *more))
    if arguments.json is not None:
        decisions = None if plan is None else [dataclasses.asdict(one) for one in plan.decisions]
        write_text(arguments.json, json.dumps({**examination.to_dict(), "plan": decisions}, indent=1) + "\n")
    print("\n".join(line for line in examination.lines() if not line.startswith("problem")))
    examination.raise_for_problems()
    if plan is not None:
        print("\n".join(f"plan      {one.line()}" for one in plan.decisions))
        with display.busy("Compiling a training step, to see what memory it takes…"):
            memory = _memory(plan.config, examination)
        print(f"memory    {memory}")


def _memory(config: "Config", examination: "Examination") -> str:
    """What a training step takes, in words."""
    from tinyunet.runs.build import network_classes
    from tinyunet.runs.machine import installed_memory
    from tinyunet.runs.memory import step_bytes

    classes = len(network_classes(config.data.labelling or examination.labelling))
    needed = step_bytes(config, channels=examination.channels.used, classes=classes)
    return (
        f"a training step takes {needed / 2**30:.2f} GiB of the {installed_memory() / 2**30:.0f} GiB of this machine, "
        "as its compiled program says"
    )


def write_split(root: Path, *, seed: int) -> str:
    """Writes the split that would be drawn as `split.csv`, in which images without a mask are unlabelled.

    Returns:
        What was written, in words.

    Raises:
        ConfigError: The data set declares a split already.
    """
    from tinyunet.data.folder import scan_folder
    from tinyunet.data.readers import SUFFIXES, stem, suffix
    from tinyunet.data.split import resolve_split
    from tinyunet.data.writers import write_text

    place = root / "split.csv"
    if place.exists():
        raise ConfigError(f"{place} exists; remove it to have a new one written.")
    folder, _ = scan_folder(root)
    if folder.declared is not None:
        raise ConfigError(f"{root} says by its sub-folders which image is for what; a split.csv would contradict them.")
    split = resolve_split(folder, seed=seed)
    # Without a split.csv a sample has a mask; the images without one are known by their files alone.
    images = {stem(path) for path in (root / "images").iterdir() if suffix(path) in SUFFIXES}
    bare = {name for name in images if not name.startswith(".")} - {sample.name for sample in folder.samples}
    parts = {"train": split.train, "val": split.val, "test": split.test, "unlabelled": tuple(bare)}
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["name", "split"])
    rows.writerows(sorted((name, part) for part, names in parts.items() for name in names))
    write_text(place, text.getvalue())
    counts = ", ".join(f"{len(names)} {part}" for part, names in parts.items() if names)
    return f"written to {place}: {counts}"
