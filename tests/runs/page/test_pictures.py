import base64
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinyunet.data.labelling import ClassInfo, Labelling
from tinyunet.data.writers import write_png
from tinyunet.errors import CheckpointError
from tinyunet.evaluation.overlay import DIFFERENCE_COLORS
from tinyunet.evaluation.panel import panel
from tinyunet.evaluation.scores import Evaluator
from tinyunet.runs.page.pictures import background, class_legend, difference_legend, examples
from tinyunet.runs.page.record import RunRecord

COLORS = ("#000000", "#e69f00", "#56b4e9")


def record(*pictures, evaluation=None, labelling=None):
    return RunRecord(
        run=Path("run"),
        config_text=None,
        labelling=labelling,
        split=None,
        fingerprint=None,
        evaluation=evaluation,
        evaluated="test",
        events=(),
        cut_short=False,
        pictures=pictures,
    )


def labelling(k, **options):
    return Labelling("semantic", tuple(ClassInfo(f"c{i}", i, COLORS[i]) for i in range(k)), **options)


def evaluate(name, *, boundary=None):
    evaluator = Evaluator(("c0", "c1"), boundary=boundary)
    evaluator.add(name, np.eye(2)[np.array([[0, 1, 1]])], np.array([[0, 1, 1]]))
    return evaluator.result()


def decoded(tile):
    head, _, content = tile.source.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_a_panel_is_cut_into_its_tiles(tmp_path):
    rng = np.random.default_rng(0)
    image, labels = rng.integers(0, 255, (5, 7, 1)).astype(np.uint8), rng.integers(0, 3, (5, 7))
    shown = panel(image, labels, labels, COLORS)
    write_png(tmp_path / "best_a.png", shown)
    (example,) = examples(record(tmp_path / "best_a.png"))
    assert [tile.caption for tile in example.tiles] == ["Image", "Truth", "Prediction", "Where they differ"]
    assert [(tile.width, tile.height, tile.small) for tile in example.tiles] == [(7, 5, True)] * 4
    for tile, left in zip(example.tiles, (0, 11, 22, 33), strict=True):
        assert np.array_equal(decoded(tile), shown[:, left : left + 7])


def test_the_slices_of_a_volume_are_one_wide_tile(tmp_path):
    labels = np.zeros((9, 8, 7), np.int32)
    write_png(tmp_path / "best_a.png", panel(np.zeros((9, 8, 7, 1)), labels, labels, COLORS))
    (example,) = examples(record(tmp_path / "best_a.png"))
    assert [(tile.wide, tile.small) for tile in example.tiles] == [(True, False)] * 4
    write_png(tmp_path / "best_a.png", panel(np.zeros((4, 7, 1)), labels[0, :4], labels[0, :4], COLORS))
    assert not any(tile.wide for tile in examples(record(tmp_path / "best_a.png"))[0].tiles)


@pytest.mark.parametrize("width", [1, 12, 15, 17, 201])
def test_a_picture_that_is_no_panel_stays_whole(tmp_path, width):
    write_png(tmp_path / "best_a.png", np.zeros((3, width, 3), np.uint8))
    (example,) = examples(record(tmp_path / "best_a.png"))
    assert [(tile.caption, tile.width) for tile in example.tiles] == [("Picture", width)]


def test_the_best_comes_first_and_strangers_last(tmp_path):
    paths = [tmp_path / f"{name}.png" for name in ("best_a", "holiday", "median_b_1", "worst_c")]
    for path in paths:
        write_png(path, np.zeros((3, 3, 3), np.uint8))
    found = examples(record(*paths, evaluation=evaluate("b_1")))
    assert [(example.title, example.name, example.score) for example in found] == [
        ("best", "a", ""),
        ("median", "b_1", "Dice of c1 1.000"),
        ("worst", "c", ""),
        ("example", "holiday", ""),
    ]


def test_legends_name_what_can_be_seen():
    assert [(entry.color, entry.text) for entry in class_legend(record(labelling=labelling(3)))] == [
        ("#e69f00", "c1"),
        ("#56b4e9", "c2"),
    ]
    assert class_legend(record()) == ()
    colors = [entry.color for entry in difference_legend(record(labelling=labelling(2)))]
    assert colors == [DIFFERENCE_COLORS.missed, DIFFERENCE_COLORS.invented, DIFFERENCE_COLORS.right]
    colors = [entry.color for entry in difference_legend(record(labelling=labelling(3, ignore=9)))]
    assert colors == list(DIFFERENCE_COLORS)


def test_objects_have_no_legend_of_classes_but_one_of_mistakes():
    found = record(labelling=dataclasses.replace(labelling(2), task="instances"))
    assert class_legend(found) == ()
    assert "part of another object" in [entry.text for entry in difference_legend(found)]


def test_of_two_classes_the_first_may_be_the_one_that_is_looked_for():
    evaluation = evaluate("a", boundary="c0")
    assert background(evaluation) == 1
    assert background(evaluate("a")) == background(None) == 0
    shown = class_legend(record(evaluation=evaluation, labelling=labelling(2, boundary="c0")))
    assert [(entry.color, entry.text) for entry in shown] == [("#e69f00", "c0")]


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_named(tmp_path, content):
    (tmp_path / "best_a.png").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"best_a\.png is no PNG picture: .*Remove it, or evaluate again\."):
        examples(record(tmp_path / "best_a.png"))


def test_half_a_picture_is_named(tmp_path):
    write_png(tmp_path / "best_a.png", np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8))
    content = (tmp_path / "best_a.png").read_bytes()
    (tmp_path / "best_a.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"best_a\.png is no PNG picture"):
        examples(record(tmp_path / "best_a.png"))
