"""One studio at a time."""

import pytest

from tinyunet.errors import ConfigError
from tinyunet.web.studio.lock import FolderLock


def test_a_second_one_is_refused_until_the_first_has_gone(tmp_path):
    first = FolderLock(tmp_path / "lock", folder=tmp_path)
    with pytest.raises(ConfigError, match="is open in another studio: use that one, stop it first, or open another"):
        FolderLock(tmp_path / "lock", folder=tmp_path)
    first.release()
    FolderLock(tmp_path / "lock", folder=tmp_path).release()
