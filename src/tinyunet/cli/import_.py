"""Turn COCO or LabelMe annotations into a data-set folder."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `import`."""
    parser.add_argument("source", metavar="SRC", type=Path, help="a COCO file, or a folder of LabelMe's JSON files")
    parser.add_argument("--out", metavar="DATA", type=Path, required=True, help="the data-set folder to make")
    parser.add_argument(
        "--images",
        metavar="DIR",
        type=Path,
        help="where the images are (default: images/ beside a COCO file, or the folder of the JSON)",
    )
    parser.add_argument(
        "--task",
        choices=("semantic", "instances"),
        help="masks of classes, or of numbered objects (default: objects if there is one class)",
    )
    parser.set_defaults(heavy=False)


def run(arguments: argparse.Namespace) -> None:
    """Converts, and says what was made."""
    from tinyunet.data.annotations.convert import convert
    from tinyunet.runs.display import Display

    with Display(0, quiet=arguments.quiet) as display:
        said = convert(
            arguments.source, arguments.out, images=arguments.images, task=arguments.task, progress=display.count
        )
    print("\n".join(said))
    print(f"data     {arguments.out}")
    print(f"next     tinyunet check {arguments.out}")
