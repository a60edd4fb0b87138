import json

import pytest

from tinyunet.errors import CheckpointError
from tinyunet.runs.page.record import read_record, reading

CONFIG = """
[data.labelling]
task = "semantic"
[[data.labelling.classes]]
name = "sky"
value = 3
color = "#56b4e9"
[data.split]
train = ["a"]
val = ["b"]
test = []
"""


def write(run, name, content):
    path = run / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_configuration_says_what_masks_mean_and_who_trained(tmp_path):
    write(tmp_path, "config.toml", CONFIG)
    record = read_record(tmp_path)
    assert record.config_text == CONFIG
    assert record.labelling.names == ("sky",)
    assert record.split.train == ("a",)
    assert (record.fingerprint, record.evaluation, record.evaluated, record.events) == (None, None, None, ())


def test_a_configuration_may_say_neither(tmp_path):
    write(tmp_path, "config.toml", "seed = 0")
    assert (read_record(tmp_path).labelling, read_record(tmp_path).split) == (None, None)


def test_the_last_record_of_a_step_counts(tmp_path):
    lines = [{"event": "train", "step": s, "loss": v} for s, v in ((1, 9.0), (3, 8.0), (2, 7.0), (3, 6.0))]
    lines += [{"event": "note", "step": 1, "text": text} for text in "ab"]
    write(tmp_path, "metrics.jsonl", "\n".join(map(json.dumps, lines)) + "\n\n")
    record = read_record(tmp_path)
    assert [(line["step"], line["loss"]) for line in record.of("train")] == [(1, 9.0), (2, 7.0), (3, 6.0)]
    assert [line["text"] for line in record.of("note")] == ["a", "b"]
    assert record.last("train")["loss"] == 6.0
    assert record.last("end") is None
    assert not record.cut_short


def test_pictures_are_sorted_and_other_files_left_alone(tmp_path):
    write(tmp_path, "config.toml", "")
    for name in ("worst_b.png", "best_a.png", "notes.txt"):
        write(tmp_path, f"previews/{name}", b"")
    assert [path.name for path in read_record(tmp_path).pictures] == ["best_a.png", "worst_b.png"]


def test_half_a_last_line_is_left_out(tmp_path):
    write(tmp_path, "metrics.jsonl", '{"event": "note"}\n{"event": "tr')
    record = read_record(tmp_path)
    assert record.events == ({"event": "note"},)
    assert record.cut_short


def test_a_whole_last_line_without_its_end_counts(tmp_path):
    write(tmp_path, "metrics.jsonl", '{"event": "note"}\n{"event": "end"}')
    record = read_record(tmp_path)
    assert len(record.events) == 2
    assert not record.cut_short


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.jsonl", '{"a": 1}\n{"a": \n{}\n', r"metrics\.jsonl, line 2 is damaged: Expecting value at col"),
        ("metrics.jsonl", "{}\n[1]\n", r"line 2 is damaged: an object in braces is wanted, got list\."),
        ("metrics.jsonl", b'{}\n{}\n{"a": "\xff"}\n', r"metrics\.jsonl, line 3 is damaged: not UTF-8 text\."),
        ("evaluation.json", '{\n "classes": [\n}', r"evaluation\.json, line 3 is damaged: .* at column 1\. Move"),
        ("evaluation.json", "", r"evaluation\.json, line 1 is damaged"),
        ("evaluation.json", "[" * 100_000, r"evaluation\.json, line 1 is damaged: nested too deeply\."),
        ("evaluation.json", "{}", r"evaluation\.json is not what this version writes \(ValueError"),
        ("fingerprint.json", "{}", r"fingerprint\.json is not what this version writes \(KeyError"),
        ("fingerprint.json", "7", r"fingerprint\.json, line 1 is damaged: an object in braces is wanted, got int\."),
        ("config.toml", "seed = 0\nsteps = = 1\n", r"config\.toml is damaged: .*line 2.*\. Mend it"),
        ("config.toml", "data = 3\n", r"config\.toml is not what this version writes"),
        ("config.toml", "[data]\nlabelling = 3\n", r"config\.toml is not what this version writes"),
        ("config.toml", '[data.split]\nhold_out = ["a"]\n', r"config\.toml is not what .* writes \(TypeError"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_with_its_line(tmp_path, name, content, message):
    write(tmp_path, name, content)
    with pytest.raises(CheckpointError, match=message):
        read_record(tmp_path)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"is no run: it holds none of config\.toml, fingerprint\.json, metrics"):
        read_record(tmp_path)


def test_a_file_is_no_run(tmp_path):
    path = write(tmp_path, "model.safetensors", b"")
    with pytest.raises(CheckpointError, match=r"model\.safetensors is no folder\. Name a run, as `tinyunet train"):
        read_record(path)


@pytest.mark.parametrize(
    "error", [KeyError("x"), IndexError("x"), TypeError("x"), ValueError("x"), AttributeError("x")]
)
def test_what_a_file_lacks_is_said_of_the_file(tmp_path, error):
    with (
        pytest.raises(
            CheckpointError, match=rf"a\.json is not what this version writes \({type(error).__name__}: '?x'?\)"
        ),
        reading(tmp_path / "a.json"),
    ):
        raise error
