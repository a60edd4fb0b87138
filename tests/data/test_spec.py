import pytest

from tinyunet.data.labelling import ClassInfo
from tinyunet.data.spec import DatasetSpec, check_task, read_spec
from tinyunet.errors import ConfigError

TWO = '[[classes]]\nname = "membrane"\nvalue = 0\ncolor = "#000000"\n[[classes]]\nname = "cell"\nvalue = 255\n'


@pytest.fixture
def spec(tmp_path):
    """Reads a text as dataset.toml."""

    def read(text):
        path = tmp_path / "dataset.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_spec(path)

    return read


def test_every_key_is_read(spec):
    read = spec('task = "semantic"\nignore = 7\nboundary = "cell"\nspacing = [1, 0.5]\naxes = "yx"\n' + TWO)
    assert read == DatasetSpec(
        task="semantic",
        ignore=7,
        boundary="cell",
        classes=(ClassInfo("membrane", 0, "#000000"), ClassInfo("cell", 255, "#e69f00")),
        spacing=(1.0, 0.5),
        axes="yx",
    )


def test_letters_of_axes_may_be_capitals(spec):
    assert spec('axes = "ZYX"').axes == "zyx"


def test_a_colour_is_a_hexadecimal_number(spec):
    classes = spec(TWO.replace("255", "0xFF0000")).classes
    assert classes is not None
    assert classes[1].value == 0xFF0000


def test_a_file_that_is_not_there_declares_nothing(tmp_path):
    assert read_spec(tmp_path / "dataset.toml") == DatasetSpec()


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_file_declares_nothing(spec, text):
    assert spec(text) == DatasetSpec()


def test_windows_line_endings_and_a_byte_order_mark_are_accepted(spec):
    text = ('task = "semantic"\n' + TWO).replace("\n", "\r\n").encode("utf-8-sig")
    assert spec(text) == spec('task = "semantic"\n' + TWO)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task = semantic", r"dataset.toml must be a TOML file in UTF-8: .*line 1"),
        (b'task = "\xff"', r"dataset.toml must be a TOML file in UTF-8: .*can't decode"),
        ("tsak = 1", r"dataset.toml: unknown key 'tsak'. Did you mean 'task'\? Known: axes, boundary, classes"),
        ('task = "semantics"', r"dataset.toml: `task` must be a task that exists, .*Did you mean 'semantic'\?"),
        ("task = 3", r"dataset.toml: `task` must be a string, got 3\."),
        ("ignore = true", r"dataset.toml: `ignore` must be a whole number, got True\."),
        ("ignore = 255\n" + TWO, r"dataset.toml: `ignore` must be no class's value, got 255\. Remove one of the two\."),
        ("boundary = 0", r"dataset.toml: `boundary` must be the name of a class, got 0\."),
        ("spacing = [1, 0]", r"dataset.toml: `spacing` must be a list of positive numbers, got \[1, 0\]\."),
        ("spacing = 1.0", r"dataset.toml: `spacing` must be a list of positive numbers, got 1\.0\."),
        ("axes = 2", r"dataset.toml: `axes` must be a string such as \"zyx\", got 2\."),
        ('axes = "tyx"', r"dataset.toml: `axes` must hold y and x, and may hold z \(slices\) .*; got 'tyx'\."),
        ('axes = "zzyx"', r"dataset.toml: `axes` must hold y and x, .*; got 'zzyx'\."),
        ('axes = "zx"', r"dataset.toml: `axes` must hold y and x, .*; got 'zx'\."),
        ("classes = 3", r"dataset.toml: `classes` must be a list of tables, .*got 3\."),
        ("classes = [1, 2]", r"class 0 must be a table with `name` and `value`, got 1\."),
        ('[[classes]]\nname = "a"\nvalue = 1', r"`classes` must hold at least 2 classes, got 1\. Add the background\."),
        (TWO.replace("color", "colour"), r"class 0: unknown key 'colour'. Did you mean 'color'\?"),
        (TWO.replace("value = 255", ""), r"class 1 must have a `value`, got only name\."),
        (TWO.replace("255", '"x"'), r"class 1: `value` must be a whole number .*, got 'x'\."),
        (TWO.replace("cell", "membrane"), r"`name` must be given to one class only, got 'membrane' twice\."),
        (TWO.replace("255", "0"), r"`value` must be given to one class only, got 0 twice\."),
        (TWO.replace('"cell"', '" "'), r"class 1: `name` must not be empty\."),
        (TWO.replace("#000000", "black"), r"class 0: `color` must be \"#rrggbb\", got 'black'\."),
    ],
)
def test_what_cannot_be_used_is_named(spec, text, message):
    with pytest.raises(ConfigError, match=message) as error:
        spec(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("task", ["semantic", "foreground"])
def test_tasks_that_exist_pass(task):
    assert check_task(task, where="`task`") == task


def test_an_unknown_task_is_named_with_its_place():
    with pytest.raises(
        ConfigError, match=r"^`data.task` must be a task that exists, got 'x'. Known: foreground, instances, sem"
    ):
        check_task("x", where="`data.task`")
