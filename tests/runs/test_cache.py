import stat

import jax
import platformdirs
import pytest

from tinyunet import __version__
from tinyunet.runs import cache as module
from tinyunet.runs.cache import use_compilation_cache


@pytest.fixture(autouse=True)
def user_folder(tmp_path, monkeypatch):
    """A cache folder of the user's own, and afterwards the settings that other tests run under."""
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    )
    before = {name: getattr(jax.config, name) for name in names}
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name, appauthor: str(tmp_path / name))
    yield tmp_path / "tinyunet"
    for name, value in before.items():
        jax.config.update(name, value)


def test_programs_are_kept_in_the_user_s_cache_folder(user_folder):
    folder = use_compilation_cache()
    assert folder.parent == user_folder / "compiled"
    assert jax.config.jax_compilation_cache_dir == str(folder)
    assert folder.name.startswith(f"{__version__}-jax{jax.__version__}-")


def test_only_the_user_may_read_them(user_folder):
    folder = use_compilation_cache()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o755)
    assert stat.S_IMODE(use_compilation_cache().stat().st_mode) == 0o700


def test_another_processor_has_another_folder(monkeypatch):
    folder = use_compilation_cache()
    assert use_compilation_cache() == folder
    monkeypatch.setattr(module, "_processor", lambda: "flags : avx1024")
    assert use_compilation_cache() != folder


def test_where_it_cannot_be_made_nothing_is_cached(user_folder):
    before = jax.config.jax_compilation_cache_dir
    user_folder.touch()
    assert use_compilation_cache() is None
    assert jax.config.jax_compilation_cache_dir == before


def test_where_it_cannot_be_written_nothing_is_cached(monkeypatch):
    before = jax.config.jax_compilation_cache_dir
    monkeypatch.setattr(module.os, "access", lambda path, mode: False)
    assert use_compilation_cache() is None
    assert jax.config.jax_compilation_cache_dir == before
