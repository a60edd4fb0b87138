"""Say what is in a data-set folder, what is wrong with it, and how it will be understood."""

import argparse
import csv
import io
import json
from pathlib import Path

from tinyunet.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `check`."""
    parser.add_argument("data", metavar="DATA", type=Path, help="folder with images/ and masks/")
    parser.add_argument("--task", choices=("semantic", "foreground"), help="instead of what dataset.toml says")
    parser.add_argument("--seed", metavar="S", type=int, default=0, help="of a split that is drawn (default 0)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the findings for programs")
    parser.add_argument(
        "--write-split", action="store_true", help="write split.csv; images without a mask become unlabelled"
    )
    parser.set_defaults(heavy=False)


def run(arguments: argparse.Namespace) -> None:
    """Prints what was found; problems are an error."""
    from tinyunet.data.check import examine
    from tinyunet.data.folder import scan_folder
    from tinyunet.data.split import resolve_split
    from tinyunet.data.writers import write_text
    from tinyunet.runs.display import Display

    if arguments.write_split:
        place = arguments.data / "split.csv"
        if place.exists():
            raise ConfigError(f"{place} exists; remove it to have a new one written.")
        split = resolve_split(scan_folder(arguments.data)[0], seed=arguments.seed)
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["name", "split"])
        rows.writerows(sorted((name, part) for part in PARTS for name in getattr(split, part)))
        write_text(place, text.getvalue())
        print(f"split     written to {place}")
    with Display(0, quiet=arguments.quiet) as display:

        def progress(done: int, total: int) -> None:
            display.total = total
            display.count(done, "files read")

        examination = examine(arguments.data, task=arguments.task, seed=arguments.seed, progress=progress)
    if arguments.json is not None:
        write_text(arguments.json, json.dumps(examination.to_dict(), indent=1) + "\n")
    print("\n".join(line for line in examination.lines() if not line.startswith("problem")))
    examination.raise_for_problems()


PARTS = ("train", "val", "test", "unlabelled")
