import pytest
from reference import tiny


def test_the_founding_pages_walk_is_printed(capsys):
    assert tiny.command("summary", "--image-shape", 8, 8, 1, "--features", 2) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["value", "shape", "made", "by"]
    assert "(1, 8, 8, 1)" in lines[1]
    assert "(1, 8, 8, 2)" in lines[-1]
    assert any("(1, 2, 2, 8)" in line for line in lines)  # two poolings down, four times the channels


def test_depth_and_preset_are_those_given(capsys):
    assert tiny.command("summary", "--image-shape", 8, 8, 1, "--features", 2, "--depth", 1) == 0
    shallow = capsys.readouterr().out
    assert "(1, 4, 4, 4)" in shallow
    assert "(1, 2, 2, 8)" not in shallow
    assert tiny.command("summary", "--preset", "unet2015", "--image-shape", 572, 572, 1) == 0
    assert "(1, 388, 388, 64)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--image-shape", 8, 8], "--image-shape must be height, width, channels, got [8, 8]."),
        (["--image-shape", 0, 8, 1], "--image-shape must be height, width, channels, got [0, 8, 1]."),
        (["--features", 0], "`model.features` must be from 1 to 4096, got 0."),
        (["--preset", "tinny"], "No preset is called 'tinny'. Did you mean 'tiny'? Known: seed, tiny, unet2015."),
    ],
)
def test_what_cannot_be_walked_is_one_line(capsys, arguments, text):
    assert tiny.command("summary", *arguments) == 2
    assert capsys.readouterr().err == f"error: {text}\n"


def test_a_size_that_does_not_divide_names_one_that_does(capsys):
    assert tiny.command("summary", "--image-shape", 9, 8, 1) == 2
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    assert text.count("\n") == 1
    assert "8" in text
    assert "12" in text
