"""The documentation is true: its blocks run, its links resolve, its reference pages are those of the code.

Every `python` and `sh` block of a page is run, in the page's order and one folder, unless the line before it is the
comment `<!-- not run: why -->`. Trainings are made tiny. A comment after `print(...)`, or on lines of its own after it,
is what must be printed; a block after `<!-- printed -->` is what the block before it must print.
"""

import dataclasses
import re
import runpy
import shlex
import shutil
import subprocess
import typing
from pathlib import Path

import numpy as np
import pytest
from reference.served import TOKEN, serving

import tinyunet
from tinyunet.cli.main import COMMANDS, main, parser
from tinyunet.data.readers import read_image
from tinyunet.data.synthetic import write_cells
from tinyunet.data.writers import write_png
from tinyunet.runs.config import Config
from tinyunet.runs.predict import PredictOptions, plan_jobs, predict_files
from tinyunet.web.serve.results import Result

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]

TINY = [
    *("model.features=4", "model.depth=2", "batches.patch=32", "batches.margin=0", "batches.batch=2"),
    *("augment.warp_probability=0.0", "train.validations=1"),
]


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block, and the comment on the line before it."""

    language: str
    text: str
    comment: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    found = re.finditer(
        r"(?:^<!-- ([^\n]*) -->\n)?^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return [Block(match[2], match[3], match[1] or "") for match in found]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def run_sh(text: str) -> None:
    """Runs the lines of a block, each a command of ours."""
    for line in text.splitlines():
        name, command, *rest = shlex.split(line, comments=True)
        assert name == "tinyunet", f"only tinyunet's own commands are run: {line}"
        if command == "train" and not {"--resume", "--config"} & set(rest):
            short = re.sub(r"--(minutes|steps) \S+", "", shlex.join(rest))
            rest = [*(word for value in TINY for word in ("--set", value)), *shlex.split(short), "--steps", "2"]
        cache = ["--no-cache"]  # the tests have a cache of their own
        assert main([command, *rest, *cache]) == 0, line


def run_python(text: str, names: dict[str, typing.Any]) -> None:
    """Runs a block in the page's namespace."""
    short = re.sub(r"minutes=[\d.]+", f"steps=2, settings={TINY}", text)
    short = re.sub(r"write_cells\((.*)\)", r"write_cells(\1, shape=(32, 32))", short)
    short = re.sub(r"shape=\(8, 40, 40\)", "shape=(4, 16, 16)", short)
    exec(compile(short, "<documentation>", "exec"), names)


def promised(text: str) -> list[str]:
    """What a python block says that it prints, line by line."""
    return re.findall(r"(?:print\(.*\)  |^    )# (.*)$", text, re.MULTILINE)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """What a reader has: `cells`, a data set; `new`, images; `my-run`, a run trained on `cells`."""
    folder = tmp_path_factory.mktemp("docs")
    write_cells(folder / "cells", train=3, val=1, test=1, shape=(32, 32))
    (folder / "new").mkdir()
    write_png(folder / "new" / "a.png", read_image(folder / "cells" / "images" / "test-000.png")[..., 0])
    tinyunet.train(folder / "cells", folder / "my-run", steps=2, settings=TINY, quiet=True)
    return folder


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_blocks_run(page, prepared, tmp_path, monkeypatch, capsys):
    for name in ("cells", "new", "my-run"):
        shutil.copytree(prepared / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    everything = "\n".join(block.text for block in blocks(page))
    if re.search(r"tinyunet train .*--out my-run", everything):
        shutil.rmtree("my-run")
    if "write_cells(" in everything:
        shutil.rmtree("cells")
    names: dict[str, typing.Any] = {"__name__": "documentation"}
    printed = ""
    for block in blocks(page):
        if block.comment.startswith("not run: "):
            continue
        if block.comment == "printed":
            assert block.text.strip() == printed.strip()
        elif block.language in ("python", "sh"):
            if re.search(r"train .*--out my-run", block.text):
                shutil.rmtree("my-run", ignore_errors=True)
            if block.language == "sh":
                run_sh(block.text)
            else:
                run_python(block.text, names)
            printed = capsys.readouterr().out
            if said := promised(block.text):
                assert printed.splitlines() == said


def test_the_page_on_serving_is_true(prepared, tmp_path, monkeypatch, capsys):
    page = DOCS / "how-to" / "serve.md"
    install, curl, python, proxy = blocks(page)
    commands = [line for block in (install, proxy) for line in block.text.splitlines() if line.startswith("tinyunet ")]
    assert [parser().parse_args(shlex.split(line)[1:]).allow_host for line in commands] == [[], ["lab.example.org"]]
    shutil.copytree(prepared / "new", tmp_path / "new")
    monkeypatch.chdir(tmp_path)
    jobs = plan_jobs(["new/a.png"], "out", probabilities=True)
    run = tinyunet.load(prepared / "my-run")
    predict_files(run, jobs, PredictOptions(probabilities=True), quiet=True)
    with serving(run) as url:
        here = url.split("/")[2]

        def told(text):
            return text.replace("127.0.0.1:8420", here).replace("paste-it-here", TOKEN)

        run_python(told(python.text), {})
        assert capsys.readouterr().out.splitlines() == promised(python.text)
        if shutil.which("curl") is None:
            return  # what it would send, the tests of the interface send too
        subprocess.run(["bash", "-e", "-c", told(curl.text)], check=True, timeout=120, stdout=subprocess.DEVNULL)
    assert Path("labels.png").read_bytes() == jobs[0].labels.read_bytes()
    assert Path("a.npy").read_bytes() == jobs[0].probabilities.read_bytes()
    results = re.findall(r"^\| `([\w.]+)`(?:, `([\w.]+)`)?.* \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name for names in results for name in names if name} == set(typing.get_args(Result))


def test_the_script_for_slurm_is_one():
    (script,) = (
        block.text
        for block in blocks(DOCS / "how-to" / "train-on-several-machines.md")
        if block.text.startswith("#!/bin/bash")
    )
    subprocess.run(["bash", "-n"], input=script, text=True, check=True, timeout=10)
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", script, re.MULTILINE))
    assert len(options) == script.count("#SBATCH")
    assert options["ntasks-per-node"] == options["gpus-per-node"]  # JAX gives each process of a machine one GPU
    processes = int(options["nodes"]) * int(options["ntasks-per-node"])
    assert re.fullmatch(r"TERM@\d+", options["signal"])  # without B: it goes to the processes, not to the shell
    lines = re.findall(r"srun --kill-on-bad-exit=1 tinyunet (.*)$", script, re.MULTILINE)
    resumed, begun = (parser().parse_args(shlex.split(line)) for line in lines)
    assert resumed.resume == begun.out
    assert f"[ -f {begun.out}/config.toml ]" in script
    (batch,) = (int(value.removeprefix("batches.batch=")) for value in begun.settings)
    assert batch % processes == 0


def test_every_runnable_language_is_spelt_as_we_look_for_it():
    languages = {block.language for page in PAGES for block in blocks(page)}
    assert languages <= {"python", "sh", "toml", "text", ""}


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_resolve(page):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", prose(page)):
        if target.startswith("https://"):
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(path), f"{page.name} links to {target}#{anchor}"


def test_every_page_can_be_reached_from_the_readme():
    linked = {(ROOT / target).resolve() for target in re.findall(r"\]\(([^)#\s]+)\)", prose(ROOT / "README.md"))}
    assert {page for page in DOCS.rglob("*.md") if page.name != "README.md"} <= linked


def test_reference_pages_are_what_their_script_writes():
    for name, page in runpy.run_path(str(DOCS / "reference" / "make.py"))["PAGES"].items():
        written = (DOCS / "reference" / name).read_text(encoding="utf-8")
        assert written == page() + "\n", f"run: python docs/reference/make.py (docs/reference/{name} is old)"


def keys(cls: type) -> set[str]:
    """The names of all fields of a dataclass and of those inside it that are no tables."""
    found = set()
    for name, kind in typing.get_type_hints(cls).items():
        inner = [option for option in (kind, *typing.get_args(kind)) if dataclasses.is_dataclass(option)]
        found |= keys(inner[0]) if inner else {name}
    return found


def test_the_configuration_page_explains_every_key():
    text = (DOCS / "reference" / "configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]* \| (.+) \|$", text, re.MULTILINE)
    assert keys(Config) <= {key for key, meaning in rows if len(meaning) > 5}


def test_the_command_page_has_every_command():
    text = (DOCS / "reference" / "command-line.md").read_text(encoding="utf-8")
    assert re.findall(r"^## tinyunet (\w+)$", text, re.MULTILINE) == list(COMMANDS)


def test_the_python_page_has_every_public_name():
    text = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    assert {name for name in tinyunet.__all__ if name not in text} == set()


def test_the_readme_shows_what_it_says():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/tinyunet demo\n" in text
    assert "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest\n" in text
    picture, volume, page = re.findall(r"!\[.*\]\((.*)\)", text)
    assert all(np.ptp(read_image(ROOT / other)) > 100 for other in (volume, page))
    shown = read_image(ROOT / picture)
    assert np.ptp(shown) > 100
    assert shown.shape[1] > 3 * shown.shape[0]
