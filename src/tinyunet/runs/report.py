"""The report of a run: one HTML file that needs nothing but a browser, made of what lies in the run folder."""

import base64
import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from tinyunet.data.writers import write_bytes
from tinyunet.runs.page import calibration, dataset, pictures, scores, summary, training
from tinyunet.runs.page.record import RunRecord, read_record, reading

_TEMPLATE = "report.html.j2"


def write_report(run: Path) -> Path:
    """Write `report.html` into a run folder, from what lies there and nothing else.

    The same folder gives the same bytes: the page holds no time of its making and no path. Whatever is missing, such
    as the evaluation, the page says so. The file replaces an older one in one step.

    Args:
        run: The run folder.

    Returns:
        The path of the page.

    Raises:
        CheckpointError: It is no run folder, or a file in it is damaged; the message names the file and the line.
        DataError: The page cannot be written.

    Example:
        >>> import tempfile
        >>> run = Path(tempfile.mkdtemp())
        >>> _ = (run / "config.toml").write_text("seed = 0")
        >>> write_report(run).name
        'report.html'
    """
    page = render(read_record(run))
    path = run / "report.html"
    # A name from a damaged file system may hold half a surrogate pair, which UTF-8 has no bytes for.
    write_bytes(path, page.encode("utf-8", "replace"))
    return path


def render(record: RunRecord) -> str:
    """The page of a run as HTML.

    Args:
        record: What lies in the run folder.

    Raises:
        CheckpointError: Something in the record is not as this version writes it.
    """
    environment = jinja2.Environment(
        autoescape=True,  # every text comes from a file, and none of them is trusted
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["csp_hash"] = _csp_hash
    source = resources.files("tinyunet.runs").joinpath(_TEMPLATE).read_text(encoding="utf-8")
    return environment.from_string(source).render(_context(record))


def _csp_hash(script: str) -> str:
    """The hash by which the page's content security policy lets its own script run, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _context(record: RunRecord) -> dict[str, Any]:
    """Everything the template shows; None or empty where there is nothing."""
    context: dict[str, Any] = {"name": record.run.resolve().name, "config": record.config_text}
    with reading(record.run / "evaluation.json"):
        context |= _evaluation_context(record)
    with reading(record.run / "fingerprint.json"):
        context |= _data_context(record)
    with reading(record.run / "metrics.jsonl"):
        start = record.last("start")
        context |= {
            "headline": summary.headline(record),
            "key_facts": summary.key_facts(record),
            "cautions": summary.cautions(record),
            "training_charts": training.training_charts(record),
            "training_facts": training.training_facts(record),
            "notes": training.notes(record),
            "machine": training.machine_facts(record),
            "command": None if start is None else str(start["command"]),
        }
    context |= {
        "examples": pictures.examples(record),
        "class_legend": pictures.class_legend(record),
        "difference_legend": pictures.difference_legend(record),
    }
    return context


def _evaluation_context(record: RunRecord) -> dict[str, Any]:
    evaluation = record.evaluation
    if evaluation is None:
        empty = dict.fromkeys(("class_tables", "region_charts"), ())
        return {
            **empty,
            **dict.fromkeys(("object_table", "threshold_table", "region_table", "image_table")),
            **dict.fromkeys(("calibration_table", "calibration_chart")),
        }
    images = summary.images_text(record)
    colors = {info.name: info.color for info in record.labelling.classes} if record.labelling else {}
    return {
        "class_tables": scores.class_tables(evaluation, colors, images),
        "object_table": scores.object_table(evaluation, images),
        "threshold_table": scores.threshold_table(evaluation, images),
        "calibration_table": calibration.calibration_table(evaluation, images),
        "calibration_chart": calibration.calibration_chart(evaluation, images),
        "region_table": scores.region_table(evaluation, images),
        "region_charts": scores.region_charts(evaluation, images),
        "image_table": scores.image_table(evaluation),
    }


def _data_context(record: RunRecord) -> dict[str, Any]:
    fingerprint, labelling, split = record.fingerprint, record.labelling, record.split
    tables = []
    if fingerprint is not None and labelling is not None:
        tables.append(dataset.class_table(fingerprint, labelling))
    if split is not None:
        tables.append(dataset.split_table(split))
    if fingerprint is not None and fingerprint.channel_mean:
        tables.append(dataset.intensity_table(fingerprint))
    return {
        "data_facts": () if fingerprint is None else dataset.data_facts(fingerprint),
        "data_tables": tuple(tables),
        "split": split,
    }
