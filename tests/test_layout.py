"""The layout's own rules: tests mirror sources, names say something, and importing the package costs nothing."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tinyunet

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "tinyunet"
TESTS = ROOT / "tests"

# Sources without a test file of their own: a package's docstring, and the entry point that tests/cli starts.
UNTESTED = {"__init__.py", "__main__.py"}
# Test files that mirror no source file: this one, those of several files or of JavaScript, and that of examples/.
FREE_TESTS = {
    "test_bad_folders.py",
    "test_objects.py",
    "test_volumes.py",
    "test_object_volumes.py",
    "test_layout.py",
    "test_examples.py",
    "test_docs.py",
    "test_benchmarks.py",
    "test_browser.py",
    "test_devices.py",
    "web/studio/test_loop.py",
    "web/studio/test_page.py",
    "web/studio/test_page_modules.py",
    "test_webpage.py",
    "test_serve_page.py",
}

MEANINGLESS = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core"}

# Libraries whose name for `import` is not their name for `pip`.
DISTRIBUTIONS = {"PIL": "pillow", "orbax": "orbax-checkpoint", "skimage": "scikit-image", "tomli_w": "tomli-w"}
# What comes with another library, by whose version it is chosen; and what another one imports for us.
BROUGHT = {"starlette", "pydantic", "markupsafe"}
UNSEEN = {"python-multipart"}

HEAVY = [
    *("jax", "jaxlib", "flax", "optax", "orbax", "grain", "numpy", "scipy", "skimage", "PIL", "matplotlib", "rich"),
    *("fastapi", "starlette", "uvicorn"),
]


def expected_tests() -> dict[Path, Path]:
    """Each source file's test file, where it must lie, to the source file; both relative to their trees."""
    paths = (path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if path.name not in UNTESTED)
    return {path.with_name(f"test_{path.name}"): path for path in paths}


def existing_tests() -> set[Path]:
    """Every test file, relative to tests/."""
    return {path.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}


def imported_libraries(path: Path) -> set[str]:
    """The top-level names that a file imports anywhere, in functions too."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {name.split(".")[0] for name in names}


def loaded_by(code: str) -> set[str]:
    """Which of the heavy libraries a fresh interpreter has loaded after running `code`."""
    report = f"\nimport sys; print('LOADED', *[name for name in {HEAVY} if name in sys.modules])"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(SOURCE.parent)!r})\n{code}{report}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_every_source_file_has_a_test_file():
    missing = {
        f"src/tinyunet/{source} wants tests/{test}"
        for test, source in expected_tests().items()
        if test not in existing_tests()
    }
    assert not missing


def test_every_test_file_mirrors_a_source_file():
    strays = {str(path) for path in existing_tests() if path not in expected_tests() and str(path) not in FREE_TESTS}
    assert not strays


def test_every_python_file_below_tests_is_run_or_is_a_reference():
    shared = {Path("conftest.py"), Path("browser.py")}
    others = {path.relative_to(TESTS) for path in TESTS.rglob("*.py")} - existing_tests() - shared
    assert not {str(path) for path in others if path.parts[0] != "reference"}


def test_names_say_what_is_in_the_file():
    paths = [*SOURCE.rglob("*"), *TESTS.rglob("*")]
    assert not {str(path) for path in paths if path.stem.removeprefix("test_") in MEANINGLESS}


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import tinyunet; dir(tinyunet)") == set()


def test_the_check_above_sees_what_is_loaded():
    assert loaded_by("import tinyunet.models.unet") >= {"jax", "flax", "numpy"}


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["serve", "--help"]], ids=" ".join)
def test_help_loads_nothing_heavy(arguments):
    code = (
        f"import sys; sys.argv[1:] = {arguments}\n"
        "from tinyunet.cli.main import main\n"
        "try:\n    status = main()\nexcept SystemExit as stop:\n    status = stop.code\n"
        "assert not status, status"
    )
    assert loaded_by(code) == set()


def test_data_and_evaluation_run_on_the_host_alone():
    """Checking a folder of images waits for no JAX: only augmentation is written in it."""
    augmentation = SOURCE / "data" / "augment"
    files = [path for part in ("data", "evaluation") for path in (SOURCE / part).rglob("*.py")]
    names = [
        ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
        for path in files
        if augmentation not in path.parents
    ]
    assert "jax" not in loaded_by("\n".join(f"import {name}" for name in names if not name.endswith("__init__")))


@pytest.mark.parametrize("name", tinyunet.__all__)
def test_public_names_resolve(name):
    value = getattr(tinyunet, name)
    assert value.__name__ == name
    assert value.__doc__


def test_public_names_are_listed_before_they_are_loaded():
    assert set(tinyunet.__all__) <= set(dir(tinyunet))


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'tinyunet' has no attribute 'Unet'"):
        _ = tinyunet.Unet


def test_type_checkers_see_the_same_public_names():
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == tinyunet._HOME
    assert set(tinyunet.__all__) == set(seen)


def test_the_libraries_declared_are_those_imported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["dask"], *extras["onnx"], *extras["web"]]
    declared = {re.match(r"[\w-]+", line)[0] for line in lines} - UNSEEN
    imported = set().union(*(imported_libraries(path) for path in SOURCE.rglob("*.py")))
    imported -= {*sys.stdlib_module_names, "tinyunet", "tinyunet_native"}  # the last is found and used if installed
    imported -= BROUGHT
    assert {DISTRIBUTIONS.get(name, name) for name in imported} == declared


def test_the_lock_is_of_this_project_and_names_public_sources_only():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    packages = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    locked = next(package for package in packages if package["name"] == "tinyunet")["metadata"]["requires-dist"]
    wanted = {(line, None) for line in project["dependencies"]}
    wanted |= {(line, extra) for extra, lines in project["optional-dependencies"].items() for line in lines}
    found = {
        (line["name"] + line.get("specifier", ""), line["marker"].split("'")[1] if "marker" in line else None)
        for line in locked
    }
    assert found == wanted
    others = {str(package["source"]) for package in packages if package["name"] != "tinyunet"}
    assert others == {str({"registry": "https://pypi.org/simple"})}
