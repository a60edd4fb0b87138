"""Write a run's report.html again from what lies in its folder."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `report`."""
    parser.add_argument("folder", metavar="RUN", type=Path, help="a run folder")
    parser.set_defaults(heavy=False)


def run(arguments: argparse.Namespace) -> None:
    """Writes the report and says where."""
    from tinyunet.runs.report import write_report

    print(write_report(arguments.folder))
