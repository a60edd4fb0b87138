"""Classes from outside."""

import pytest

from tinyunet.data.labelling import ClassInfo, Labelling
from tinyunet.errors import ConfigError
from tinyunet.web.studio.classes import at_the_start, changed, with_class, with_ignore


def test_a_class_takes_the_first_value_that_is_free():
    labelling = with_class(at_the_start(), "  rim \n one ", "#00FF00")
    assert labelling.classes[2] == ClassInfo("rim one", 2, "#00ff00")
    cells = Labelling("semantic", (ClassInfo("membrane", 0, "#000000"), ClassInfo("cell", 255, "#ffffff")), ignore=1)
    assert with_class(cells, "vesicle", "#123456").classes[2].value == 2


def test_names_and_colours_change_and_the_boundary_with_them():
    labelling = Labelling("semantic", at_the_start().classes, ignore=255, boundary="object")
    found = changed(labelling, 1, name="cell", color=None)
    assert (found.classes[1], found.boundary) == (ClassInfo("cell", 1, "#e0752d"), "cell")
    assert changed(labelling, 1, name=None, color="#ABCDEF").colors[1] == "#abcdef"
    assert changed(labelling, 1, name="object", color=None) == labelling


@pytest.mark.parametrize("name", ["", "  ", "a" * 65, "bell\x07"])
def test_names_that_cannot_be_shown_are_refused(name):
    with pytest.raises(ConfigError, match="1 to 64 letters"):
        with_class(at_the_start(), name, "#000000")


def test_what_cannot_be_is_said():
    with pytest.raises(ConfigError, match="'object' is taken"):
        with_class(at_the_start(), "object", "#000000")
    with pytest.raises(ConfigError, match="The colour of a class must be like"):
        changed(at_the_start(), 0, name=None, color="red")
    with pytest.raises(ConfigError, match="task foreground has two classes and no more"):
        with_class(Labelling("foreground", at_the_start().classes), "more", "#000000")
    labelling = at_the_start()
    for k in range(2, 64):
        labelling = with_class(labelling, f"class {k}", "#000000")
    with pytest.raises(ConfigError, match="There are 64 classes already"):
        with_class(labelling, "more", "#000000")


def test_the_ignored_value_is_nobodys():
    rgb = Labelling("semantic", (ClassInfo("a", 0xFF00FF, "#ff00ff"), ClassInfo("b", 0, "#000000")), kind="rgb")
    assert with_ignore(rgb).ignore == 0xFF00FE
    assert with_ignore(at_the_start()) == at_the_start()
