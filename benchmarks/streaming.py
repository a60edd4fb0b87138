"""How much memory does predicting a large image take, and how fast is it? Beside MONAI's sliding window."""

import argparse
import contextlib
import filecmp
import importlib.util
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.measure import machine
from benchmarks.present import Table, add_output_options, present
from benchmarks.whole import TINYUNET, run

SAMPLE_SECONDS = 0.1
"""Time between two looks at the memory."""

TILE = 512
"""Pixels along a side of the pieces that an image is made of, and of its tiles in the file."""


@dataclass(frozen=True)
class Watched:
    """A command that has ended well.

    Args:
        seconds: From its start to its exit.
        peak_bytes: The largest proportional set size, summed over the process and all that it started.
    """

    seconds: float
    peak_bytes: int


def watch(command: Sequence[str | Path]) -> Watched:
    """Runs a command and looks at its memory again and again; Linux only.

    The proportional set size counts a page that n processes share as 1/n page of each.

    Raises:
        RuntimeError: It failed; the message has the end of what it printed.
    """
    peak, ended = 0, threading.Event()
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

        def look() -> None:
            nonlocal peak
            while not ended.wait(SAMPLE_SECONDS):
                peak = max(peak, sum(map(proportional_bytes, tree(process.pid))))

        watcher = threading.Thread(target=look)
        watcher.start()
        status = process.wait()
        seconds = time.perf_counter() - began
        ended.set()
        watcher.join()
        if status:
            output.seek(0)
            said = output.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"{' '.join(map(str, command))} ended with status {status}:\n{said}")
    return Watched(seconds, peak)


def killed(command: Sequence[str | Path], *, seconds: float, times: int, seed: int = 0) -> list[float]:
    """Runs a command that goes on where it stopped, kills it with SIGKILL at random moments, and lets it end at last.

    Args:
        command: What to run, the same every time.
        seconds: That it takes when nothing disturbs it: it is killed after one to four tenths of them.
        times: How often it is killed.
        seed: Of the moments.

    Returns:
        After how many seconds it was killed each time.

    Raises:
        RuntimeError: It ended before it was killed, or failed in the end.
    """
    moments = [float(seconds * share) for share in np.random.default_rng(seed).uniform(0.1, 0.4, times)]
    for moment in moments:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            status = process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            continue
        raise RuntimeError(f"{' '.join(map(str, command))} ended within {moment:.1f} s, with status {status}.")
    watch(command)
    return moments


def same_masks(one: Path, other: Path) -> bool:
    """Whether two folders hold masks of the same names and bytes, at least one."""
    names = sorted(path.name for path in one.glob("*.tif"))
    return bool(names) and filecmp.cmpfiles(one, other, names, shallow=False)[0] == names


def tree(process: int) -> Iterator[int]:
    """A process and all that descend from it."""
    yield process
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found = children.read_text(encoding="ascii").split()
        except OSError:  # ended in between
            continue
        for child in found:
            yield from tree(int(child))


def proportional_bytes(process: int) -> int:
    """Its proportional set size; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def write_mosaic(path: Path, data: Path, *, height: int, width: int) -> None:
    """An image made of the images of a data set, each piece in one of its eight flips and turns; a TIFF in tiles.

    Memory holds the pieces and one tile; the same arguments make the same image.

    Args:
        path: Where to.
        data: A data-set folder of images of one kind.
        height: Pixels.
        width: Pixels.
    """
    import tifffile

    from tinyunet.data.folder import open_folder
    from tinyunet.data.sample import sample_image

    pieces = [sample_image(sample) for sample in open_folder(data, minimum_pairs=1).samples[:32]]
    # mirrored at the borders, a small image fills a tile without a seam
    pieces = [
        np.pad(piece, [(0, max(0, TILE - size)) for size in piece.shape[:2]] + [(0, 0)], mode="symmetric")
        for piece in pieces
    ]
    rng = np.random.default_rng(0)

    def tiles() -> Iterator[np.ndarray]:
        for _ in range(-(-height // TILE) * -(-width // TILE)):
            piece = pieces[rng.integers(len(pieces))]
            top, left = (rng.integers(size - TILE + 1) for size in piece.shape[:2])
            cut = np.rot90(piece[top : top + TILE, left : left + TILE], rng.integers(4))
            cut = cut[:, ::-1] if rng.integers(2) else cut
            yield np.ascontiguousarray(cut[..., 0] if cut.shape[-1] == 1 else cut)

    channels = pieces[0].shape[2:] if pieces[0].shape[-1] > 1 else ()
    tifffile.imwrite(
        path,
        tiles(),
        shape=(height, width, *channels),
        dtype=pieces[0].dtype,
        tile=(TILE, TILE),
        photometric="rgb" if channels == (3,) else "minisblack",
        compression="zlib",
        bigtiff=True,
        maxworkers=1,
        metadata=None,
    )


def make(script: str, *arguments: str | Path | int) -> None:
    """Runs a function of this module in a process of its own, whose memory does not stay."""
    subprocess.run([sys.executable, "-c", script, *map(str, arguments)], check=True)


MOSAIC = (
    "import sys; from pathlib import Path; from benchmarks.streaming import write_mosaic as write; a = sys.argv\n"
    "write(Path(a[1]), Path(a[2]), height=int(a[3]), width=int(a[4]))"
)
CELLS = "import sys; from tinyunet.data.synthetic import write_cells as write; write(sys.argv[1], shape=(512, 512))"


def add_work_options(parser: argparse.ArgumentParser) -> None:
    """What `prepared` wants to know."""
    parser.add_argument("--data", metavar="FOLDER", type=Path, help="images to make it of (default: drawn cells)")
    parser.add_argument("--run", metavar="RUN", type=Path, help="a trained run (default: one step on these images)")
    parser.add_argument("--work", metavar="DIR", type=Path, help="where files are made, and left (default: nowhere)")


@contextlib.contextmanager
def prepared(arguments: argparse.Namespace) -> Iterator[tuple[Path, Path, Path]]:
    """A folder to work in, a data set and a trained run: those that are given, or made in the folder."""
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary) if arguments.work is None else arguments.work
        work.mkdir(parents=True, exist_ok=True)
        data, trained = arguments.data or work / "cells", arguments.run or work / "run"
        if not data.exists():
            make(CELLS, data)
        if not trained.exists():
            run([*TINYUNET, "train", data, "--out", trained, "--steps", "1", "--quiet"], cache=work / "cache")
        yield work, data, trained


def mosaic(work: Path, data: Path, *, height: int, width: int) -> Path:
    """The image in the folder to work in, which `write_mosaic` makes unless it is there."""
    image = work / f"mosaic-{height}x{width}.tif"
    if not image.exists():
        make(MOSAIC, image, data, height, width)
    return image


def peers(run_folder: Path, image: Path, out: Path) -> dict[str, list[str | Path]]:
    """What others are asked to do: the same image, a network of the same shape, a file of labels."""
    if importlib.util.find_spec("monai") is None or importlib.util.find_spec("torch") is None:
        return {}
    window = [sys.executable, "-m", "benchmarks.peers.monai_window", run_folder, image, out]
    return {"MONAI sliding window": window}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__)
    parser.add_argument("--height", type=int, default=20_000, help="of the image, in pixels (default 20000)")
    parser.add_argument("--width", type=int, default=20_000, help="of the image, in pixels (default 20000)")
    add_work_options(parser)
    parser.add_argument("--kills", metavar="N", type=int, default=0, help="kill it so often, and compare the bytes")
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="leave MONAI out")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    facts = machine()
    with prepared(arguments) as (work, data, trained):
        image = mosaic(work, data, height=arguments.height, width=arguments.width)
        commands: dict[str, list[str | Path]] = {
            "tinyunet predict": [*TINYUNET, "predict", trained, image, "--out", work / "masks", "--quiet"]
        }
        if arguments.peers:
            commands |= peers(trained, image, work / "monai.tif")
            if len(commands) == 1:
                print("MONAI and PyTorch are not installed: left out.", file=sys.stderr)
        found = {name: watch(command) for name, command in commands.items()}
        moments, same = [], None
        if arguments.kills:
            again = [*TINYUNET, "predict", trained, image, "--out", work / "again", "--quiet"]
            moments = killed(again, seconds=found["tinyunet predict"].seconds, times=arguments.kills)
            same = same_masks(work / "masks", work / "again")
    megapixels = arguments.height * arguments.width / 1e6
    rows = tuple(
        (name, round(one.peak_bytes / 2**20), one.seconds, megapixels / one.seconds) for name, one in found.items()
    )
    title = f"{arguments.height} × {arguments.width} pixels, a TIFF in tiles, from start to exit"
    tables = [Table(title, ("", "peak proportional set size, MiB", "s", "megapixels/s"), rows)]
    if same is not None:
        words = ", ".join(f"{moment:.0f} s" for moment in moments)
        tables.append(
            Table(
                "Killed and started again",
                ("killed after", "the masks' bytes"),
                ((words, "the same" if same else "others"),),
            )
        )
    raw = {name: {"seconds": one.seconds, "peak_bytes": one.peak_bytes} for name, one in found.items()}
    present(
        arguments,
        question="A large image",
        machine=facts,
        tables=tables,
        raw={**raw, "killed": moments, "same": same},
    )


if __name__ == "__main__":
    main()
