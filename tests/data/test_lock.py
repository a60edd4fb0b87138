import pytest

from tinyunet.data.lock import Lock
from tinyunet.errors import ConfigError


def test_a_second_one_is_refused_until_the_first_has_gone(tmp_path):
    first = Lock(tmp_path / "lock", refusal="taken")
    with pytest.raises(ConfigError, match="taken"):
        Lock(tmp_path / "lock", refusal="taken")
    first.release()
    with Lock(tmp_path / "lock", refusal="taken"), pytest.raises(ConfigError):
        Lock(tmp_path / "lock", refusal="taken")
    Lock(tmp_path / "lock", refusal="taken").release()
