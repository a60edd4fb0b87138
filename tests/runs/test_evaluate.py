import json
import re
import shutil

import numpy as np
import pytest
from reference import tiny

from tinyunet.data.folder import open_folder
from tinyunet.errors import DataError
from tinyunet.evaluation.panel import PANEL_GAP, panel
from tinyunet.evaluation.result import Evaluation
from tinyunet.runs import evaluate as module
from tinyunet.runs.evaluate import choose_images, evaluate
from tinyunet.runs.run import load
from tinyunet.runs.weights import read_weights, write_weights

WALLS = (
    'boundary = "wall"\n[[classes]]\nname = "wall"\nvalue = 0\ncolor = "#000000"\n'
    '[[classes]]\nname = "cell"\nvalue = 255\ncolor = "#ffffff"\n'
)
PARTS = {"0": "test", "1": "test", "2": "val", "3": "train", "4": "train", "5": "test"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Six images, three of them declared test."""
    root = tiny.write_pairs(tmp_path_factory.mktemp("evaluate") / "cells")
    lines = ["name,split", *(f"{name},{part}" for name, part in PARTS.items())]
    (root / "split.csv").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    return tiny.train_tiny(data, tmp_path_factory.mktemp("evaluate") / "run")


@pytest.fixture
def run(trained, tmp_path):
    """A run of its own, to be written into."""
    return shutil.copytree(trained, tmp_path / "run")


def counted(run, names):
    """Labels predicted and true of each image, as plain arrays."""
    return {name: (load(run).predict(tiny.picture(int(name))[0]), tiny.picture(int(name))[1]) for name in names}


def dice(pairs, k):
    both = sum(int(((predicted == k) & (truth == k)).sum()) for predicted, truth in pairs)
    either = sum(int((predicted == k).sum() + (truth == k).sum()) for predicted, truth in pairs)
    return 2 * both / either if either else np.nan


def test_scores_are_those_of_the_predictions(run, data):
    found = evaluate(run, data, quiet=True)
    pairs = counted(run, ["0", "1", "5"])
    assert [image.name for image in found.images] == ["0", "1", "5"]
    assert found.classes == ("background", "foreground")
    assert found.positive == "foreground"
    np.testing.assert_allclose(found.pooled.dice, [dice(pairs.values(), k) for k in (0, 1)])
    right = [(predicted == truth).mean() for predicted, truth in pairs.values()]
    np.testing.assert_allclose([image.accuracy for image in found.images], right)
    np.testing.assert_allclose(found.per_image_mean.accuracy, np.mean(right))
    each = [dice([pair], 0) for pair in pairs.values()]
    np.testing.assert_allclose(found.per_image_mean.dice[0], np.mean(each))
    assert found.baseline.pooled.dice[1] > 0.99  # bright rectangles need no learning
    assert 0 <= found.threshold.auc <= 1


def test_a_run_folder_keeps_the_scores_previews_and_a_report(run, data, tmp_path):
    found = evaluate(run, data, json_file=tmp_path / "scores.json", quiet=True)
    table = json.loads((run / "evaluation.json").read_text())
    assert table == json.loads((tmp_path / "scores.json").read_text())
    assert table["split"] == "test"
    assert table["seconds"] > 0
    assert Evaluation.from_dict(table).to_dict() == found.to_dict()
    pictures = sorted(path.name for path in (run / "previews").iterdir())
    assert [name.split("_")[0] for name in pictures] == ["best", "median", "worst"]
    assert tiny.pixels(run / "previews" / pictures[0]).shape == (tiny.SIDE, 4 * tiny.SIDE + 3 * PANEL_GAP, 3)
    page = (run / "report.html").read_text()
    assert "Otsu" in page
    assert page.count("data:image/png") == 12


def test_calibration_is_compared_before_and_after_scaling(run, data):
    variables, config, *_ = read_weights(run / "model.safetensors")
    write_weights(run / "model.safetensors", variables, config)
    plain = evaluate(run, data, quiet=True)
    assert plain.calibration.temperature == 1
    write_weights(run / "model.safetensors", variables, config, temperature=0.5)
    found = evaluate(run, data, quiet=True)
    assert found.calibration.temperature == 0.5
    assert found.calibration.before == plain.calibration.after != found.calibration.after
    for part in ("pooled", "images", "per_image_mean"):
        assert found.to_dict()[part] == plain.to_dict()[part]
    page = (run / "report.html").read_text()
    assert "before scaling" in page
    assert "after scaling" in page
    truth = np.concatenate([tiny.picture(n)[1].ravel() for n in (0, 1, 5)])
    said = np.concatenate([load(run).probabilities(tiny.picture(n)[0]).reshape(-1, 2) for n in (0, 1, 5)])
    assert found.calibration.after.loss == pytest.approx(
        -np.log(np.where(truth, said[:, 1], said[:, 0])).mean(), rel=1e-5
    )


def test_previews_of_an_evaluation_before_are_removed(run, data):
    tiny.save(run / "previews/best_old.png", np.zeros((2, 2), np.uint8))
    evaluate(run, data, split="val", quiet=True)
    assert [path.name for path in (run / "previews").iterdir()] == ["best_2.png"]


def test_a_preview_leaves_the_class_that_is_not_looked_for_untinted(tmp_path):
    data = tiny.write_pairs(tmp_path / "cells")
    (data / "dataset.toml").write_text(WALLS)
    run = tiny.train_tiny(data, tmp_path / "run")
    found = evaluate(run, data, quiet=True)
    assert (found.positive, found.boundary.name) == ("wall", "wall")
    name = found.images[0].name
    image, truth = tiny.picture(int(name))
    labels = load(run).predict(image)
    expected = panel(image[..., None], labels, truth.astype(np.int32), ("#000000", "#ffffff"), background=1)
    np.testing.assert_array_equal(tiny.pixels(run / f"previews/best_{name}.png"), expected)


def test_the_single_file_is_evaluated_alike_and_nothing_is_written_beside_it(run, data, tmp_path):
    alone = tmp_path / "alone" / "model.safetensors"
    alone.parent.mkdir()
    shutil.copy(run / "model.safetensors", alone)
    assert evaluate(alone, data, quiet=True).to_dict() == evaluate(run, data, quiet=True).to_dict()
    assert [path.name for path in alone.parent.iterdir()] == ["model.safetensors"]


def test_flips_and_turns_change_the_scores(run, data):
    plain, averaged = (evaluate(run, data, tta=tta, quiet=True).threshold.auc for tta in (False, True))
    assert plain != averaged


def chosen(run, root, split=None):
    return choose_images(load(run), open_folder(root, minimum_pairs=1), split)


def test_the_split_that_the_run_has_recorded_counts(trained, data, tmp_path):
    other = shutil.copytree(data, tmp_path / "cells")
    (other / "split.csv").unlink()  # what the folder would say by itself would be drawn
    assert chosen(trained, other) == ("test", ("0", "1", "5"))
    assert chosen(trained, other, "train") == ("train", ("3", "4"))
    assert chosen(trained, other, "all") == ("all", tuple("012345"))


def renamed(data, root):
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
        for path in (data / kind).iterdir():
            shutil.copy(path, root / kind / f"new{path.name}")
    return root


def test_another_data_set_is_all_new_unless_it_declares_a_split(trained, data, tmp_path):
    other = renamed(data, tmp_path / "other")
    assert chosen(trained, other) == ("all", tuple(f"new{name}" for name in PARTS))
    with pytest.raises(
        DataError, match=r"declares no split and is not what the run was trained on; use --split all\.$"
    ):
        chosen(trained, other, "val")
    lines = [f"new{name},{part}" for name, part in PARTS.items()]
    (other / "split.csv").write_text("\n".join(["name,split", *lines]))
    assert chosen(trained, other) == ("test", ("new0", "new1", "new5"))


def test_without_test_images_it_is_the_validation_images_and_asking_for_them_is_an_error(trained, data, tmp_path):
    other = renamed(data, tmp_path / "other")
    lines = [f"new{name},{part}" for name, part in PARTS.items()]
    (other / "split.csv").write_text("\n".join(["name,split", *lines]).replace("test", "train"))
    assert chosen(trained, other) == ("val", ("new2",))
    with pytest.raises(DataError, match=f"^{re.escape(str(other))} has no test images; choose another --split, or all"):
        chosen(trained, other, "test")


def test_one_image_is_enough(run, tmp_path):
    found = evaluate(run, tiny.write_pairs(tmp_path / "one", count=1), quiet=True)
    assert [image.name for image in found.images] == ["0"]
    assert found.baseline is None  # without the training images nobody knows what is bright


def test_all_files_that_cannot_be_scored_are_named(run, data, tmp_path, capsys):
    other = renamed(data, tmp_path / "other")
    tiny.save(other / "masks/new1.png", np.full((tiny.SIDE, tiny.SIDE), 9, np.uint8))
    (other / "images/new3.png").write_bytes((data / "images/3.png").read_bytes()[:200])
    before = tiny.contents(run)
    assert tiny.command("evaluate", run, other, "--json", tmp_path / "scores.json") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert re.match(f"error: {re.escape(str(other))}/masks/new1.png .* 9", lines[0])
    assert re.match(f"error: {re.escape(str(other))}/images/new3.png cannot be decoded: ", lines[1])
    assert tiny.contents(run) == before
    assert not (tmp_path / "scores.json").exists()


def test_best_median_and_worst_are_three_different_images():
    assert module._representative([0.2, 0.9, 0.5]) == {"best": 1, "median": 2, "worst": 0}
    assert module._representative([0.2, 0.9]) == {"best": 1, "median": 0}
    assert module._representative([np.nan, 0.9]) == {"best": 1}
    assert module._representative([np.nan]) == {}
