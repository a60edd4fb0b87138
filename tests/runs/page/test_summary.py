from pathlib import Path

import numpy as np
import pytest

from tinyunet.evaluation.scores import Evaluator, Instances
from tinyunet.runs.page.record import RunRecord
from tinyunet.runs.page.summary import best_validation, cautions, headline, images_text, key_facts

START = {"event": "start", "step": 0}
END = {"event": "end", "step": 1200, "reason": "finished", "seconds": 298.2}


def record(evaluation=None, *events, evaluated="test"):
    return RunRecord(
        run=Path("run"),
        config_text=None,
        labelling=None,
        split=None,
        fingerprint=None,
        evaluation=evaluation,
        evaluated=evaluated,
        events=tuple(events),
        cut_short=False,
        pictures=(),
    )


def evaluate(prediction, target, *, classes=("background", "cell"), images=6, baseline=None):
    evaluator = Evaluator(classes)
    sure = np.eye(len(classes))[np.array([prediction])]
    for i in range(images):
        evaluator.add(f"image {i}", sure, np.array([target]), None if baseline is None else np.array([baseline]))
    return evaluator.result()


GOOD = evaluate([1, 1, 0, 0], [1, 1, 1, 0], baseline=[0, 0, 1, 0])  # Dice 0.8, Otsu 0.5


def test_the_headline_compares_with_thresholding():
    assert headline(record(GOOD)) == (
        "On 6 test images it finds cell with Dice 0.80 (0 to 1, higher is better); thresholding alone reaches 0.50."
    )


def test_the_headline_without_a_baseline_ends_earlier():
    scores = evaluate([1, 0], [1, 0], images=1, classes=("background", "foreground"))
    assert headline(record(scores, evaluated="val")) == (
        "On 1 validation image it finds the foreground with Dice 1.00 (0 to 1, higher is better)."
    )


def test_the_headline_of_many_classes_is_about_their_mean():
    scores = evaluate([0, 1, 2], [0, 1, 2], classes=("a", "b", "c"))
    assert headline(record(scores)) == (
        "On 6 test images it tells 3 classes apart with a mean Dice of 1.00 (0 to 1, higher is better)."
    )


def test_the_headline_where_there_is_nothing_to_find():
    assert headline(record(evaluate([0, 0], [0, 0]))) == (
        "On 6 test images there is no cell, and none is found: nothing can be scored."
    )


def test_the_headline_of_a_run_that_was_only_trained():
    events = [{"event": "validate", "step": s, "score": v, "best": b} for s, v, b in ((1, 0.4, True), (2, 0.3, False))]
    assert best_validation(record(None, *events))["step"] == 1
    assert headline(record(None, *events)) == (
        "Not evaluated yet. In training, the validation images reached a mean Dice of 0.40 (0 to 1, higher is better)."
    )
    assert headline(record()).startswith("Not evaluated yet, and nothing was validated")


def test_key_facts_say_what_they_are_taken_over():
    facts = [(fact.label, fact.value, fact.note) for fact in key_facts(record(GOOD, START, END))]
    assert facts == [
        ("Dice of cell", "0.800", "pooled: all pixels of 6 test images together"),
        ("Mean over images", "0.800", "of each image’s own score"),
        ("Worst image", "0.800", "image 0"),
        ("Without learning", "0.500", "Otsu's threshold, pooled too"),
        ("Training", "4 min 58 s", "1,200 steps"),
    ]
    assert key_facts(record()) == ()


def test_a_sound_run_needs_no_caution():
    assert cautions(record(GOOD, START, END)) == ()


@pytest.mark.parametrize(
    ("changed", "caution"),
    [
        (record(GOOD, START, END, evaluated="train"), "The model was trained on these very images"),
        (record(GOOD, START, END, evaluated="val"), "These images chose the weights"),
        (record(evaluate([1], [1], images=4), START, END), "With only 4 test images, others could well score"),
        (
            record(evaluate([1, 0], [1, 1], baseline=[1, 0]), START, END),
            "Otsu's threshold, which learns nothing, does as well or better",
        ),
        (record(GOOD, START), "The training has not ended"),
        (record(GOOD, START, END | {"reason": "time"}), "ended early, at step 1,200, because its time was over."),
        (record(GOOD, START, END | {"reason": "stopped"}), "because it was stopped."),
        (record(GOOD, START, END | {"reason": "diverged"}), "because its loss was no longer a number."),
        (record(GOOD, START, END | {"reason": "flood"}), "because it was interrupted."),
        (record(None, START, END), "There are no scores yet."),
    ],
)
def test_what_a_reader_must_know_is_said(changed, caution):
    (found,) = cautions(changed)
    assert caution in found


def test_a_split_of_another_name_is_shown_as_it_is():
    assert images_text(record(GOOD, evaluated="north")) == "6 north images"


def test_of_objects_the_headline_says_how_many_are_found():
    def scored(found, true):
        evaluator = Evaluator(("background", "object"))
        found, true = np.array([found]), np.array([true])
        evaluator.add("a", np.eye(2)[np.minimum(found, 1)], np.minimum(true, 1), instances=Instances(found, true))
        return record(evaluator.result())

    half = scored([1, 1, 0, 2, 0], [5, 5, 5, 0, 7])
    assert headline(half) == (
        "On 1 test image it finds 50.0 % of the 2 objects, and 50.0 % of what it finds are objects: average "
        "precision at an overlap of one half 0.33 (0 to 1, higher is better)."
    )
    assert [(fact.label, fact.value) for fact in key_facts(half)][:2] == [
        ("AP at 0.5", "0.333"),
        ("Without parting", "0.333"),
    ]
    assert headline(scored([0, 0], [0, 0])) == (
        "On 1 test image there is no object, and none is found: nothing can be scored."
    )
