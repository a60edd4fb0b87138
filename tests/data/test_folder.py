import os
import random

import pytest

from tinyunet.data.folder import DataFolder, open_folder, scan_folder
from tinyunet.data.readers import SUFFIXES
from tinyunet.data.sample import Sample
from tinyunet.data.spec import DatasetSpec
from tinyunet.errors import ConfigError, DataError


@pytest.fixture
def make(tmp_path):
    """Makes empty files below a folder: names alone count here."""

    def write(*names, **texts):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        for name, text in texts.items():
            (tmp_path / {"split": "split.csv", "spec": "dataset.toml"}[name]).write_text(text)
        return tmp_path

    return write


def pairs(*names):
    return [f"{kind}/{name}" for name in names for kind in ("images", "masks")]


def problems_of(root, **options):
    with pytest.raises(DataError) as error:
        open_folder(root, **options)
    return list(error.value.problems)


def test_images_and_masks_are_paired_by_stem(make):
    root = make("images/b.png", "images/a.x.TIF", "masks/a.x.npy", "masks/b.BMP", spec="ignore = 3\n")
    assert open_folder(str(root)) == DataFolder(
        root=root,
        samples=(
            Sample("a.x", root / "images/a.x.TIF", root / "masks/a.x.npy"),
            Sample("b", root / "images/b.png", root / "masks/b.BMP"),
        ),
        declared=None,
        spec=DatasetSpec(ignore=3),
    )


def test_upper_case_suffixes_are_known(make):
    assert len(open_folder(make(*pairs("a.PNG", "b.Jpeg"))).samples) == 2


def test_folders_of_zarr_are_files_among_the_others(make):
    root = make(*pairs("a.zarr/zarr.json", "b.png"), "images/c.ome.zarr/.zattrs", "masks/c.tif")
    samples = open_folder(root).samples
    assert [(sample.name, sample.image.name) for sample in samples] == [
        ("a", "a.zarr"),
        ("b", "b.png"),
        ("c", "c.ome.zarr"),
    ]
    make("images/b.ome.zarr/.zattrs")
    assert problems_of(root) == [
        f"{root}/images/b.png must have a stem of its own, got that of b.ome.zarr. Rename or remove one of the two."
    ]


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "desktop.ini", "._a.png", ".hidden.png"])
def test_what_operating_systems_leave_is_ignored(make, name):
    root = make(*pairs("a.png", "b.png"), f"images/{name}", f"masks/{name}")
    assert [sample.name for sample in open_folder(root).samples] == ["a", "b"]


def test_other_files_beside_images_do_not_matter(make):
    assert len(open_folder(make(*pairs("a.png", "b.png"), "README.txt", "notes/x.png")).samples) == 2


def test_the_split_of_split_csv_is_declared(make):
    folder = open_folder(make(*pairs("a.png", "b.png"), split="name,split\nb,val\na,train\n"))
    assert folder.declared == {"a": "train", "b": "val"}


def test_an_image_that_is_declared_unlabelled_needs_no_mask(make):
    split = "name,split\na,train\nb,val\nc,unlabelled\nd,unlabelled\n"
    folder = open_folder(make(*pairs("a.png", "b.png", "d.png"), "images/c.png", split=split))
    assert [sample.mask is None for sample in folder.samples] == [False, False, True, True]


def test_sub_folders_are_a_declared_split(make):
    names = [
        f"{part}/{name}"
        for part, stem in (("train", "a"), ("val", "b"), ("test", "c"))
        for name in pairs(stem + ".png")
    ]
    folder = open_folder(make(*names))
    assert [sample.name for sample in folder.samples] == ["a", "b", "c"]
    assert folder.declared == {"a": "train", "b": "val", "c": "test"}


def test_a_stem_in_several_sub_folders_carries_the_part_in_front(make):
    names = [f"{part}/{name}" for part in ("train", "test") for name in pairs("1.png")]
    root = make(*names, "train/images/2.png", "train/masks/2.png")
    folder = open_folder(root)
    assert folder.declared == {"2": "train", "test-1": "test", "train-1": "train"}
    assert folder.samples[1].image == root / "test/images/1.png"


def test_the_order_of_the_file_system_does_not_matter(make, monkeypatch):
    root = make(*pairs(*(f"{i}.png" for i in range(20))), *(f"images/{i}.tif" for i in range(9)))
    before = scan_folder(root)
    listdir, scandir = os.listdir, os.scandir

    def shuffled(path="."):
        return random.sample(names := list(listdir(path)), len(names))

    class Shuffled:
        def __init__(self, path="."):
            self.entries = list(scandir(path))
            random.shuffle(self.entries)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

        def __iter__(self):
            return iter(self.entries)

    monkeypatch.setattr(os, "listdir", shuffled)
    monkeypatch.setattr(os, "scandir", Shuffled)
    assert scan_folder(root) == before


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "must be a folder with images/ and masks/, got nothing there. Give the folder's path."),
        (["x"], "must be a folder with images/ and masks/, got a file. Give the folder's path."),
        (
            ["x/imgs/a.png", "x/labels/a.png"],
            "(or train/, val/ and test/ with both in each), got imgs/, labels/. Move the images to",
        ),
        (["x/a.png"], "must hold images/ and masks/ (or train/, val/ and test/ with both in each), got no folders."),
        (["x/images/a.png", "x/train/images/a.png"], "must hold images/ or train/images/, got both. Move one of them"),
    ],
)
def test_a_folder_that_is_no_data_set_is_refused(make, names, message):
    problems = problems_of(make(*names) / "x")
    assert len(problems) == 1
    assert message in problems[0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["images/c.png"],
            "images/c.png must have a mask of the same stem in {root}/masks, got none. Add it, or give it ",
        ),
        (["images/c.png"], "or give it the line 'c,unlabelled' in split.csv."),
        (
            ["masks/c.png"],
            "masks/c.png must have an image of the same stem in {root}/images, got none. Add the image or",
        ),
        (
            ["images/a.tif"],
            "images/a.tif must have a stem of its own, got that of a.png. Rename or remove one of the two.",
        ),
        (["masks/a.tif"], "masks/a.tif must have a stem of its own, got that of a.png."),
        (
            ["images/c.txt"],
            f"images/c.txt must have one of the suffixes {', '.join(SUFFIXES)}, got '.txt'.",
        ),
        (["masks/c"], f"masks/c must have one of the suffixes {', '.join(SUFFIXES)}, got ''."),
        (
            ["images/more/c.png"],
            "images/more must be a file, got a folder. Move its files to {root}/images, or it away.",
        ),
    ],
)
def test_a_file_out_of_place_is_named(make, names, message):
    root = make(*pairs("a.png", "b.png"), *names)
    problems = problems_of(root)
    assert len(problems) == 1
    assert message.format(root=root) in problems[0]
    assert problems[0].startswith(str(root))


def test_masks_that_all_have_something_added_are_one_problem(make):
    root = make(*(f"images/{i}.png" for i in "ab"), *(f"masks/{i}_mask.png" for i in "ab"))
    assert problems_of(root)[0] == (
        f"{root}/masks: a mask must have the stem of its image, got '_mask' added to it in 2 files "
        "(a_mask.png for a.png). Rename the masks."
    )


def test_no_masks_folder_is_one_problem(make):
    root = make("images/a.png", "images/b.png")
    assert problems_of(root)[0] == f"{root}/masks must hold a mask for each image, got no such folder. Add the masks."


@pytest.mark.parametrize(("names", "count"), [([], 0), (["a.png"], 1)])
def test_fewer_than_two_pairs_are_a_problem(make, names, count):
    root = make(*pairs(*names))
    (root / "images").mkdir(exist_ok=True)
    (root / "masks").mkdir(exist_ok=True)
    assert problems_of(root) == [
        f"{root} must hold at least 2 images with masks of the same stem, got {count}. "
        "Give each image images/NAME.png its mask masks/NAME.png."
    ]


def test_one_pair_is_enough_where_so_asked(make):
    assert len(open_folder(make(*pairs("a.png")), minimum_pairs=1).samples) == 1


def test_split_csv_beside_sub_folders_is_a_problem(make):
    names = [f"train/{name}" for name in pairs("a.png", "b.png")]
    root = make(*names, split="name,split\na,train\nb,val\n")
    assert problems_of(root) == [f"{root}/split.csv must not stand beside train/, which says the split. Remove one."]


def test_an_image_without_mask_in_a_sub_folder_is_a_problem(make):
    root = make(*(f"train/{name}" for name in pairs("a.png", "b.png")), "train/images/c.png")
    assert problems_of(root)[0].endswith(f"in {root}/train/masks, got none. Add it, or move the image away.")


def test_split_csv_with_unknown_names_and_words_is_a_problem(make):
    root = make(*pairs("a.png", "b.png"), split="name,split\na,train\nb,validation\nc,test\n")
    problems = problems_of(root)
    assert len(problems) == 2
    assert "line 3: the split of 'b' must be one that exists, got 'validation'." in problems[0]
    assert "line 4: a name must be that of an image, got 'c'." in problems[1]


def test_all_problems_are_collected_and_the_rest_is_usable(make):
    root = make(*pairs("a.png", "b.png"), "images/c.png", "masks/d.png", "images/x.txt", split="name,split\na,train\n")
    folder, problems = scan_folder(root)
    assert problems_of(root) == problems
    assert len(problems) == 5
    assert [sample.name for sample in folder.samples] == ["a", "b"]
    assert folder.declared == {"a": "train", "b": "train"}


def test_a_name_with_control_characters_stays_on_one_line(make):
    root = make(*pairs("a.png", "b.png"), "images/c\nd.png")
    assert "c\\nd.png' must have a mask" in problems_of(root)[0]


def test_a_wrong_dataset_toml_is_a_config_error(make):
    with pytest.raises(ConfigError, match=r"dataset.toml: unknown key 'clases'. Did you mean 'classes'\?"):
        open_folder(make(*pairs("a.png", "b.png"), spec="clases = 3"))
