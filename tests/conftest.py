"""What every test runs under: shape checks on the whole package, reproducible examples, and JAX on the CPU.

With JAX_PLATFORMS=cuda and JAX_DEFAULT_MATMUL_PRECISION=highest it is a graphics card.

This file is loaded before any test imports tinyunet, in every worker process and for the doctests in src/ too.
"""

import hashlib
import os
import platform
import signal
from pathlib import Path

import hypothesis
import platformdirs
import pytest
from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

pytest_plugins = ("browser", "reference.served")

REAL_DATA_SETS = ("isbi2012", "nuclei")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So it is where a shell runs the tests in the background, and no Ctrl-C would arrive in those that send one.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def processor() -> str:
    """What compiled code depends on: the processor's model and its instruction sets, as a short hash."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        facts = {
            line for line in cpuinfo.read_text().splitlines() if line.startswith(("model name", "flags", "Features"))
        }
    else:
        facts = {platform.processor()}
    return hashlib.sha256("\n".join([platform.machine(), *sorted(facts)]).encode()).hexdigest()[:12]


# JAX reads these when it is first imported; the commands that tests start as processes of their own inherit them.
# Compiling takes most of the time of these tests, thousands of programs of 50 ms each most of it. So what was compiled
# is kept between them, however small, outside the checkout.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
COMPILED = platformdirs.user_cache_path("tinyunet") / "tests" / processor()
COMPILED.mkdir(mode=0o700, parents=True, exist_ok=True)
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(COMPILED))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

# Every annotated function of the package checks its arguments and its result, shapes included. As for type checkers
# (PEP 484), an int is a float too.
check_types = beartype(conf=BeartypeConf(is_pep484_tower=True))
install_import_hook("tinyunet", f"{__name__}.check_types")

# A test may wait for a compilation, so no example has a deadline. In CI the same examples are tried every time.
hypothesis.settings.register_profile("local", deadline=None, max_examples=25)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=25, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of these tests."""
    parser.addoption(
        "--real-data",
        metavar="DIR",
        type=Path,
        help=f"folder that holds the real data sets {', '.join(REAL_DATA_SETS)}; tests on them are skipped without it",
    )
    parser.addoption(
        "--screenshots",
        metavar="DIR",
        type=Path,
        help="folder where tests in a browser keep pictures of their pages; none are taken without it",
    )


def pytest_configure(config: pytest.Config) -> None:
    """A folder that does not hold the data sets is an error: a skipped test would hide it."""
    folder = config.getoption("--real-data")
    if folder is None:
        return
    missing = [name for name in REAL_DATA_SETS if not (folder / name / "images").is_dir()]
    if missing:
        raise pytest.UsageError(
            f"--real-data {folder} must hold {', '.join(REAL_DATA_SETS)}; missing: {', '.join(missing)}."
        )


@pytest.fixture(scope="session")
def real_data(request: pytest.FixtureRequest) -> Path:
    """The folder of real data sets; without the option, the test that asks for it is skipped."""
    folder = request.config.getoption("--real-data")
    if folder is None:
        pytest.skip(f"needs real data: pytest --real-data=DIR, a folder that holds {', '.join(REAL_DATA_SETS)}")
    return folder.resolve()
