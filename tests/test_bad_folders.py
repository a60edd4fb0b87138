"""What is wrong with a folder of data, as `tinyunet check` says it: one line each, and exit status 2."""

import re

import nibabel
import numpy as np
import pytest
import tifffile
from reference import tiny, zarrs

from tinyunet.data.synthetic import cells

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])
SHAPE = (20, 24, 6)  # x, y, z


def save_volume(path, values, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)


def volume(number):
    """A noisy volume with a bright box, and where the box is."""
    rng = np.random.default_rng(number)
    mask = np.zeros(SHAPE, np.uint8)
    x, y = rng.integers(2, 9, 2)
    mask[x : x + 8, y : y + 9, 1:5] = 1
    return rng.integers(0, 90, SHAPE).astype(np.uint8) + 100 * mask, mask


@pytest.fixture
def volumes(tmp_path):
    """Four volumes and their masks, with nothing wrong."""
    for number in range(4):
        image, mask = volume(number)
        save_volume(tmp_path / f"images/{number}.nii", image)
        save_volume(tmp_path / f"masks/{number}.nii", mask)
    return tmp_path


def mask_of_another_shape(root):
    save_volume(root / "masks/2.nii", volume(2)[1][..., :5])


def mask_of_another_spacing(root):
    save_volume(root / "masks/2.nii", volume(2)[1], np.diag([1.0, 1.0, 3.0, 1.0]))


def mask_of_another_affine(root):
    turned = AFFINE.copy()
    turned[:3, 3] = (3, 4, 0)
    save_volume(root / "masks/2.nii", volume(2)[1], turned)


def affine_of_nothing(root):
    spoil_affine(root / "images/2.nii", 0.0)


def affine_of_nan(root):
    spoil_affine(root / "images/2.nii", np.nan)


def spoil_affine(path, value):
    """Overwrites the affine in the file, for the library would mend it."""
    content = bytearray(path.read_bytes())
    content[280:328] = np.full(12, value, "<f4").tobytes()
    path.write_bytes(content)


def image_among_volumes(root):
    image, mask = tiny.picture(0)
    tiny.save(root / "images/flat.png", image)
    tiny.save(root / "masks/flat.png", mask.astype(np.uint8))


def class_outside_the_training(root):
    mask = volume(2)[1]
    mask[:4, :4, :4] = 2
    save_volume(root / "masks/2.nii", mask)
    (root / "split.csv").write_text("name,split\n0,train\n1,train\n2,test\n3,val\n")


def class_of_a_pixel(root):
    mask = volume(2)[1]
    mask[0, 0, 0] = 2
    save_volume(root / "masks/2.nii", mask)


def numbered_anew(root):
    """Columns through all slices; those of three volumes have a number each, those of one begin anew in each slice."""
    for number in range(4):
        columns = np.kron(np.arange(1, 21).reshape(4, 5), np.pad(np.ones((4, 3), np.int16), ((0, 1), (0, 1))))[:, :20].T
        mask = np.stack([np.pad(columns, ((0, 0), (0, 4)))] * 6, axis=-1).astype(np.int16)
        if number == 2:
            rng = np.random.default_rng(0)
            for z in range(6):
                numbers = np.concatenate([[0], rng.permutation(20) + 1])
                mask[..., z] = numbers[mask[..., z]]
        save_volume(root / f"masks/{number}.nii", mask[:, :24])


def fractions(root):
    mask = volume(2)[1].astype(np.float32)
    mask[3, 2, 5] = 0.5
    save_volume(root / "masks/2.nii", mask)


def pages(root):
    (root / "images/2.nii").unlink()
    tifffile.imwrite(root / "images/2.tif", volume(2)[0].transpose(2, 1, 0), photometric="minisblack", metadata=None)


def missing_chunk(root):
    (root / "images/2.nii").unlink()
    zarrs.write_image(root / "images/2.zarr", volume(2)[0].transpose(2, 1, 0), "zyx", [2, 1, 1], version=2)
    (root / "images/2.zarr/0/0/1/2").unlink()


FAULTS = {
    mask_of_another_shape: "masks/2.nii must have the size of its image, 6×24×20, got 5×24×20 (depth×height×width). "
    "Replace one of the two.",
    mask_of_another_spacing: "masks/2.nii must have the voxels of its image, 2 x 1 x 1, got 3 x 1 x 1 (z, y, x). "
    "Resample the mask to its image, without interpolation.",
    mask_of_another_affine: "masks/2.nii must lie where its image does, got another affine: turned, or shifted by 5 "
    "mm. Save the mask with the affine of its image.",
    affine_of_nothing: "images/2.nii has an affine that gives voxels of 0 x 0 x 0 mm: correct its header, or export it "
    "again.",
    affine_of_nan: "images/2.nii has an affine that holds NaN or infinity: correct its header, or export it again.",
    image_among_volumes: "images/flat.png must be a volume of three axes as most are, got an image of two axes. Remove "
    "it, or keep images and volumes in data sets of their own.",
    class_outside_the_training: "masks/2.nii holds class 2, which no training mask does, so that it cannot be learnt. "
    "Put an image of it into train, by split.csv.",
    class_of_a_pixel: "masks/2.nii holds the only pixel of class 2, a slip of the pen: give it the value around it, or "
    "set ignore = 2 in dataset.toml.",
    numbered_anew: "masks/2.nii must give an object one number through the volume, got numbers that begin anew in each "
    "slice. Number the objects through the volume, for example with skimage.measure.label.",
    fractions: "masks/2.nii holds fractions, such as 0.5 at slice 5, row 2, column 3: a mask holds whole numbers; if "
    "these are probabilities, save the class numbers instead.",
    pages: "images/2.tif holds 6 pages (axes IYX), which can mean one stack of slices or a series of images. For a "
    'stack set axes = "zyx" in dataset.toml; of a series save one image per file.',
    missing_chunk: "images/2.zarr lacks the chunk 0/0/1/2: the copy is incomplete. Copy it again; if its writer leaves "
    "out chunks that are empty, write it with all of them (write_empty_chunks=True).",
}


def test_a_good_folder_passes(volumes, capsys):
    assert tiny.command("check", volumes) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_bad_input_is_one_line_and_status_2(volumes, fault, capsys):
    fault(volumes)
    assert tiny.command("check", volumes) == 2
    assert capsys.readouterr().err == f"error: {volumes}/{FAULTS[fault]}\n"


def test_objects_numbered_anew_do_not_matter_to_the_foreground(volumes, capsys):
    numbered_anew(volumes)
    assert tiny.command("check", volumes, "--task", "foreground") == 0
    assert tiny.command("check", volumes, "--task", "instances") == 2
    assert FAULTS[numbered_anew] in capsys.readouterr().err


# a dozen faults in one folder


def classes(instances):
    """Every other cell is of the one class, the rest of the other; no class has the value 2."""
    return np.where(instances == 0, 0, np.where(instances % 2, 1, 3)).astype(np.uint8)


@pytest.fixture
def faulty(tmp_path):
    """A folder of micrographs with a dozen things wrong."""
    images, masks = tmp_path / "images", tmp_path / "masks"
    for number in range(24):
        image, instances = cells(number, shape=(128, 128))
        tiny.save(images / f"{number:02}.png", image[..., 0])
        tiny.save(masks / f"{number:02}.png", classes(instances))
    parts = ["test" if number > 20 else "val" if number > 18 else "train" for number in range(24)]
    rows = [f"{number:02},{part}" for number, part in enumerate(parts)]
    (tmp_path / "split.csv").write_text("\n".join(["name,split", *rows]))

    def change(path, how):
        tiny.save(path, how(tiny.pixels(path)))

    change(images / "01.png", lambda image: np.stack([image, image // 2, 255 - image], -1))
    change(masks / "02.png", lambda mask: mask[:-8])
    tiny.save(masks / "03.jpg", 80 * tiny.pixels(masks / "03.png"))
    (masks / "03.png").unlink()
    (images / "04.png").write_bytes((images / "04.png").read_bytes()[:2000])
    corner = np.arange(128 * 128).reshape(128, 128) == 0
    change(masks / "05.png", lambda mask: np.where(corner, 4, mask).astype(np.uint8))
    change(masks / "06.png", np.zeros_like)
    change(masks / "07.png", lambda mask: np.roll(mask, (9, -6), (0, 1)))
    eight, nine = tiny.pixels(masks / "08.png"), tiny.pixels(masks / "09.png")
    tiny.save(masks / "08.png", nine)
    tiny.save(masks / "09.png", eight)
    change(images / "10.png", np.zeros_like)
    for kind in (images, masks):
        tiny.save(kind / "22.png", tiny.pixels(kind / "11.png"))
        tiny.save(kind / "13.png", tiny.pixels(kind / "12.png"))
    noise = np.random.default_rng(0).normal(0, 2, (128, 128))
    change(images / "13.png", lambda image: np.clip(0.8 * image + 9 + noise, 0, 255).astype(np.uint8))
    return tmp_path


def test_every_fault_of_a_folder_is_found_and_nothing_else(faulty, capsys):
    assert tiny.command("check", faulty) == 2
    said = capsys.readouterr()
    problems = [re.sub(r"got \d+ of", "got N of", line).removeprefix("error: ") for line in said.err.splitlines()]
    assert problems == [
        f"{faulty}/masks/02.png must have the size of its image, 128×128, got 120×128 (height×width). Replace one of "
        "the two.",
        f"{faulty}/images/04.png cannot be decoded: image file is truncated. It is damaged or cut off: copy or export "
        "it again.",
        f"{faulty}/images/01.png must have 1 channel as most images have, got 3. Convert it or remove it.",
        f"{faulty}/masks/03.jpg must hold exact values, got N of them, blurred as by JPEG or resizing. Save it from "
        "its source as PNG or TIFF, resized without interpolation.",
        f"{faulty}/masks/05.png holds the only pixel of class 4, a slip of the pen: give it the value around it, or "
        "set ignore = 4 in dataset.toml.",
    ]
    notes = [line.removeprefix("note      ") for line in said.out.splitlines() if line.startswith("note")]
    assert notes[2:] == [
        f"1 image is constant, the first {faulty}/images/10.png: nothing can be learnt there. Export it again, or "
        "remove it.",
        "1 pair of images that look the same on two sides of the split, the first "
        f"{faulty}/images/11.png (train) and {faulty}/images/22.png (test): the scores will flatter. Put both of a "
        "pair on one side, by split.csv.",
        f"1 pair of images that look the same, the first {faulty}/images/12.png and {faulty}/images/13.png: the "
        "second of a pair teaches little. Remove it.",
        f"{faulty}/masks/05.png holds the value 4, but no mask holds 2: was a class lost when they were saved? If so, "
        "save them again.",
        f"1 mask holds one value only, the first {faulty}/masks/06.png: is nothing there to mark? If there is, draw it "
        "again.",
        f"1 mask looks shifted against the image, the first {faulty}/masks/07.png by about 9 pixels down and 6 to the "
        "left: save it with its image again, or move it back.",
        f"2 masks have little to do with the image, unlike the others, {faulty}/masks/08.png and {faulty}/masks/09.png"
        ": were they swapped? Pair each with its image.",
    ]
