import pytest

from tinyunet.cli.extra import WEB, needs_extra
from tinyunet.errors import ConfigError


def test_a_missing_library_of_the_extra_is_one_line():
    with (
        pytest.raises(ConfigError, match=r"`tinyunet serve` wants uvicorn, which .*: pip install 'tinyunet\[web\]'\."),
        needs_extra("web", WEB, what="`tinyunet serve`"),
    ):
        raise ModuleNotFoundError("No module named 'uvicorn.config'", name="uvicorn.config")


def test_any_other_missing_library_is_our_fault():
    with pytest.raises(ModuleNotFoundError), needs_extra("web", WEB, what="x"):
        raise ModuleNotFoundError("No module named 'jax'", name="jax")
