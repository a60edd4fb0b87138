import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tinyunet.data.fingerprint import Fingerprint
from tinyunet.data.labelling import ClassInfo, Labelling
from tinyunet.data.normalise import ChannelRule
from tinyunet.data.split import Split
from tinyunet.data.synthetic import cells
from tinyunet.data.writers import write_png
from tinyunet.errors import CheckpointError, DataError
from tinyunet.evaluation.baseline import otsu_labels
from tinyunet.evaluation.panel import panel
from tinyunet.evaluation.scores import Evaluator
from tinyunet.runs.report import write_report

HOSTILE = "<script>alert(1)</script>"
VOID = {"meta", "img", "link", "br", "hr", "input"}
STEPS = 240
CELL = Labelling("foreground", (ClassInfo("background", 0, "#000000"), ClassInfo("cell", 255, "#e69f00")))


def make_run(run, *, labelling=CELL, images=6, size=64, reason="finished", name="test-{:03d}", steps=STEPS, seed=0):
    """A run folder as a training and an evaluation leave it, on invented cells."""
    run.mkdir(parents=True)
    names = [name.format(i) for i in range(images)]
    rng = np.random.default_rng(seed)
    scored = []
    evaluator = Evaluator(labelling.names, boundary=labelling.boundary)
    for i, image_name in enumerate(names):
        image, target, probabilities = invented(rng, i, size, labelling)
        baseline = otsu_labels(image, polarity="bright") if labelling is CELL else None
        evaluator.add(image_name, probabilities, target, baseline)
        scored.append((image, probabilities.argmax(-1).astype(np.int32), target))
    evaluation = evaluator.result()
    write_json(run / "evaluation.json", evaluation.to_dict() | {"split": "test", "seconds": 1.25})
    order = np.argsort([image.mean_dice for image in evaluation.images])
    (run / "previews").mkdir()
    for kind, i in (("worst", order[0]), ("median", order[len(order) // 2]), ("best", order[-1])):
        file = names[i].replace("/", "_")
        background = 1 if evaluation.positive == labelling.names[0] else 0
        write_png(run / "previews" / f"{kind}_{file}.png", panel(*scored[i], labelling.colors, background=background))
    write_json(run / "fingerprint.json", fingerprint(images, size, labelling).to_dict())
    (run / "config.toml").write_text(config(names, labelling), encoding="utf-8")
    events = training_events(labelling, steps=steps, reason=reason)
    (run / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    return run


def invented(rng, number, size, labelling):
    """An image, its truth, and the probabilities of a model that is good but not perfect."""
    image, instances = cells(number, shape=(size, size))
    target = (instances > 0).astype(np.int32)
    k = len(labelling.classes)
    if k > 2:
        target = np.where(instances > 0, 1 + instances % (k - 1), 0).astype(np.int32)
    if labelling.ignore is not None:
        target[: size // 6, : size // 3] = -1
    truth = np.eye(k)[np.maximum(target, 0)]
    noise = gaussian_filter(rng.normal(0, 1 + number / 4, truth.shape), (2, 2, 0))
    odds = np.exp(6 * (gaussian_filter(truth, (1.5, 1.5, 0)) + noise))
    return image, target, (odds / odds.sum(-1, keepdims=True)).astype(np.float32)


def fingerprint(images, size, labelling):
    k = len(labelling.classes)
    pixels = tuple(int(size * size * images * share) for share in [0.78] + [0.22 / (k - 1)] * (k - 1))
    return Fingerprint(
        images=images * 6,
        labelled=images * 6,
        sizes={(size, size): images * 6 - 1, (size, size + 8): 1},
        spacings={(): images * 6},
        oriented=0,
        median_size=(float(size), float(size)),
        median_spacing=(),
        finest_spacing=(),
        median_extent=(),
        dtypes={"uint8": images * 6},
        stored_channels={3: images * 6},
        channels=ChannelRule(drop_alpha=False, collapse_grey=True, used=1),
        channel_min=(3.0,),
        channel_max=(255.0,),
        channel_mean=(41.27,),
        channel_std=(38.0916,),
        mask_values={info.value: n for info, n in zip(labelling.classes, pixels, strict=True)},
        class_pixels=pixels,
        train_class_pixels=pixels,
        ignored_pixels=0 if labelling.ignore is None else 1234,
        absent=((),) * (k - 1) + (("train-003",),),
        digest="9f" * 32,
    )


def config(names, labelling):
    split = Split(
        train=tuple(f"train-{i:03d}" for i in range(24)),
        val=tuple(f"val-{i:03d}" for i in range(6)),
        test=tuple(names),
        notes=("The split is the declared one.",),
    )
    data = labelling.to_dict()
    lines = ["seed = 0", "", "[data]", 'folder = "cells"', "", "[data.labelling]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in data.items() if key != "classes"]
    for entry in data["classes"]:
        lines += ["", "[[data.labelling.classes]]", *(f"{key} = {json.dumps(value)}" for key, value in entry.items())]
    lines += ["", "[data.split]", *(f"{key} = {json.dumps(value)}" for key, value in split.to_dict().items())]
    lines += ["", "[model]", "features = 16", "depth = 3", "", "[train]", f"steps = {STEPS}"]
    return "\n".join(lines) + "\n"


def training_events(labelling, *, steps, reason):
    rng = np.random.default_rng(0)
    k = len(labelling.classes)
    events = [
        {
            "event": "start", "step": 0, "steps": steps, "version": "0.1.0", "jax": "0.10.2", "python": "3.11.8",
            "devices": ["cpu"], "cores": 4, "memory_bytes": 16_000_000_000, "parameters": 121_234,
            "command": "tinyunet train cells --out runs/cells --minutes 5",
        },
        {"event": "note", "step": 0, "text": "The images are small (64 × 64), so whole images are used for training."},
    ]  # fmt: skip
    for step in range(1, steps + 1):
        loss = float(0.08 + 1.3 * np.exp(-step / 40) * rng.lognormal(0, 0.2))
        rate = 2e-3 * min(1, step / 20) * (1 + np.cos(np.pi * step / steps)) / 2
        events.append({"event": "train", "step": step, "loss": loss, "learning_rate": rate})
        events[-1] |= {"steps_per_second": 8.2, "waiting": 0.02}
        if step % (steps // 10) == 0:
            dice = [float(1 - 0.5 / (c + 1) * np.exp(-step / 60) - 0.04 * c) for c in range(k)]
            events.append({"event": "validate", "step": step, "loss": loss * 1.2, "dice": dice})
            events[-1] |= {"score": float(np.mean(dice)), "best": step <= 0.9 * steps}
    end = {"event": "end", "step": steps, "reason": reason, "seconds": 298.2, "peak_memory_bytes": 1_412_000_000}
    return [*events, end]


def write_json(path, content):
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def edit_json(path, change):
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    write_json(path, content)


class Page(HTMLParser):
    """What a browser would make of the page: tags that are closed in order, texts, and attributes."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] not in (["script"], ["style"]):
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("runs") / "cells")
    return write_report(run)


def test_the_report_lies_in_the_run_folder(finished):
    assert finished.name == "report.html"
    assert finished.parent.name == "cells"


def test_the_headline_says_the_result_in_one_sentence(finished):
    evaluation = json.loads((finished.parent / "evaluation.json").read_text(encoding="utf-8"))
    dice, plain = evaluation["pooled"]["dice"][1], evaluation["baseline"]["pooled"]["dice"][1]
    sentence = (
        f"On 6 test images it finds cell with Dice {dice:.2f} (0 to 1, higher is better); "
        f"thresholding alone reaches {plain:.2f}."
    )
    assert sentence in Page(finished).text


def test_the_parts_come_in_their_order(finished):
    text = Page(finished).text
    parts = (
        "On 6 test images", "In truth and prediction:", "best : test-", "median : test-", "worst : test-",
        "Pooled over 6 test images", "Mean over 6 test images", "At other thresholds",
        "Scores of each image, the worst first", "36", "Classes, over the pixels of all masks", "Split", "Intensity",
        "240 of 240", "Loss (logarithmic scale)", "Dice of each class", "Learning rate", "The images are small",
        "tinyunet train cells --out runs/cells --minutes 5", "0.10.2", "features = 16", "Intersection over union",
    )  # fmt: skip
    at = -1
    for part in parts:
        at = text.find(part, at + 1)
        assert at >= 0, f"{part} is missing or too early"


def test_the_page_asks_for_nothing_outside_itself(finished):
    page = Page(finished)
    addresses = [value for _, name, value in page.attributes if name in ("src", "href", "srcset", "action", "data")]
    assert addresses
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in addresses)
    source = finished.read_text(encoding="utf-8")
    assert "url(" not in source
    assert "@import" not in source
    policy = next(value for tag, name, value in page.attributes if tag == "meta" and "default-src" in value)
    assert policy.startswith("default-src 'none';")


def test_the_security_policy_lets_the_pages_own_script_run_and_nothing_else(finished):
    page = Page(finished)
    assert page.tags.count("script") == 1
    script = re.search(r"<script>(.*)</script>", finished.read_text(encoding="utf-8"), re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in finished.read_text(encoding="utf-8")
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]


def test_every_link_within_the_page_has_its_place(finished):
    page = Page(finished)
    places = {value for _, name, value in page.attributes if name == "id"}
    assert {value[1:] for tag, name, value in page.attributes if tag == "a" and name == "href"} <= places


def test_every_picture_says_what_it_is(finished):
    page = Page(finished)
    assert page.tags.count("img") == 12
    described = [value for tag, name, value in page.attributes if tag == "img" and name == "alt"]
    assert len(described) == 12
    assert described[0].startswith("Image: test-")


def test_the_same_folder_gives_the_same_bytes(finished, tmp_path):
    before = finished.read_bytes()
    assert write_report(finished.parent).read_bytes() == before
    assert write_report(make_run(tmp_path / "cells")).read_bytes() == before


def test_a_run_that_is_named_by_a_relative_path_has_its_name(finished, monkeypatch):
    monkeypatch.chdir(finished.parent)
    assert write_report(Path(".")).read_bytes() == finished.read_bytes()


def test_texts_from_files_are_shown_and_not_obeyed(tmp_path):
    classes = (ClassInfo("background", 0, "#000000"), ClassInfo(HOSTILE, 255, "#e69f00"))
    run = make_run(tmp_path / "<b>run", labelling=Labelling("foreground", classes), images=2, name="{:d}\"'" + HOSTILE)
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"event": "note", "step": 3, "text": f"</script>{HOSTILE}"}) + "\n")
        file.write(
            json.dumps(
                {"event": "start", "step": 3}
                | dict.fromkeys(("steps", "parameters", "cores", "memory_bytes"), 1)
                | dict.fromkeys(("version", "jax", "python", "command"), f'">{HOSTILE}')
                | {"devices": [HOSTILE]}
            )
            + "\n"
        )
    (run / "config.toml").write_text(
        (run / "config.toml").read_text(encoding="utf-8") + f'\nnote = "</pre>{HOSTILE}"\n', encoding="utf-8"
    )
    page = Page(write_report(run))
    assert page.tags.count("script") == 1
    assert "tinyunet report · <b>run" in page.text
    for shown in (f"0\"'{HOSTILE}", f"</script>{HOSTILE}", f'">{HOSTILE}', f"</pre>{HOSTILE}", f"Dice of {HOSTILE}"):
        assert shown in page.text


def test_a_text_that_utf8_cannot_hold_is_written_all_the_same(finished, tmp_path):
    run = make_run(tmp_path / "run", images=2)
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"event": "note", "step": 1, "text": "half \\ud800 a pair"}\n')
    assert "half ? a pair" in Page(write_report(run)).text


def test_a_run_with_nothing_but_its_configuration_says_what_is_missing(tmp_path):
    (tmp_path / "config.toml").write_text("seed = 0\n", encoding="utf-8")
    text = Page(write_report(tmp_path)).text
    assert "Not evaluated yet, and nothing was validated in training: there is no result to report." in text
    assert "There are no pictures in this run’s previews folder." in text
    assert "This run has not been evaluated." in text
    assert "The run holds no fingerprint.json" in text
    assert "The run holds no metrics.jsonl" in text


@pytest.mark.parametrize("part", ["config.toml", "fingerprint.json", "metrics.jsonl", "evaluation.json", "previews"])
def test_any_part_may_be_missing(finished, tmp_path, part):
    run = make_run(tmp_path / "run", images=2)
    (run / part).rename(tmp_path / "away")
    page = Page(write_report(run))
    assert (page.tags.count("img") == 0) == (part == "previews")


def test_a_training_without_evaluation_shows_what_validation_said(tmp_path):
    run = make_run(tmp_path / "run", images=2)
    (run / "evaluation.json").unlink()
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    best = [line for line in map(json.loads, lines) if line.get("best")][-1]
    text = Page(write_report(run)).text
    assert f"the validation images reached a mean Dice of {best['score']:.2f}" in text
    assert "“tinyunet evaluate RUN DATA” makes them" in text


def test_boundaries_and_more_classes_have_their_own_tables(tmp_path):
    membrane = (ClassInfo("membrane", 0, "#000000"), ClassInfo("cytoplasm", 255, "#56b4e9"))
    cut = make_run(tmp_path / "cut", labelling=Labelling("semantic", membrane, boundary="membrane"), images=2)
    text = Page(write_report(cut)).text
    assert "Regions between membrane, mean over 2 test images" in text
    assert "Variation of information in bits" in text
    assert "it finds membrane with Dice" in text
    many = tuple(ClassInfo(f"kind {k}", k, f"#{k}{k}{k}{k}{k}{k}") for k in range(9))
    text = Page(write_report(make_run(tmp_path / "many", labelling=Labelling("semantic", many, ignore=99)))).text
    assert "it tells 9 classes apart with a mean Dice of" in text
    assert "Of the classes, the first eight have a column." in text
    assert "one class taken for another" in text
    assert "takes no part" in text
    assert "Dice of the 6 worst classes" in text


def test_an_older_page_stays_whole_if_the_new_one_cannot_be_made(tmp_path):
    run = make_run(tmp_path / "run", images=2)
    before = write_report(run).read_bytes()
    (run / "evaluation.json").write_text("{", encoding="utf-8")
    with pytest.raises(CheckpointError):
        write_report(run)
    assert (run / "report.html").read_bytes() == before
    assert sorted(path.name for path in run.glob("*report*")) == ["report.html"]


def test_a_page_that_cannot_be_written_is_the_users_to_mend(tmp_path):
    run = make_run(tmp_path / "run", images=2)
    (run / "report.html").mkdir()
    with pytest.raises(DataError, match=r"report\.html cannot be written"):
        write_report(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda scores: scores.pop("pooled"), r"evaluation\.json is not what this version writes \(ValueError: .*'po"),
        (lambda scores: scores.pop("split"), r"evaluation\.json is not what this version writes \(KeyError: 'split'\)"),
        (lambda scores: scores.update(images=[]), r"evaluation\.json .* \(ValueError: it scores no image\)"),
        (lambda scores: scores.update(positive="rock"), r"evaluation\.json is not .* \(ValueError"),
        (lambda scores: scores.update(images=7), r"evaluation\.json is not what this version writes \(TypeError"),
    ],
)
def test_scores_that_are_none_are_an_error_that_names_the_file(tmp_path, change, message):
    run = make_run(tmp_path / "run", images=2)
    edit_json(run / "evaluation.json", change)
    with pytest.raises(CheckpointError, match=message):
        write_report(run)


def test_events_that_are_none_are_an_error_that_names_the_file(tmp_path):
    run = make_run(tmp_path / "run", images=2)
    (run / "metrics.jsonl").write_text('{"event": "end", "step": 3}\n', encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl is not what .* writes \(KeyError: 'seconds'\)"):
        write_report(run)
