import json

import numpy as np
import pytest

from tinyunet.evaluation.result import Evaluation
from tinyunet.evaluation.scores import Evaluator


def evaluation(classes=("membrane", "cell"), *, boundary="membrane", baseline=True):
    rng = np.random.default_rng(0)
    evaluator = Evaluator(classes, boundary=boundary, temperature=1.5)
    for name in ("a", "b"):
        target = rng.integers(0, 2, (6, 7))  # a third class, if there is one, is absent: nan
        weights = rng.random((6, 7, len(classes))) + np.eye(len(classes))[target]
        probabilities = weights / weights.sum(axis=-1, keepdims=True)
        evaluator.add(name, probabilities, target, target if baseline else None)
    return evaluator.result()


EVALUATIONS = {
    "everything": evaluation(),
    "foreground": evaluation(("background", "foreground"), boundary=None),
    "three classes": evaluation(("a", "b", "c"), boundary="b", baseline=False),
    "least": evaluation(("a", "b", "c"), boundary=None, baseline=False),
}


@pytest.fixture(params=EVALUATIONS)
def found(request):
    return EVALUATIONS[request.param]


def test_the_file_has_the_documented_keys():
    written = evaluation().to_dict()
    overlap = {"dice", "iou", "precision", "recall", "accuracy", "mean_dice"}
    regions = {"threshold", "rand_f", "rand_precision", "rand_recall", "voi_split", "voi_merge", "voi"}
    sections = {"classes", "positive", "images", "pooled", "per_image_mean", "threshold", "boundary", "baseline"}
    assert set(written) == sections | {"objects", "calibration"}
    assert set(written["images"][0]) == {"name", "pixels", "at_half", "best", "objects"} | overlap
    assert set(written["pooled"]) == overlap
    assert set(written["per_image_mean"]) == {"absent"} | overlap
    assert set(written["threshold"]) == {"auc", "f1_at_half", "best_f1", "best_threshold"}
    assert set(written["calibration"]) == {"temperature", "before", "after"}
    assert set(written["calibration"]["after"]) == {"error", "loss", "reliability"}
    assert set(written["boundary"]) == {"class", "at_half", "best", "curve"}
    assert set(written["boundary"]["best"]) == set(written["boundary"]["curve"][0]) == regions
    assert set(written["baseline"]) == {"method", "pooled", "per_image_mean"}


def test_json_brings_back_the_same(found):
    written = json.dumps(found.to_dict(), allow_nan=False)
    again = Evaluation.from_dict(json.loads(written))
    assert json.dumps(again.to_dict(), allow_nan=False) == written


def test_what_comes_back_is_equal():
    found = evaluation()
    assert Evaluation.from_dict(found.to_dict()) == found


def test_nan_is_null_in_the_file_and_nan_again_when_read():
    found = EVALUATIONS["least"]
    written = found.to_dict()
    assert written["pooled"]["recall"][2] is None
    assert np.isnan(Evaluation.from_dict(written).pooled.recall[2])


def test_sections_that_do_not_apply_are_null():
    written = EVALUATIONS["least"].to_dict()
    assert (
        written["positive"]
        is written["threshold"]
        is written["boundary"]
        is written["baseline"]
        is written["objects"]
        is None
    )
    assert written["images"][0]["at_half"] is written["images"][0]["best"] is None


def test_a_file_of_before_there_was_calibration_is_read():
    written = evaluation().to_dict()
    del written["calibration"]
    assert Evaluation.from_dict(written).calibration is None


def test_keys_of_others_are_skipped():
    found = evaluation()
    assert Evaluation.from_dict({**found.to_dict(), "split": "test", "seconds": 1.5}) == found


@pytest.mark.parametrize(
    ("section", "key", "message"),
    [
        (None, "pooled", r"^An evaluation must have 'classes', .*; missing: 'pooled'\.$"),
        ("pooled", "dice", r"^OverlapScores must have 'dice', .*; missing: 'dice'\.$"),
        ("threshold", "auc", r"^ThresholdScores must have 'auc', .*; missing: 'auc'\.$"),
        ("boundary", "class", r"^BoundaryScores must have 'class', .*; missing: 'class'\.$"),
        ("calibration", "after", r"^TemperatureScores must have 'temperature', .*; missing: 'after'\.$"),
        ("baseline", "method", r"^BaselineScores must have 'method', .*; missing: 'method'\.$"),
    ],
)
def test_a_missing_key_is_an_error_with_its_name(section, key, message):
    written = evaluation().to_dict()
    (written[section] if section else written).pop(key)
    with pytest.raises(ValueError, match=message):
        Evaluation.from_dict(written)
