from pathlib import Path

import numpy as np

from tinyunet.data.classproblems import class_problems
from tinyunet.data.facts import SampleFacts, image_facts, mask_facts
from tinyunet.data.folder import DataFolder
from tinyunet.data.labelling import ClassInfo, Labelling
from tinyunet.data.masks import RawMask
from tinyunet.data.normalise import ChannelRule
from tinyunet.data.sample import Sample
from tinyunet.data.spec import DatasetSpec
from tinyunet.data.summary import summarise

CLASSES = (ClassInfo("sky", 0, "#000000"), ClassInfo("class 1", 1, "#ffffff"), ClassInfo("bird", 7, "#ff0000"))


def problems(masks, train="a", **options):
    """Of masks of one row each, named a, b…"""
    facts = []
    for name, row in zip("abc", masks, strict=False):
        mask = RawMask(np.array([row]), "ids")
        image = image_facts(np.zeros((1, len(row), 1), np.uint8))
        facts.append(SampleFacts(Sample(name, Path(name), Path(name)), image, mask_facts(mask), (), ()))
    labelling = Labelling("semantic", CLASSES)
    channels = ChannelRule(drop_alpha=False, collapse_grey=False, used=1)
    folder = DataFolder(Path("here"), tuple(one.sample for one in facts), None, DatasetSpec())
    fingerprint = summarise(facts, channels=channels, labelling=labelling, train=train)
    return class_problems(folder, facts, fingerprint, labelling, **options)


def test_nothing_is_wrong_with_classes_that_the_training_shows():
    assert problems([[0, 0, 1, 1, 7, 7], [0, 0, 0]]) == []
    assert problems([[0, 0, 1, 1]]) == []  # of a class that never occurs, a remark speaks


def test_one_class_alone_can_not_be_learnt():
    assert problems([[0, 0]]) == [
        "here: the masks must hold at least 2 classes, got only sky (value 0). Check how the masks were saved, and "
        "which images are for training."
    ]
    assert problems([[0, 0], [1, 1]])[0].startswith(
        "here: the training masks must hold at least 2 classes, got only sky"
    )


def test_a_class_outside_the_training():
    assert problems([[0, 1, 1], [0, 7, 7]]) == [
        "b holds the class bird (value 7), which no training mask does, so that it cannot be learnt. Put an image of "
        "it into train, by split.csv."
    ]


def test_what_may_be_in_masks_that_could_not_be_used_is_not_missed():
    assert problems([[0, 0], [1, 1]], complete=False) == []
    assert problems([[0, 1, 1], [0, 7, 7]], complete=False) == []
    assert len(problems([[0, 1, 1], [0, 7, 0]], complete=False)) == 1


def test_a_class_of_one_pixel():
    assert problems([[0, 7, 7], [0, 1, 7]], train="ab") == [
        "b holds the only pixel of class 1, a slip of the pen: give it the value around it, or set ignore = 1 in "
        "dataset.toml."
    ]
