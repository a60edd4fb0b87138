"""What a live training leaves behind: an ordinary run folder, as whole after a kill as after an end."""

import json
import platform
import threading
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tinyunet import __version__
from tinyunet.data.channels import decide_channels
from tinyunet.data.facts import SampleFacts, measure
from tinyunet.data.folder import scan_folder
from tinyunet.data.labelling import Labelling
from tinyunet.data.sample import Sample
from tinyunet.data.summary import summarise
from tinyunet.data.writers import explained_writing, write_text
from tinyunet.errors import CheckpointError
from tinyunet.layers.paths import instruction_set
from tinyunet.runs.config import Config
from tinyunet.runs.folder import FINGERPRINT, LOG, WEIGHTS, read_run_config, write_config
from tinyunet.runs.machine import cores, installed_memory, peak_memory
from tinyunet.runs.weights import Weights, read_weights, write_weights
from tinyunet.training.log import read_log
from tinyunet.training.state import Variables

EVENTS = 400
"""The most lines about the loss that are kept; with more, every other one is forgotten."""

Stamp = tuple[tuple[int, int] | None, ...]


class Record:
    """The run folder of a live training.

    Nothing is written before the first `save`. Several threads may use it at once.

    Args:
        path: The run folder.
        command: What began the training, for the report.
    """

    def __init__(self, path: Path, *, command: str):
        self.path = path
        self.command = command
        self._events: list[dict[str, Any]] = []
        self._facts: dict[str, tuple[Stamp, SampleFacts]] = {}
        self._lock = threading.Lock()

    def restore(self) -> tuple[Weights, dict[str, Any]] | None:
        """The weights of an earlier training and where it ended: `step`, `seconds` and `version`; None without one.

        Raises:
            CheckpointError: There is a run, but damaged, or one that was not painted.
        """
        if not (self.path / WEIGHTS).is_file():
            return None
        read_run_config(self.path)
        weights = read_weights(self.path / WEIGHTS)
        self._events = [event for event in read_log(self.path / LOG) if event["event"] in ("train", "live")]
        last = next((event for event in reversed(self._events) if event["event"] == "live"), None)
        if last is None:
            raise CheckpointError(f"{self.path} is a run that no studio has trained; move it elsewhere.")
        return weights, {key: last[key] for key in ("step", "seconds", "version")}

    def note(self, step: int, **values: Any) -> None:
        """Remembers what the training is like after a step, as the log of any training has it."""
        with self._lock:
            self._events.append({"event": "train", "step": step, **values})
            lines = [event for event in self._events if event["event"] == "train"]
            if len(lines) > EVENTS:
                self._events = lines[:-1:2] + lines[-1:]

    def save(
        self, variables: Variables, config: Config, *, step: int, seconds: float, version: int, ended: bool
    ) -> None:
        """Writes the whole run folder, every file of it whole or not at all.

        Args:
            variables: The weights that predict.
            config: Resolved.
            step: Steps done.
            seconds: Of training.
            version: Of the weights, counted from the first prediction.
            ended: The training ends here, for now.

        Raises:
            DataError: The folder cannot be written.
        """
        with self._lock:
            with explained_writing(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
            start = {"event": "start", "step": 0, **self._origin(variables, step)}
            live = {"event": "live", "step": step, "seconds": seconds, "version": version}
            end = {"event": "end", "step": step, "reason": "finished", "seconds": seconds}
            end["peak_memory_bytes"] = peak_memory()
            trained = [event for event in self._events if event["event"] == "train"]
            events = [start, *trained, live, *([end] if ended else [])]
            write_weights(self.path / WEIGHTS, variables, config)
            write_config(self.path, config)
            write_text(self.path / LOG, "".join(json.dumps(event) + "\n" for event in events))

    def save_fingerprint(self, config: Config) -> None:
        """Writes `fingerprint.json` of the data set; only files that have changed since are read again.

        Args:
            config: Resolved.

        Raises:
            DataError: It cannot be written, or the data set not be read.
        """
        data = config.data
        assert data.labelling is not None
        assert data.split is not None
        labelling, root, train = data.labelling, Path(data.folder), data.split.train
        folder, _ = scan_folder(root, minimum_pairs=0)
        facts = [self._measured(sample, labelling) for sample in folder.samples]
        images = [(one.sample.image, one.image) for one in facts if one.image is not None]
        channels, _ = decide_channels(images)
        found = summarise(facts, channels=channels, labelling=labelling, train=train)
        write_text(self.path / FINGERPRINT, json.dumps(found.to_dict(), indent=1))

    def _measured(self, sample: Sample, labelling: Labelling) -> SampleFacts:
        files = (*sample.files, *([] if sample.mask is None else [sample.mask]))
        stamp = tuple(_stamp(path) for path in files)
        if sample.name not in self._facts or self._facts[sample.name][0] != stamp:
            found = measure(sample, ignore=labelling.ignore, seek_objects=False, seek_slices=False)
            self._facts[sample.name] = stamp, found
        return self._facts[sample.name][1]

    def _origin(self, variables: Variables, step: int) -> dict[str, Any]:
        """What a report says of where and how a training ran."""
        return {
            "steps": step,
            "version": __version__,
            "jax": jax.__version__,
            "python": platform.python_version(),
            "devices": [device.device_kind for device in jax.local_devices()[:1]],
            "processes": 1,
            "cores": cores(),
            "kernels": instruction_set() or "XLA",
            "memory_bytes": installed_memory(),
            "parameters": sum(int(np.size(leaf)) for leaf in jax.tree.leaves(variables["params"])),
            "command": self.command,
        }


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file does."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
