from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.data.folder import DataFolder
from tinyunet.data.sample import Sample
from tinyunet.data.split import Split, resolve_split
from tinyunet.errors import DataError

NAMES = st.sets(st.text(min_size=1, max_size=5), min_size=2, max_size=40)
SEEDS = st.integers(0, 2**32)


def folder(names, declared=None):
    """A folder as its samples and its declared split make it; no file is needed."""
    samples = []
    for name in sorted(names):
        unlabelled = declared is not None and declared[name] == "unlabelled"
        samples.append(Sample(name, Path("images", name), None if unlabelled else Path("masks", name)))
    return DataFolder(Path("cells"), tuple(samples), declared)


def sizes(split):
    return len(split.train), len(split.val), len(split.test)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(2, (1, 1, 0)), (3, (1, 1, 1)), (4, (2, 1, 1)), (10, (6, 2, 2)), (20, (14, 3, 3)), (100, (70, 15, 15))],
)
def test_where_nothing_is_declared_it_is_70_15_15(count, expected):
    assert sizes(resolve_split(folder(f"{i:03}" for i in range(count)), seed=0)) == expected


def test_a_declared_split_is_kept():
    declared = {"a": "test", "b": "train", "c": "val", "d": "unlabelled", "e": "train"}
    split = resolve_split(folder(declared, declared), seed=0)
    assert split == Split(train=("b", "e"), val=("c",), test=("a",), unlabelled=("d",))
    assert split.notes == ("The split is the declared one.",)


@pytest.mark.parametrize(("count", "val"), [(2, 1), (3, 1), (9, 1), (10, 2), (24, 4), (100, 15)])
def test_without_a_declared_val_it_is_15_percent_of_train(count, val):
    declared = {f"{i:03}": "train" for i in range(count)} | {"t": "test"}
    split = resolve_split(folder(declared, declared), seed=0)
    assert sizes(split) == (count - val, val, 1)
    assert split.test == ("t",)


def test_what_was_decided_is_said():
    assert resolve_split(folder("abcd"), seed=3).notes == (
        "No split is declared: drawn from seed 3, 2 train, 1 val, 1 test.",
    )
    assert resolve_split(folder("ab", {"a": "train", "b": "train"}), seed=3).notes == (
        "The split is the declared one; without a val: 1 of train validate (seed 3).",
        "No image is declared test: there is nothing to evaluate on.",
    )


def test_the_draw_is_the_same_for_ever():
    """Literal names: whatever changes them gives old seeds new splits."""
    split = resolve_split(folder("abcdefghij"), seed=0)
    assert (split.val, split.test) == (("f", "g"), ("c", "j"))


@given(NAMES, SEEDS)
def test_a_drawn_split_is_complete_disjoint_and_can_train(names, seed):
    split = resolve_split(folder(names), seed=seed)
    everything = split.train + split.val + split.test + split.unlabelled
    assert sorted(everything) == sorted(names)
    assert split.train
    assert split.val


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.sampled_from(["train", "test", "unlabelled"])), SEEDS)
def test_a_declared_split_without_val_keeps_all_else(declared, seed):
    declared |= {"first": "train", "second": "train"}
    split = resolve_split(folder(declared, declared), seed=seed)
    assert sorted(split.train + split.val) == sorted(name for name in declared if declared[name] == "train")
    assert split.train
    assert split.val
    assert set(split.test) == {name for name in declared if declared[name] == "test"}
    assert set(split.unlabelled) == {name for name in declared if declared[name] == "unlabelled"}


@given(NAMES, SEEDS)
def test_the_same_names_and_seed_give_the_same_split(names, seed):
    assert resolve_split(folder(names), seed=seed) == resolve_split(folder(names), seed=seed)


def test_seeds_differ():
    names = [f"{i}" for i in range(20)]
    assert len({resolve_split(folder(names), seed=seed).val for seed in range(10)}) > 5


@given(NAMES, SEEDS, st.text(min_size=6, max_size=8))
def test_an_image_that_is_added_moves_few_others(names, seed, new):
    before, after = resolve_split(folder(names), seed=seed), resolve_split(folder(names | {new}), seed=seed)
    parts = [{name: part for part in ("train", "val", "test") for name in getattr(s, part)} for s in (before, after)]
    assert sum(parts[1][name] != part for name, part in parts[0].items()) <= 4


@given(NAMES, SEEDS)
def test_a_split_survives_being_written_down(names, seed):
    split = resolve_split(folder(names), seed=seed)
    again = Split.from_dict(split.to_dict())
    assert again == split
    assert again.notes == split.notes


def test_no_training_image_is_an_error():
    with pytest.raises(DataError, match=r"^cells: at least one image must be declared train, got none\."):
        resolve_split(folder("ab", {"a": "test", "b": "val"}), seed=0)


def test_one_training_image_and_no_val_is_an_error():
    message = r"^cells: with one training image \(a\) there is none to validate with\. Declare a second one as train"
    with pytest.raises(DataError, match=message):
        resolve_split(folder("ab", {"a": "train", "b": "test"}), seed=0)


@pytest.mark.parametrize("names", ["", "a"])
def test_too_few_images_are_an_error(names):
    with pytest.raises(DataError, match=rf"^cells: at least 2 images with masks are needed, .*, got {len(names)}\."):
        resolve_split(folder(names), seed=0)
