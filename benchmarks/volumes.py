"""How long are a training step and inference on volumes, beside plain Flax and PyTorch doing the same?"""

import argparse
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.measure import machine
from benchmarks.peers.case import Case
from benchmarks.present import add_output_options, present
from benchmarks.step import add_peer_options, measure, summaries, tabulate, to_raw

QUESTION = "Training step and inference on volumes"


@dataclass(frozen=True)
class VolumeCase(Case):
    """A batch of volumes of which `size` is the width, and the depth; the height is a third more.

    The sides are those of the cropped hippocampi of the Medical Segmentation Decathlon, 48×64×48.
    """

    @property
    def sides(self) -> str:
        """In words."""
        return "×".join(map(str, self.space))

    @property
    def space(self) -> tuple[int, ...]:
        """Pixels along z, y and x."""
        return self.size, 4 * self.size // 3, self.size


CASE = VolumeCase(features=8, depth=3, batch=2, size=48, convs_per_block=2)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.volumes", description=__doc__)
    add_peer_options(parser)
    parser.add_argument("--shrink", type=int, default=1, help="divide every side by this (1, 2 or 3), for a trial")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    facts, case = machine(), dataclasses.replace(CASE, size=CASE.size // arguments.shrink)
    measured = measure(arguments, case)
    tables = tabulate(case, measured) + summaries({"volumes": measured})
    present(arguments, question=QUESTION, machine=facts, tables=tables, raw=to_raw(measured))


if __name__ == "__main__":
    main()
