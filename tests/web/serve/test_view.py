import io
import json
import zipfile

import numpy as np
from PIL import Image
from reference import tiny
from reference.served import LIMITS

from tinyunet.web.serve.results import answer
from tinyunet.web.serve.view import tint


def view(run, number=3):
    file = io.BytesIO()
    Image.fromarray(tiny.picture(number)[0]).save(file, "PNG")
    with zipfile.ZipFile(io.BytesIO(answer(run, file.getvalue(), "view", limits=LIMITS).content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_pictures_of_classes_agree(semantic):
    files = view(semantic)
    about = json.loads(files["view.json"])
    assert (about["height"], about["width"], about["objects"]) == (tiny.SIDE, tiny.SIDE, None)
    labels = pixels(files["labels.png"])
    assert about["shares"] == [round(float((labels == value).mean()), 6) for value in (0, 255)]
    np.testing.assert_array_equal(pixels(files["tint.png"])[..., 3] > 0, labels == 255)
    scores = [pixels(files[f"probability-{k}.png"]).astype(int) for k in range(len(about["probabilities"]))]
    assert np.abs(sum(scores) - 255).max() <= 1
    clear = np.abs(scores[0] - scores[1]) > 1
    np.testing.assert_array_equal((scores[1] > scores[0])[clear], (labels == 255)[clear])
    assert pixels(files["picture.png"]).shape == (tiny.SIDE, tiny.SIDE, 3)
    assert about["notes"] == []
    assert len(about["colors"]) == 2


def test_pictures_of_objects_agree(objects):
    files = view(objects)
    about = json.loads(files["view.json"])
    labels = pixels(files["labels.png"])
    assert about["objects"] == labels.max() == len(json.loads(files["objects.json"]))
    assert (about["shares"], about["colors"]) == (None, None)
    np.testing.assert_array_equal(pixels(files["tint.png"])[..., 3] > 0, labels > 0)
    assert {"objects.csv", "probability-2.png"} <= set(files)


def test_a_border_is_drawn_in_full_on_the_side_of_what_is_found():
    drawn = tint(np.array([[0, 1, 1, 1, 2]]), ["#000000", "#ff8000", "#00ff00"], plain=0)
    assert drawn[0, :, 3].tolist() == [0, 255, 160, 255, 255]
    assert drawn[0, 4].tolist() == [0, 255, 0, 255]
