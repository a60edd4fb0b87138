from pathlib import Path

import pytest

from tinyunet.data.labelling import ClassInfo, Labelling
from tinyunet.runs.page.record import RunRecord
from tinyunet.runs.page.training import machine_facts, notes, training_charts, training_facts

START = {
    "event": "start", "step": 0, "steps": 4, "version": "0.1.0", "jax": "0.10.2", "python": "3.11.8",
    "devices": ["cpu", "cpu"], "cores": 2, "memory_bytes": 8_000_000_000, "parameters": 1234,
    "command": "tinyunet train",
}  # fmt: skip
TRAIN = [
    {"event": "train", "step": s, "loss": 1 / s, "learning_rate": 0.1, "steps_per_second": 2.0 * s, "waiting": 0.1 * s}
    for s in (1, 2, 3)
]
LOOKS = [
    {"event": "validate", "step": s, "loss": 2 / s, "dice": [0.9, 0.3 * s], "score": 0.3 * s, "best": s < 3}
    for s in (1, 2, 3)
]
END = {"event": "end", "step": 3, "reason": "time", "seconds": 61.0, "peak_memory_bytes": 2_000_000_000}


def record(*events, classes=2, cut_short=False):
    return RunRecord(
        run=Path("run"),
        config_text=None,
        labelling=Labelling("semantic", tuple(ClassInfo(f"c{k}", k, "#56b4e9") for k in range(classes))),
        split=None,
        fingerprint=None,
        evaluation=None,
        evaluated=None,
        events=events,
        cut_short=cut_short,
        pictures=(),
    )


def facts(*events):
    return {fact.label: (fact.value, fact.note) for fact in training_facts(record(*events))}


def test_facts_say_what_they_are_taken_over():
    assert facts(START, *TRAIN, *LOOKS, END) == {
        "Steps": ("3 of 4", "ended early"),
        "Weights": ("1,234", "numbers that were trained"),
        "Time": ("1 min 01 s", ""),
        "Speed": ("4 steps per second", "median of 3 records"),
        "Waiting for data": ("20.0 %", "part of the time, mean of 3 records"),
        "Memory": ("2.0 GB", "at the peak"),
        "Chosen weights": ("step 2", "mean Dice of the classes on the validation images 0.600, the best of 3 looks"),
    }


def test_facts_of_a_training_that_goes_on():
    assert facts(START, *TRAIN)["Steps"] == ("3 of 4", "has not ended")
    assert facts(START)["Steps"] == ("0 of 4", "has not ended")
    assert facts() == {}


def test_numbers_that_were_not_recorded_are_left_out():
    without = [{"event": "train", "step": 1, "loss": None, "learning_rate": 0.1, "steps_per_second": None}]
    assert set(facts(*without, {"event": "end", "step": 1, "reason": "diverged", "seconds": 2.0})) == {"Time"}
    assert [chart.title for chart in training_charts(record(*without))] == ["Learning rate"]


def test_charts_show_loss_scores_and_rate_with_the_chosen_step():
    loss, dice, rate = training_charts(record(START, *TRAIN, *LOOKS, END))
    assert [curve.name for curve in loss.curves] == ["training", "validation"]
    assert [curve.name for curve in dice.curves] == ["c0", "c1"]
    assert loss.mark[1] == dice.mark[1] == "chosen"
    assert rate.mark is None
    assert training_charts(record()) == ()


def test_of_many_classes_the_worst_are_drawn():
    look = {"event": "validate", "step": 1, "loss": 1.0, "score": 0.5, "best": True}
    dice = [0.9, None, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6]
    (_, chart) = training_charts(record(look | {"dice": dice}, classes=8))
    assert [curve.name for curve in chart.curves] == ["c2", "c3", "c4", "c5", "c6", "c7"]
    assert chart.title == "Dice of the 6 worst classes, pooled over the validation images"


def test_classes_that_nobody_named_have_numbers():
    (_, chart) = training_charts(record(LOOKS[0], classes=3))
    assert [curve.name for curve in chart.curves] == ["class 0", "class 1"]


@pytest.mark.parametrize(("dice", "lowest"), [(0.95, "0.8"), (0.55, "0.4"), (0.0, "0")])
def test_the_axis_of_scores_ends_below_the_lowest(dice, lowest):
    look = {"event": "validate", "step": 1, "loss": 1.0, "dice": [dice, 1.0], "score": 0.5, "best": True}
    (_, chart) = training_charts(record(look))
    assert chart.y_ticks[0] == (chart.bottom, lowest)


def test_notes_come_with_their_steps():
    said = [{"event": "note", "step": 0, "text": "Small images."}, {"event": "note", "step": 7, "text": "One class."}]
    assert notes(record(START, *said, START | {"step": 5})) == (
        "Small images.", "Step 7: One class.", "Resumed from step 5.",
    )  # fmt: skip
    (found,) = notes(record(cut_short=True))
    assert "only half written" in found


def test_the_machine_is_that_of_the_last_start():
    found = {fact.label: fact.value for fact in machine_facts(record(START, START | {"cores": 64, "devices": "gpu"}))}
    assert found == {
        "tinyunet": "0.1.0", "JAX": "0.10.2", "Python": "3.11.8", "Devices": "gpu", "Processor cores": "64",
        "Convolutions": "XLA", "Memory": "8.0 GB",
    }  # fmt: skip
    native = {fact.label: fact.value for fact in machine_facts(record(START | {"kernels": "avx2"}))}
    assert native["Convolutions"] == "tinyunet-native, avx2"
    assert {fact.label: fact.value for fact in machine_facts(record(START))}["Devices"] == "cpu, cpu"
    assert machine_facts(record()) == ()
