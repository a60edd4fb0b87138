"""What the page is told."""

import json

import pytest
from reference.painted import SIDE, add_pictures, dots, open_studio, stroke

from tinyunet.runs.live.showing import Shown
from tinyunet.web.studio.state import state_of


@pytest.fixture
def studio(tmp_path):
    opened = open_studio(tmp_path / "cells")
    yield opened
    opened.close()


def test_an_empty_folder(studio):
    state = state_of(studio)
    assert state == json.loads(json.dumps(state))
    assert (state["folder"], state["images"], state["suggestion"]) == ("cells", [], None)
    assert [one["name"] for one in state["classes"]] == ["background", "object"]
    training = {"state": "waiting", "step": 0, "seconds": 0.0, "loss": None, "version": 0, "agreement": None}
    assert {key: state["training"][key] for key in training} == training


def test_the_most_doubtful_image_that_is_least_painted_is_suggested(studio):
    (first, truth), (second, _), (third, _) = add_pictures(studio, 3)
    for entry, doubt in ((first, 0.9), (second, 0.4), (third, 0.5)):
        studio.training.showing._shown[entry.stem] = Shown(3, 7, b"", b"", doubt, 0, 0)
    assert state_of(studio)["suggestion"] == first.id
    studio.paint(first, stroke(dots(truth, 0, count=60)))  # more than a fiftieth
    state = state_of(studio)
    assert state["suggestion"] == third.id
    assert state["images"][0] == {
        "id": first.id,
        "name": "picture 0.png",
        "width": SIDE,
        "height": SIDE,
        "painted": 60 / SIDE**2,
        "labelRevision": 1,
        "predictionVersion": 3,
        "predictionNumber": 7,
        "doubt": 0.9,
    }


def test_the_revision_grows_and_masks_that_cannot_be_written_are_said(studio):
    before = state_of(studio)["revision"]
    add_pictures(studio, 1)
    assert state_of(studio)["revision"] > before
    studio.masks.problem = "The disk is full."
    assert state_of(studio)["training"]["detail"] == "The disk is full."
    studio.masks.problem = None
