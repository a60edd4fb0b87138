"""What one takes home."""

import io
import time
import zipfile

import numpy as np
import pytest
from PIL import Image
from reference.painted import Client, add_pictures, dots, open_studio, stroke

from tinyunet.errors import ConfigError
from tinyunet.runs.run import load
from tinyunet.web.studio import results
from tinyunet.web.studio.app import create_app


def test_model_masks_and_report_of_what_was_learnt(tmp_path):
    studio = open_studio(tmp_path / "cells")
    (first, truth), (second, other) = add_pictures(studio, 2)
    client = Client(create_app(studio))
    studio.start()
    try:
        for k in (0, 1):
            studio.paint(first, stroke(dots(truth, k)))
        end = time.monotonic() + 60
        while (studio.training.status.agreement or 0.0) < 0.9:
            assert time.monotonic() < end, studio.training.status
            time.sleep(0.05)
        studio.training.run(False)
        exported = client.post("/api/export", json={"format": "safetensors"})
        assert exported.status_code == 200, exported.text
        (tmp_path / "model.safetensors").write_bytes(exported.content)
        assert load(tmp_path / "model.safetensors").classes == ("background", "object")
        packed = zipfile.ZipFile(io.BytesIO(client.get("/api/labels.zip").content))
        assert packed.namelist() == [f"{first.stem}.png", f"{second.stem}.png"]
        labels = np.asarray(Image.open(io.BytesIO(packed.read(f"{second.stem}.png"))))
        assert (labels == other).mean() > 0.8
        report = client.get("/report")
        assert "<h1>" in report.text
        assert report.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'")
        page = client.get("/api/state").json()
        assert page["training"]["version"] >= 1
    finally:
        studio.close()
    assert load(tmp_path / "cells/run").config.data.split.train == ("image-0001",)


def test_one_export_at_a_time():
    with results._alone(), pytest.raises(ConfigError, match="An export is being made already"), results._alone():
        raise AssertionError("two at a time")
