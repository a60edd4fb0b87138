"""What the masks of a folder mean."""

import numpy as np
import pytest
from reference.tiny import save, write_pairs

from tinyunet.errors import ConfigError, DataError
from tinyunet.web.studio.classes import at_the_start
from tinyunet.web.studio.meaning import Meaning, meaning_of


def test_nothing_is_known_of_images_alone_but_their_channels(tmp_path):
    save(tmp_path / "images/a.png", np.zeros((4, 4), np.uint8))
    found = meaning_of(tmp_path, None)
    assert found.labelling is None
    assert found.channels.used == 1
    (tmp_path / "images/a.png").unlink()
    assert meaning_of(tmp_path, None) == Meaning(None, None)


def test_declared_classes_win_over_those_written_down(tmp_path):
    (tmp_path / "images").mkdir()
    text = 'task = "semantic"\nignore = 9\n[[classes]]\nname = "a"\nvalue = 1\n[[classes]]\nname = "b"\nvalue = 2\n'
    (tmp_path / "dataset.toml").write_text(text)
    for known in (None, at_the_start().to_dict()):
        found = meaning_of(tmp_path, known).labelling
        assert (found.names, found.ignore) == (("a", "b"), 9)


def test_masks_are_understood_as_check_does(tmp_path):
    found = meaning_of(write_pairs(tmp_path, count=3), None)
    assert [one.value for one in found.labelling.classes] == [0, 255]


def test_numbered_objects_are_not_painted_by_class(tmp_path):
    root = write_pairs(tmp_path, count=3)
    (root / "dataset.toml").write_text('task = "instances"\n')
    with pytest.raises(ConfigError, match="number objects, and the studio paints classes"):
        meaning_of(root, None)


def test_images_of_different_channels_are_named(tmp_path):
    rng = np.random.default_rng(0)
    for name, shape in (("a", (4, 4)), ("b", (4, 4)), ("c", (4, 4, 3))):
        save(tmp_path / f"images/{name}.png", rng.integers(0, 255, shape, np.uint8))
    with pytest.raises(DataError, match=r"c.png must have 1 channel as most images have, got 3"):
        meaning_of(tmp_path, None)
