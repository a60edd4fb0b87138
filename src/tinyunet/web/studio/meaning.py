"""What the masks of a folder mean that is opened in a studio, and what its images are like."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tinyunet.data.channels import decide_channels
from tinyunet.data.check import examine
from tinyunet.data.facts import image_facts
from tinyunet.data.folder import scan_folder
from tinyunet.data.labelling import Labelling
from tinyunet.data.normalise import ChannelRule
from tinyunet.data.readers import SUFFIXES, read_image, shown, suffix
from tinyunet.data.spec import read_spec
from tinyunet.errors import ConfigError, DataError


class Meaning(NamedTuple):
    """What is known of a folder.

    Attributes:
        labelling: The classes; None where nothing says them.
        channels: Which of the images' are used; None where that is not known.
    """

    labelling: Labelling | None
    channels: ChannelRule | None


def meaning_of(root: Path, known: Mapping[str, Any] | None) -> Meaning:
    """What the masks of a folder mean.

    Args:
        root: The folder, with an `images/`.
        known: What an earlier studio has written down; its classes may since have been changed in `dataset.toml`.

    Raises:
        ConfigError: The masks number objects, which are not painted by class.
        DataError: They cannot be understood.
    """
    spec = read_spec(root / "dataset.toml")
    if known is not None:
        labelling = Labelling.from_dict(known)
        if spec.classes is not None and spec.classes != labelling.classes:
            labelling = Labelling(labelling.task, spec.classes, spec.ignore, labelling.kind, spec.boundary)
        return Meaning(labelling, None)
    folder, _ = scan_folder(root, minimum_pairs=0)
    if any(sample.mask is not None for sample in folder.samples):
        found = examine(root)
        found.raise_for_problems()
        if found.labelling.task == "instances":
            raise ConfigError(
                f"{shown(root / 'masks')} number objects, and the studio paints classes: give it a folder of its own "
                'with copies of the images, or say task = "foreground" in dataset.toml.'
            )
        return Meaning(found.labelling, found.channels)
    images = [(path, image_facts(read_image(path))) for path in images_of(root)]
    channels, findings = decide_channels(images)
    if findings.problems:
        raise DataError(*findings.problems)
    rule = channels if images else None
    if spec.classes is None:
        return Meaning(None, rule)
    return Meaning(Labelling("semantic", spec.classes, spec.ignore, boundary=spec.boundary), rule)


def images_of(root: Path) -> list[Path]:
    """The images of a folder, with masks or without, in the order of their names."""
    return sorted(path for path in (root / "images").iterdir() if path.name[:1] != "." and suffix(path) in SUFFIXES)
