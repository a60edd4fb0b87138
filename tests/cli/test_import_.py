import json

import numpy as np
from reference import tiny


def test_annotations_become_a_data_set_that_can_be_checked(tmp_path, capsys):
    for number in range(2):
        tiny.save(tmp_path / "raw" / f"{number}.png", np.full((9, 9), number, np.uint8))
        shape = {"label": "cell", "points": [[1, 1], [5, 1], [5, 5], [1, 5]]}
        (tmp_path / "raw" / f"{number}.json").write_text(json.dumps({"imagePath": f"{number}.png", "shapes": [shape]}))
    out = tmp_path / "cells"
    assert tiny.command("import", tmp_path / "raw", "--out", out) == 0
    assert capsys.readouterr().out == (
        f"2 images with 2 shapes of 1 class (cell): task instances.\ndata     {out}\nnext     tinyunet check {out}\n"
    )
    assert tiny.command("check", out, *tiny.OPTIONS) == 0


def test_what_cannot_be_read_is_an_error(tmp_path, capsys):
    assert tiny.command("import", tmp_path / "raw", "--out", tmp_path / "cells") == 2
    assert capsys.readouterr().err == f"error: There is no file or folder {tmp_path}/raw.\n"
