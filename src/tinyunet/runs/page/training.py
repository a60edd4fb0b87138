"""The training as curves and facts, and what it ran on."""

import math
import statistics
from typing import Any

from tinyunet.runs.page.charts import Chart, Series, line_chart
from tinyunet.runs.page.record import RunRecord
from tinyunet.runs.page.summary import best_validation
from tinyunet.runs.page.tables import (
    Fact,
    bytes_text,
    counted,
    duration_text,
    number_text,
    percent_text,
    score_text,
)

_MOST_CURVES = 6


def training_charts(record: RunRecord) -> tuple[Chart, ...]:
    """Loss, validation scores and learning rate against the step; what was not recorded is left out."""
    train, validate = record.of("train"), record.of("validate")
    best = best_validation(record)
    mark = None if best is None else (float(best["step"]), "chosen")
    losses = (
        Series(name="training", points=_points(train, "loss")),
        Series(name="validation", points=_points(validate, "loss"), dots=True),
    )
    rate = Series(name="", points=_points(train, "learning_rate"))
    charts = (
        line_chart(losses, title="Loss", x_label="step", logarithmic=True, mark=mark),
        _dice_chart(record, mark),
        line_chart([rate], title="Learning rate", x_label="step"),
    )
    return tuple(chart for chart in charts if chart is not None)


def _points(lines: tuple[dict[str, Any], ...], key: str) -> tuple[tuple[float, float | None], ...]:
    return tuple((line["step"], line.get(key)) for line in lines)


def _dice_chart(record: RunRecord, mark: tuple[float, str] | None) -> Chart | None:
    """One curve for each class; of many classes, those with the lowest scores at the end."""
    validate = record.of("validate")
    if not validate:
        return None
    known = [info.name for info in record.labelling.classes] if record.labelling else []
    last = validate[-1]["dice"]
    names = known if len(known) == len(last) else [f"class {k}" for k in range(len(last))]
    by_score = sorted(range(len(last)), key=lambda k: (last[k] is None, last[k] if last[k] is not None else 0.0))
    curves = [
        Series(name=names[k], points=tuple((line["step"], line["dice"][k]) for line in validate), dots=True)
        for k in sorted(by_score[:_MOST_CURVES])
    ]
    title = "Dice of each class, pooled over the validation images"
    if len(last) > _MOST_CURVES:
        title = f"Dice of the {_MOST_CURVES} worst classes, pooled over the validation images"
    least = min((y for curve in curves for _, y in curve.points if y is not None), default=0.0)
    y_range = (min(math.floor(5 * least) / 5, 0.8), 1.0)
    return line_chart(curves, title=title, x_label="step", y_range=y_range, mark=mark)


def training_facts(record: RunRecord) -> tuple[Fact, ...]:
    """How long it took, how fast it was, and what it needed."""
    start, end, train = record.last("start"), record.last("end"), record.of("train")
    best = best_validation(record)
    facts = []
    if start is not None:
        done = end["step"] if end else max((line["step"] for line in record.events if "step" in line), default=0)
        note = {"finished": "as planned"}.get(end["reason"], "ended early") if end else "has not ended"
        facts.append(Fact("Steps", f"{done:,} of {start['steps']:,}", note))
        facts.append(Fact("Weights", f"{start['parameters']:,}", "numbers that were trained"))
    if end is not None:
        facts.append(Fact("Time", duration_text(end["seconds"])))
    speeds, waits = (_numbers(train, key) for key in ("steps_per_second", "waiting"))
    if speeds:
        note = f"median of {counted(len(speeds), 'record')}"
        facts.append(Fact("Speed", f"{number_text(statistics.median(speeds))} steps per second", note))
    if waits:
        note = f"part of the time, mean of {counted(len(waits), 'record')}"
        facts.append(Fact("Waiting for data", percent_text(statistics.fmean(waits)), note))
    if end is not None and end.get("peak_memory_bytes"):
        facts.append(Fact("Memory", bytes_text(end["peak_memory_bytes"]), "at the peak"))
    if best is not None:
        looks = counted(len(record.of("validate")), "look")
        note = f"mean Dice of the classes on the validation images {score_text(best['score'])}, the best of {looks}"
        facts.append(Fact("Chosen weights", f"step {best['step']:,}", note))
    return tuple(facts)


def _numbers(lines: tuple[dict[str, Any], ...], key: str) -> list[float]:
    values = [line.get(key) for line in lines]
    return [value for value in values if value is not None and math.isfinite(value)]


def notes(record: RunRecord) -> tuple[str, ...]:
    """What the training noted, with the step where it was not at the start, and what reading its log found."""
    found = [f"Step {line['step']:,}: {line['text']}" if line["step"] else line["text"] for line in record.of("note")]
    resumed = [line["step"] for line in record.of("start")[1:]]
    found += [f"Resumed from step {step:,}." for step in resumed]
    if record.cut_short:
        found.append("The last line of metrics.jsonl was only half written, as after a kill, and is left out here.")
    return tuple(found)


def machine_facts(record: RunRecord) -> tuple[Fact, ...]:
    """What the training ran on."""
    start = record.last("start")
    if start is None:
        return ()
    devices, kernels = start["devices"], start.get("kernels", "XLA")
    return (
        Fact("tinyunet", str(start["version"])),
        Fact("JAX", str(start["jax"])),
        Fact("Python", str(start["python"])),
        Fact("Devices", ", ".join(map(str, devices)) if isinstance(devices, list) else str(devices)),
        Fact("Processor cores", str(start["cores"])),
        Fact("Convolutions", str(kernels) if kernels == "XLA" else f"tinyunet-native, {kernels}"),
        Fact("Memory", bytes_text(start["memory_bytes"]), "installed"),
    )
