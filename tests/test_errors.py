import pytest

from tinyunet.errors import CheckpointError, ConfigError, DataError, TinyUNetError, TrainingError, suggest


@pytest.mark.parametrize("kind", [DataError, ConfigError, CheckpointError, TrainingError])
def test_every_error_is_one_that_the_command_line_prints(kind):
    assert issubclass(kind, TinyUNetError)
    assert str(kind("a.png is empty.")) == "a.png is empty."


def test_a_data_error_holds_its_problems_one_on_a_line():
    error = DataError("a.png is empty.", "b.png has no mask.")
    assert error.problems == ("a.png is empty.", "b.png has no mask.")
    assert str(error) == "a.png is empty.\nb.png has no mask."


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fetures", "Did you mean 'features'? Known: depth, features."),
        ("features", "Did you mean 'features'? Known: depth, features."),
        ("x", "Known: depth, features."),
        ("", "Known: depth, features."),
    ],
)
def test_a_suggestion_is_the_nearest_known_name(name, expected):
    assert suggest(name, ["features", "depth"]) == expected


def test_known_names_are_left_as_they_were():
    known = ["b", "a"]
    suggest("c", known)
    assert known == ["b", "a"]
