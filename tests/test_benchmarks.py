import dataclasses
import functools
import importlib.util
import json
import operator
import os
import socket
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from browser import started
from reference import tiny
from reference.compiled import quick_jit

from benchmarks import __main__ as suite
from benchmarks import (
    ablation,
    augmentation,
    chart,
    check,
    convolution,
    cost,
    curves,
    export,
    images,
    kernels,
    loading,
    objects,
    painting,
    real,
    seams,
    serving,
    start,
    step,
    streaming,
    strokes,
    studio,
    together,
    volumes,
    webpage,
)
from benchmarks.measure import Spread, in_turn, machine, machine_line, peak_bytes, time_call
from benchmarks.peers import ours, plain_flax
from benchmarks.peers.case import INFERENCE, STEP, Case
from benchmarks.present import Table, aligned, markdown
from benchmarks.scores import NAMES, further, mean, pick, pick_baseline
from benchmarks.whole import Finished, Training, run
from benchmarks.workers import Conditions, Measured, Work, compare
from tinyunet.data.check import examine
from tinyunet.data.normalise import Normalisation, normalise
from tinyunet.data.synthetic import cells, write_cells
from tinyunet.models.presets import ModelConfig
from tinyunet.objects.target import ObjectConfig
from tinyunet.prediction.tiles import TileSpec
from tinyunet.runs.build import build_model, build_probabilities
from tinyunet.training.log import Log

SMALL = Case(features=2, depth=2, batch=1, size=16)
SMALL_VALID = Case(features=2, depth=1, batch=1, size=24, convs_per_block=2, padding="valid", norm="none")
SMALL_VOLUME = volumes.VolumeCase(features=2, depth=1, batch=1, size=6)
SMALL_CASES = {
    "image": SMALL,
    "two convolutions": dataclasses.replace(SMALL, convs_per_block=2),
    "add": dataclasses.replace(SMALL, convs_per_block=2, skip="add"),
    "valid": SMALL_VALID,
    "volume": SMALL_VOLUME,
}
TINY_MODEL = [
    f"--set={setting}"
    for setting in ("model.features=2", "model.depth=1", "batches.patch=16", "batches.margin=0", "batches.batch=1")
]


def evaluation(*, positive="cell", boundary=None, objects_=None):
    """What `tinyunet evaluate --json` writes, as far as the benchmarks read it."""
    overlap = {"dice": [0.9, 0.7], "mean_dice": 0.8}
    return {
        "classes": ["background", "cell"],
        "positive": positive,
        "pooled": overlap,
        "per_image_mean": {"dice": [0.8, 0.6], "mean_dice": 0.7},
        "threshold": {"auc": 0.95, "f1_at_half": 0.7, "best_f1": 0.75} if positive else None,
        "boundary": boundary,
        "baseline": {"pooled": overlap, "per_image_mean": overlap} if positive else None,
        "objects": objects_,
        "calibration": None,
    }


def training(step_seconds=0.5, **options):
    """An outcome of 100 steps."""
    finished = Finished(seconds=60.0, peak_bytes=2**30)
    return Training(finished, finished, 1234, 100, step_seconds, 0.01, evaluation(**options))


# measure


def test_spread_by_hand():
    ours_, theirs = Spread((1.0, 2.0, 4.0)), Spread((2.0, 3.0, 20.0))
    assert theirs.over(ours_).values == (2.0, 1.5, 5.0)  # pair by pair, not median by median
    assert theirs.over(ours_).text() == "2.00 (1.50–5.00)"


def test_peers_are_timed_in_turn_after_two_calls_that_do_not_count():
    order = []
    found = in_turn({name: functools.partial(order.append, name) for name in "ABC"}, rounds=2)
    assert "".join(order) == "AABBCC" + "ABCABC"
    assert {name: len(spread.values) for name, spread in found.items()} == {"A": 2, "B": 2, "C": 2}


def test_the_machine_is_described_in_one_line():
    line = machine_line(machine())
    assert f"jax {jax.__version__}" in line
    assert "\n" not in line


def test_a_graphics_card_is_named_before_the_processor(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA X1, 81559 MiB, 580.1'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert machine_line(machine()).startswith("NVIDIA X1 (81559 MiB, driver 580.1); ")


def test_peak_memory_grows_with_what_is_held():
    before = peak_bytes()
    held = np.ones(2**24)  # 128 MiB
    assert peak_bytes() >= max(before, held.nbytes)


# present


def test_tables_by_hand():
    table = Table("Score", ("system", "Dice"), (("ours", 0.91234), ("none at all", None), ("count", 12345)))
    assert aligned(table).splitlines() == [
        "system         Dice",
        "ours         0.9123",
        "none at all       –",
        "count        12,345",
    ]
    assert markdown(table).splitlines()[1:3] == ["| --- | --- |", "| ours | 0.9123 |"]


# scores


def test_scores_of_two_classes_are_the_positive_ones():
    found = pick(evaluation())
    assert [found[name] for name in NAMES[:5]] == [0.7, 0.6, 0.7, 0.75, 0.95]
    assert [found[name] for name in NAMES[5:]] == [None] * 7


def test_scores_of_more_classes_are_means_over_them():
    found = pick(evaluation(positive=None))
    assert [found[name] for name in NAMES[:3]] == [0.8, 0.7, None]
    assert set(pick_baseline(evaluation(positive=None)).values()) == {None}


def test_scores_of_boundaries():
    boundary = {"best": {"rand_f": 0.9, "voi": 0.4}, "at_half": {"rand_f": 0.8, "voi": 0.5}}
    found = pick(evaluation(boundary=boundary))
    assert [found[name] for name in NAMES[5:9]] == [0.9, 0.8, 0.4, 0.5]


def test_scores_of_objects():
    found, plain, otsu = ({"ap": [ap, ap / 2], "mean_ap": ap - 0.2} for ap in (0.8, 0.6, 0.5))
    scored = evaluation(objects_={"found": found, "plain": plain, "baseline": otsu})
    assert [pick(scored)[name] for name in NAMES[9:]] == [0.8, pytest.approx(0.6), 0.6]
    assert [pick_baseline(scored)[name] for name in NAMES[9:]] == [0.5, None, None]


def test_further_scores_are_those_of_each_class_and_of_the_calibration():
    calibration = {"temperature": 1.5, "before": {"error": 0.05}, "after": {"error": 0.02}}
    assert further(evaluation() | {"calibration": calibration}) == {
        "calibration error": 0.02,
        "calibration error before scaling": 0.05,
    }
    assert further(evaluation(positive=None)) == {
        "Dice of background, mean of images": 0.8,
        "Dice of cell, mean of images": 0.6,
    }


def test_mean_of_an_incomplete_set_is_missing():
    assert mean([0.5, 1.0]) == 0.75
    assert mean([0.5, None]) is None
    assert mean([]) is None


# peers


def head_of_images(variables, axes):
    """Our head's kernel, (1, in, out), as that of a convolution over so many axes, and its bias."""
    head = variables["params"]["head"]
    return {"kernel": head["kernel"].reshape(*(1,) * axes, *head["kernel"].shape[-2:]), "bias": head["bias"]}


def ours_and_variables(case):
    """This project's network of a case, and its initial variables."""
    model = ours.model(case)
    return model, quick_jit(model.init)(jax.random.key(1), case.data()[0])


@pytest.mark.parametrize("name", SMALL_CASES)
def test_plain_flax_computes_the_same_network(name):
    case = SMALL_CASES[name]
    images, labels = case.data()
    (mine, variables), plain = ours_and_variables(case), plain_flax.PlainSegmenter(case)
    theirs = {
        kind: {name.replace("ConvBlock", "PlainBlock"): value for name, value in tree["unet"].items()}
        for kind, tree in variables.items()
    }
    theirs["params"]["Conv_0"] = head_of_images(variables, len(case.space))
    expected = jax.jit(plain.apply)(theirs, images)
    assert expected.shape[:-1] == labels.shape
    np.testing.assert_allclose(jax.jit(mine.apply)(variables, images), expected, atol=1e-4)


@pytest.mark.parametrize("name", step.cases())
def test_peers_have_the_same_number_of_parameters(name):
    case = step.cases()[name]
    image = jnp.zeros((1, case.size, case.size, 1))

    def parameters(model):
        return sum(
            leaf.size for leaf in jax.tree.leaves(jax.eval_shape(model.init, jax.random.key(0), image)["params"])
        )

    expected = parameters(ours.model(case))
    assert parameters(plain_flax.PlainSegmenter(case)) == expected
    pytest.importorskip("torch", reason="needs torch: pip install 'tinyunet[bench]'")
    from benchmarks.peers.torch_unet import TorchSegmenter

    assert sum(parameter.numel() for parameter in TorchSegmenter(case).parameters()) == expected


@pytest.mark.parametrize("name", SMALL_CASES)
def test_torch_computes_the_same_network(name):
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'tinyunet[bench]'")
    from benchmarks.peers.torch_unet import TorchSegmenter

    case = SMALL_CASES[name]
    images, _ = case.data()
    model, variables = ours_and_variables(case)
    params, axes = variables["params"], len(case.space)
    peer = TorchSegmenter(case).eval()

    def load(layer, tree, *, turned=False):
        kernel = np.asarray(tree["kernel"])
        # (*window, in, out) to (out, in, *window); a transposed convolution's to (in, out, *window), turned over.
        kernel = np.flip(kernel, range(axes)).swapaxes(-1, -2) if turned else kernel
        layer.weight.data = torch.from_numpy(np.moveaxis(kernel, (-1, -2), (0, 1)).copy())
        layer.bias.data = torch.from_numpy(np.array(tree["bias"]))

    for i, stage in enumerate([*peer.encoder, *peer.decoder]):
        convolutions = [layer for layer in stage if hasattr(layer, "kernel_size")]
        for j, layer in enumerate(convolutions):
            load(layer, params["unet"][f"ConvBlock_{i}"][f"Conv_{j}"])
    for i, layer in enumerate(peer.upsample):
        load(layer, params["unet"][f"ConvTranspose_{i}"], turned=True)
    load(peer.head, head_of_images(variables, axes))
    with torch.inference_mode():
        found = peer(torch.from_numpy(images).movedim(-1, 1)).movedim(1, -1).numpy()
    expected = jax.jit(model.apply)(variables, images)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("name", SMALL_CASES)
def test_keras_computes_the_same_network(name):
    if importlib.util.find_spec("keras") is None:  # to import it would choose its back end
        pytest.skip("needs keras: pip install 'tinyunet[bench]'")
    from benchmarks.peers import keras_unet

    case = SMALL_CASES[name]
    images, _ = case.data()
    model, variables = ours_and_variables(case)
    params, axes = variables["params"], len(case.space)
    peer = keras_unet.build(case)
    assert sum(np.size(weight) for weight in peer.trainable_weights) == sum(map(np.size, jax.tree.leaves(params)))
    blocks, ups = (len([name for name in params["unet"] if name.startswith(kind)]) for kind in ("ConvB", "ConvT"))
    trees = [params["unet"][f"ConvBlock_{i}"][f"Conv_{j}"] for i in range(blocks) for j in range(case.convs_per_block)]
    convolutions = [layer for layer in peer.layers if type(layer).__name__ == f"Conv{axes}D"]
    for layer, tree in zip(convolutions, [*trees, head_of_images(variables, axes)], strict=True):
        layer.set_weights([np.asarray(tree["kernel"]), np.asarray(tree["bias"])])
    transposed = [layer for layer in peer.layers if type(layer).__name__ == f"Conv{axes}DTranspose"]
    for layer, i in zip(transposed, range(ups), strict=True):
        tree = params["unet"][f"ConvTranspose_{i}"]
        kernel = np.flip(np.asarray(tree["kernel"]), range(axes)).swapaxes(-1, -2)  # to (*window, out, in)
        layer.set_weights([kernel, np.asarray(tree["bias"])])
    np.testing.assert_allclose(peer.predict_on_batch(images), jax.jit(model.apply)(variables, images), atol=1e-4)


@pytest.mark.parametrize("case", [dataclasses.replace(SMALL, depth=1), SMALL_VALID], ids=["same", "valid"])
@pytest.mark.parametrize("peer", [ours, plain_flax], ids=lambda peer: peer.__name__)
def test_peers_can_train_and_infer_again_and_again(peer, case):
    work = peer.make(case)
    assert set(work.calls) == {STEP, INFERENCE}
    for call in [*work.calls.values()] * 2:
        call()


@pytest.mark.parametrize("name", [step.KERAS, "PyTorch channels_first", "PyTorch compiled, channels_last"])
def test_others_can_train_and_infer_again_and_again(name):
    for module in step.NEEDS[name]:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}: pip install 'tinyunet[bench]'")
    peers = step.make_peers([name], SMALL_VOLUME)
    measured = compare(peers, rounds=1, turn_seconds=0.0)
    assert set(measured[name].seconds) == {STEP, INFERENCE}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", ["image", "valid", "volume"])
@pytest.mark.parametrize("runtime", step.RUNTIMES.values())
def test_runtimes_compute_the_same_network(runtime, name, tmp_path):
    for module in ("torch", "onnxscript", runtime):
        pytest.importorskip(module, reason=f"needs {module}: pip install 'tinyunet[bench]'")
    import torch

    from benchmarks.peers import runtimes

    case = SMALL_CASES[name]
    model = runtimes.TorchSegmenter(case)
    images = np.ascontiguousarray(np.moveaxis(case.data()[0], -1, 1))
    model(torch.from_numpy(images))  # so that there are averages to fold
    model.eval()
    runtimes.export(model, images, tmp_path / "unet.onnx")
    call = {"onnxruntime": runtimes.onnx_runtime_call, "openvino": runtimes.openvino_call}[runtime]
    with torch.inference_mode():
        expected = model(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(call(tmp_path / "unet.onnx", images)(), expected, atol=1e-4)


def test_runtimes_infer_alone():
    peers = step.make_peers(list(step.RUNTIMES), SMALL)
    if len(peers) < 2:
        pytest.skip("needs onnxruntime and openvino: pip install 'tinyunet[bench]'")
    measured = compare(peers, rounds=1, turn_seconds=0.0)
    assert [set(peer.seconds) for peer in measured.values()] == [{INFERENCE}] * 2


def test_sizes_of_the_results_by_hand():
    paper = step.cases()["unet2015"]
    assert (paper.result(572), paper.shrunk(1).size, paper.shrunk(2).size, paper.shrunk(9).size) == (388, 572, 300, 188)
    assert (SMALL.result(16), SMALL.shrunk(2).size) == (16, 8)
    images, labels = dataclasses.replace(SMALL_VALID, depth=0).data()
    np.testing.assert_array_equal(labels, images[:, 2:-2, 2:-2, 0] > 0)


# workers


def test_peers_are_measured_in_processes_of_their_own():
    def sleeper(seconds):
        return functools.partial(Work, 3, {kind: functools.partial(time.sleep, seconds) for kind in (STEP, INFERENCE)})

    measured = compare({step.OURS: sleeper(0.01), "slower": sleeper(0.03)}, rounds=2, turn_seconds=0.0)
    assert [len(peer.seconds[kind].values) for peer in measured.values() for kind in (STEP, INFERENCE)] == [2] * 4
    assert measured["slower"].seconds[STEP].median >= 0.03
    assert {peer.parameters for peer in measured.values()} == {3}
    assert min(peer.peak_bytes[STEP] for peer in measured.values()) > 2**20


def test_what_calls_began_is_waited_for_once_and_counts():
    done = []
    seconds = time_call(lambda: done.append("call"), calls=3, wait=lambda: (time.sleep(0.03), done.append("wait")))
    assert done == ["call"] * 3 + ["wait"]
    assert seconds >= 0.01


def test_each_peer_is_asked_for_what_it_offers():
    peers = {
        "both": functools.partial(Work, 1, dict.fromkeys((STEP, INFERENCE), time.monotonic)),
        "one": functools.partial(Work, 1, {INFERENCE: time.monotonic}),
    }
    measured = compare(peers, rounds=1, turn_seconds=0.0)
    assert {name: set(peer.seconds) for name, peer in measured.items()} == {
        "both": {STEP, INFERENCE},
        "one": {INFERENCE},
    }


def work_under_conditions():
    """Fails where the environment is not that of the test below."""
    return Work(int(os.environ["CONDITION"]), {INFERENCE: functools.partial(operator.add, 1, 1)})


def test_conditions_hold_before_the_work_is_made(monkeypatch):
    monkeypatch.setenv("CONDITION", "3")
    conditions = {"kept": Conditions(memory_kept=True, environment={"CONDITION": "4"})}
    with pytest.raises(RuntimeError, match=r"got \{'as it comes': 3, 'kept': 4\}"):
        compare(
            dict.fromkeys(("as it comes", "kept"), work_under_conditions),
            rounds=1,
            turn_seconds=0.0,
            conditions=conditions,
        )


def test_peers_that_differ_are_refused():
    peers = {"one": functools.partial(Work, 1, {}), "other": functools.partial(Work, 2, {})}
    with pytest.raises(RuntimeError, match=r"the same number of parameters, got \{'one': 1, 'other': 2\}"):
        compare(peers, rounds=1, turn_seconds=0.0)


def test_a_peer_that_dies_is_named():
    with pytest.raises(RuntimeError, match="The process of the broken one ended; its own message stands above"):
        compare({"the broken one": Work}, rounds=1, turn_seconds=0.0)


def test_a_peer_that_is_not_installed_is_skipped_with_a_line(monkeypatch, capsys):
    monkeypatch.setattr(step.importlib.util, "find_spec", lambda name: None)
    assert list(step.make_peers(step.PEERS, SMALL)) == ["tinyunet", "plain Flax"]
    said = capsys.readouterr().err
    assert "PyTorch channels_first is skipped: torch is not installed; pip install 'tinyunet[bench]'." in said
    assert "tinyunet, XLA alone is skipped: tinyunet is that without tinyunet-native; pip install ./native." in said
    assert "OpenVINO is skipped: torch is not installed; pip install 'tinyunet[bench]'." in said


# scripts


@pytest.mark.parametrize(
    "script",
    [
        step,
        convolution,
        cost,
        export,
        start,
        real,
        ablation,
        augmentation,
        check,
        curves,
        images,
        loading,
        objects,
        seams,
        strokes,
        together,
        volumes,
        webpage,
    ],
    ids=lambda s: s.__name__,
)
def test_help(script, capsys):
    with pytest.raises(SystemExit, match="0"):
        script.main(["--help"])
    assert "--markdown" in capsys.readouterr().out


def test_step(monkeypatch, tmp_path, capsys):
    spread = {kind: Spread((0.1, 0.2)) for kind in (STEP, INFERENCE)}
    measured = Measured(7, dict.fromkeys(spread, 1.0), spread, dict.fromkeys(spread, 2**20))
    monkeypatch.setattr(step, "compare", lambda peers, **options: dict.fromkeys(peers, measured))
    file = tmp_path / "step.json"
    step.main(["--cases", "seed8", "--peers", "tinyunet", "plain Flax", "--shrink", "8", "--json", str(file)])
    assert "Training step, 8 features, depth 2, batch 8×16²" in capsys.readouterr().out
    assert json.loads(file.read_text())["raw"]["seed8"]["tinyunet"]["seconds"][STEP]["values"] == [0.1, 0.2]


def test_operations_of_a_network_by_hand():
    case = Case(features=2, depth=1, batch=3, size=4)
    products = 16 * 9 * 2 + 4 * 9 * 2 * 4 + 4 * 4 * 4 * 2 + 16 * 9 * 4 * 2 + 16 * 2 * 2
    assert case.operations(INFERENCE) == 2 * 3 * products
    assert case.operations(STEP) == 3 * case.operations(INFERENCE)
    lost = dataclasses.replace(case, padding="valid", size=12, skip="add")
    products = 100 * 9 * 2 + 9 * 9 * 2 * 4 + 9 * 4 * 4 * 2 + 16 * 9 * 2 * 2 + 16 * 2 * 2
    assert lost.operations(INFERENCE) == 2 * 3 * products


@pytest.mark.parametrize("peer", [ours, plain_flax], ids=lambda peer: peer.__name__)
def test_peers_can_compute_in_half_precision(peer):
    case = dataclasses.replace(SMALL, depth=1, dtype="bfloat16")
    work = peer.make(case)
    work.calls[STEP]()
    assert work.parameters == peer.make(dataclasses.replace(case, dtype="float32")).parameters
    assert case.title.endswith("bfloat16, batch 1×16²")


def test_torch_can_compute_in_half_precision():
    torch_unet = pytest.importorskip("benchmarks.peers.torch_unet")
    work = torch_unet.make(dataclasses.replace(SMALL, depth=1, dtype="bfloat16"), channels_last=True)
    work.calls[STEP]()
    work.calls[INFERENCE]()


def test_rate_of_a_convolution_by_hand():
    shape = convolution.Shape(batch=2, size=10, channels=3, features=5)
    assert (shape.title, shape.operations) == ("2×10²×3→5", 2 * 200 * 27 * 5)
    assert convolution.rate(Spread((0.5, 1.0)), 4e9).values == (8.0, 4.0)


def test_convolutions_and_gradients_are_those_of_every_peer():
    shapes = (convolution.Shape(1, 6, 2, 3),)
    workload = convolution.Workload(shapes, side=4, copied=64)
    calls = {name: make().calls for name, make in convolution.make_peers(convolution.PEERS, workload).items()}
    expected = [np.asarray(calls["XLA"][convolution.kind(shapes[0], op)]()) for op in convolution.OPERATIONS]
    assert [array.shape for array in expected] == [(1, 6, 6, 3), (1, 6, 6, 2), (3, 3, 2, 3)]
    channels_last = [(0, 2, 3, 1), (0, 2, 3, 1), (2, 3, 1, 0)]
    for name, peer in calls.items():
        found = [np.asarray(peer[convolution.kind(shapes[0], op)]()) for op in convolution.OPERATIONS]
        if name.startswith("PyTorch"):
            found = [array.transpose(axes) for array, axes in zip(found, channels_last, strict=True)]
        for theirs, array in zip(found, expected, strict=True):
            np.testing.assert_allclose(theirs, array, atol=1e-4)


def test_convolution(monkeypatch, tmp_path, capsys):
    few = dataclasses.replace(convolution.PROCESSOR, shapes=convolution.PROCESSOR.shapes[-1:])
    monkeypatch.setattr(convolution, "PROCESSOR", few)
    file = tmp_path / "convolution.json"
    options = ["--rounds", "1", "--turn-seconds", "0", "--shrink", "8", "--json", str(file)]
    convolution.main(["--peers", "tinyunet", "XLA", *options, "--markdown"])
    printed = capsys.readouterr().out
    assert "| 1024³ matrix product by jnp.dot, GFLOP/s | " in printed
    assert "| 4×4²×64→64, XLA | " in printed
    assert len(json.loads(file.read_text())["raw"]["XLA"]["seconds"]["4×4²×64→64, forward"]["values"]) == 1


def test_summary_by_hand():
    def measured(*values):
        return Measured(7, {}, {kind: Spread(values) for kind in (STEP, INFERENCE)}, {})

    fast, slow = (name for name in list(step.TORCH)[:2])
    found = {
        "one": {step.OURS: measured(1.0, 2.0), fast: measured(2.0, 4.0), slow: measured(5.0, 5.0)},
        "other": {step.OURS: measured(2.0, 2.0), fast: measured(9.0, 9.0), slow: measured(1.0, 1.0)},
    }
    rows = step.summaries(found)[0].rows
    assert rows[0] == ("tinyunet ÷ PyTorch as it comes", 0.5, 2.0, pytest.approx(1.0))
    assert len(rows) == 1  # the others were not measured


def test_which_peers_keep_their_memory_and_which_do_without_kernels():
    kept = step.begin(step.PEERS, keep_memory=True)
    assert [name for name, how in kept.items() if how.memory_kept] == [step.OURS, step.XLA_ALONE, *step.TORCH_KEPT]
    assert [name for name, how in kept.items() if how.environment] == [step.XLA_ALONE]
    left = step.begin(step.PEERS, keep_memory=False)
    assert [name for name, how in left.items() if how.memory_kept] == list(step.TORCH_KEPT)


def test_volumes(monkeypatch, tmp_path, capsys):
    spread = {kind: Spread((0.1, 0.2)) for kind in (STEP, INFERENCE)}
    measured = Measured(7, dict.fromkeys(spread, 1.0), spread, dict.fromkeys(spread, 2**20))
    monkeypatch.setattr(step, "compare", lambda peers, **options: dict.fromkeys(peers, measured))
    file = tmp_path / "volumes.json"
    volumes.main(["--peers", "tinyunet", "plain Flax", "--shrink", "2", "--json", str(file)])
    assert "Training step, 8 features, depth 3, 2 convolutions a block, batch 2×24×32×24" in capsys.readouterr().out
    assert json.loads(file.read_text())["raw"]["plain Flax"]["seconds"][STEP]["values"] == [0.1, 0.2]


def test_start(capsys):
    start.main(["--rounds", "1", "--heavy-rounds", "0", "--markdown"])
    assert "| tinyunet --help | " in capsys.readouterr().out


def test_real(tmp_path, capsys):
    data = write_cells(tmp_path / "cells", train=2, val=1, test=1, shape=(32, 32))
    real.main(["--data", str(data), "--steps", "1", "--seeds", "5", *TINY_MODEL, "--markdown"])
    printed = capsys.readouterr().out
    assert "| steps | 1 | 1 | – |" in printed
    assert "|  | mean | seed 5 | Otsu's threshold |" in printed


def test_ablation(monkeypatch, tmp_path, capsys):
    asked = []

    def fake(data, out, *, length, seed, settings):
        asked.append((seed, *settings, *length))
        return training(step_seconds=0.5 - seed / 10)

    monkeypatch.setattr(ablation, "train_and_evaluate", fake)
    ablation.main(
        ["--data", str(tmp_path), "--steps", "7", "--seeds", "0", "1", "--set", "model.depth=2", "--markdown"]
    )
    assert len(asked) == 10
    assert asked[2] == (0, "model.depth=2", "model.skip=none", "model.upsample=transpose", "--steps", "7")
    assert "| none, transpose | 1,234 | 0.400 | 0.7000 (0.7000–0.7000) |" in capsys.readouterr().out


def test_augmentation(monkeypatch, capsys):
    chosen = {name: augmentation.VARIANTS[name] for name in ("cut only", "everything (the default)")}
    monkeypatch.setattr(augmentation, "VARIANTS", chosen)
    sizes = ["--batch", "1", "--patch", "8", "--margin", "2"]
    augmentation.main([*sizes, "--rounds", "1", "--turn-seconds", "0"])
    assert "everything (the default)" in capsys.readouterr().out


def test_strokes_lie_in_their_classes():
    labels = np.zeros((40, 40), np.int32)
    labels[10:30, 10:30] = 1
    drawn = strokes.strokes(labels, length=8, per_class=5, seed=0)
    marked = drawn >= 0
    assert set(np.unique(drawn)) == {-1, 0, 1}
    assert np.array_equal(drawn[marked], labels[marked])
    assert 10 <= marked.sum() <= 2 * 5 * 10


def test_strokes(monkeypatch, tmp_path, capsys):
    data = write_cells(tmp_path / "cells", train=2, val=1, test=1, shape=(32, 32))
    annotated = {}

    def fake(folder, out, *, length, seed, settings):
        found = examine(folder)
        annotated[out.name] = sum(found.fingerprint.train_class_pixels)
        return training()

    monkeypatch.setattr(strokes, "train_and_evaluate", fake)
    options = ["--steps", "1", "--per-class", "2", "--length", "5", "--set=data.task=semantic"]
    strokes.main(["--data", str(data), *options, "--markdown"])
    printed = capsys.readouterr().out
    assert "% of the pixels | " in printed
    assert "| every pixel | " in printed
    assert 0 < min(annotated.values()) < 0.2 * annotated["every"] == 0.2 * 2 * 32 * 32


def test_together(capsys):
    sizes = ["--folds", "2", "--patches", "16", "--features", "1", "--rounds", "1", "--turn-seconds", "0"]
    together.main([*sizes, "--markdown"])
    assert "| 16² | " in capsys.readouterr().out


def test_objects_across_seams_are_those_of_the_whole_image():
    model = build_model(ModelConfig(features=4, depth=2), classes=3)
    image = normalise(cells(5, shape=(150, 132))[0], Normalisation("image"))
    init = jax.jit(model.init, compiler_options={"xla_backend_optimization_level": 0})
    variables = init(jax.random.key(1), jnp.zeros((1, 16, 16, 1)))
    compiled = build_probabilities(model)
    halo = model.unet.topologies(2)[0].receptive_radius()
    spec = TileSpec(ladder=(-(-(2 * halo + 24) // 4) * 4,), halo=halo, multiple=4, batch=2)
    core = np.asarray(compiled(variables, image[None, :148], np.ones((1, 148, 132, 1), bool)))[..., 2]
    # Nothing is learnt: what is above the middle is taken for a core, so that there are objects everywhere.
    config = ObjectConfig(
        core_probability=float(np.quantile(core, 0.6)), foreground_probability=0.01, split_probability=0.99
    )
    found = seams.compare(functools.partial(compiled, variables), image, (spec, spec), config)
    assert (found["tiles"] >= 9, found["objects across seams"] >= 3) == (True, True)
    assert found["objects, tiled"] == found["objects, whole"]
    assert found["largest difference of a probability"] < 1e-5
    assert found["pixels that differ"] <= 5  # rounding at a threshold


def test_seams(tmp_path, capsys):
    run_ = load_run_of_cells(tmp_path)
    seams.main(["--data", str(tmp_path / "cells"), "--run", str(run_), "--side", "2", "--markdown"])
    assert "| objects across seams | " in capsys.readouterr().out


def test_serving(semantic_run, tmp_path, capsys):
    image, _ = tiny.picture(0)
    tiny.save(tmp_path / "images" / "a.png", image)
    few = ["--clients", "2", "--seconds", "0.5", "--malformed", "30", "--json", str(tmp_path / "found.json")]
    serving.main(["--run", str(semantic_run), "--images", str(tmp_path / "images"), *few])
    out = capsys.readouterr().out
    assert "gives the same bytes as before" in out
    found = json.loads((tmp_path / "found.json").read_text())["raw"]
    assert list(found["statuses"]) == ["200"]
    assert sum(found["malformed"].values()) == 30
    assert not [status for status in found["malformed"] if status.startswith("5")]


def load_run_of_cells(root):
    """A run of one step that finds objects."""
    for number in range(3):
        image, instances = cells(number)
        tiny.save(root / f"cells/images/{number}.png", image[..., 0])
        tiny.save(root / f"cells/masks/{number}.png", instances.astype(np.uint16))
    return tiny.train_tiny(root / "cells", root / "run", steps=1, options=["--set", "data.task=instances"])


def test_export(tmp_path, capsys):
    run_, file = load_run_of_cells(tmp_path), tmp_path / "export.json"
    runs = ["--run", str(run_), str(tmp_path / "cells")]
    export.main([*runs, "--runtimes", "ONNX Runtime", "--json", str(file), "--markdown"])
    assert "| cells | " in capsys.readouterr().out
    (found,) = json.loads(file.read_text())["raw"].values()
    differences = [one["difference"] for one in found.values() if isinstance(one, dict)]
    assert 0 < max(differences) < 1e-5


def test_webpage(tmp_path, capsys):
    with started():  # or the test is skipped, or fails
        pass
    run_, file = load_run_of_cells(tmp_path), tmp_path / "webpage.json"
    options = ["--images", "1", "--rounds", "1", "--side", "40", "--json", str(file), "--markdown"]
    webpage.main(["--run", str(run_), "--data", str(tmp_path / "cells"), *options])
    assert "| WebAssembly, 1 thread | " in capsys.readouterr().out
    assert json.loads(file.read_text())["raw"]["equal"] == [1.0]


def test_objects(capsys):
    objects.main(["--sides", "1", "--rounds", "1"])
    assert "objects from probabilities" in capsys.readouterr().out


def test_check(capsys, tmp_path):
    file = tmp_path / "check.json"
    check.main(["--images", "70", "--size", "48", "--json", str(file)])
    assert "70 images of 48² pixels, with masks" in capsys.readouterr().out
    assert json.loads(file.read_text())["raw"]["images"] == 70


def test_loading(capsys):
    loading.main(["--size", "32", "--steps", "0", "--batches", "3", *TINY_MODEL])
    assert "reading alone: each further batch, ms" in capsys.readouterr().out


def test_a_command_that_fails_says_what_it_said(tmp_path):
    command = [sys.executable, "-c", "print('no such thing'); raise SystemExit(2)"]
    with pytest.raises(RuntimeError, match=r"ended with status 2:\nno such thing"):
        run(command, cache=tmp_path)


def measured_json(file, cases):
    """What `step` and `volumes` write, of peers that always take so many seconds."""
    kinds = (STEP, INFERENCE)
    peer = {name: {"seconds": {kind: {"values": [s, 2 * s]} for kind in kinds}} for name, s in PEER_SECONDS.items()}
    file.write_text(json.dumps({"machine": machine(), "raw": dict.fromkeys(cases, peer) if cases else peer}))
    return file


PEER_SECONDS = {"tinyunet": 0.5, "plain Flax": 2.0, "PyTorch channels_last": 1.5, "PyTorch channels_first": 1.0}


def test_what_is_drawn_by_hand(tmp_path):
    files = [measured_json(tmp_path / "step.json", ("a", "b")), measured_json(tmp_path / "volumes.json", ())]
    facts, cases = chart.read_cases(files)
    assert facts["cores"] >= 1
    assert list(cases) == ["a", "b", "volumes"]
    ratio, milliseconds = chart.times_ours(cases["a"], chart.BARS["fastest PyTorch as it comes"], STEP)
    assert (ratio.values, milliseconds) == ((2.0, 2.0), 1500.0)
    assert chart.times_ours(cases["a"], ("OpenVINO",), INFERENCE) is None


def test_chart(tmp_path):
    pytest.importorskip("matplotlib")
    chart.main([str(measured_json(tmp_path / "volumes.json", ())), "--out", str(tmp_path / "a.png")])
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_seconds_to_a_score_by_hand():
    curve = curves.Curve((10.0, 20.0, 30.0), (1, 2, 3), (0.5, 0.9, 0.8))
    assert [curve.seconds_to(score) for score in (0.4, 0.6, 0.9, 0.95)] == [10.0, 12.5, 20.0, None]


def test_curves(tmp_path, capsys):
    for name, pace in (("fast", 1.0), ("slow", 3.0)):
        looks = [{"event": "validate", "step": s, "seconds": pace * s, "score": s / 10} for s in (2, 4, 8)]
        (tmp_path / name).mkdir()
        lines = [{"event": "start", "step": 0}, *looks]
        (tmp_path / name / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = {name: curves.read_curve(tmp_path / name) for name in ("fast", "slow")}
    table = curves.tabulate(found)
    assert table.rows[0][:4] == ("fast", 8, 8.0, 0.8)
    np.testing.assert_allclose(table.rows[0][4:], [7.6, 7.84, 7.92, 8], atol=1e-3)
    np.testing.assert_allclose(table.rows[1][4:], [22.8, 23.52, 23.76, 24], atol=3e-3)
    curves.main([f"with={tmp_path}/fast", f"without={tmp_path}/slow"])
    assert "seconds to 0.7600" in capsys.readouterr().out


def test_whole_images_are_predicted_by_every_peer_that_is_installed(capsys):
    case = dataclasses.replace(SMALL, size=256)
    work = images.make_ours(case, (40,))
    work.calls["0.0016 megapixels (40²)"]()
    made = images.make_peers(case, (40,))
    assert "tinyunet" in made
    said = capsys.readouterr().err
    assert all((name in made) != (f"{name} is skipped" in said) for name in images.NEEDS)


def test_images(monkeypatch, capsys):
    spread = {images.megapixels(1000): Spread((2.0, 4.0))}
    measured = Measured(7, dict.fromkeys(spread, 1.0), spread, dict.fromkeys(spread, 2**20))
    monkeypatch.setattr(images, "compare", lambda peers, **options: dict.fromkeys(peers, measured))
    images.main(["--sides", "1000", "--markdown"])
    assert "| tinyunet | 3.00 (2.00–4.00) | 0.33 | 1.00 (1.00–1.00) | 1 |" in capsys.readouterr().out


def test_the_suite_goes_on_after_a_script_that_failed(monkeypatch, tmp_path, capsys):
    def run_script(command, *, stdout, stderr):
        stdout.write(f"{command[2]}\n")
        return subprocess.CompletedProcess(command, int(command[2] == "benchmarks.start"))

    monkeypatch.setattr(suite.subprocess, "run", run_script)
    with pytest.raises(SystemExit, match=r"^Failed: start\.$"):
        suite.main(["--out", str(tmp_path / "out"), "--only", "start", "loading", "--quick"])
    out, err = capsys.readouterr()
    assert out == "benchmarks.start\n\nbenchmarks.loading\n\n"
    assert f"start ended with status 1; {tmp_path}/out/start.log says why." in err


def test_the_suite_knows_the_options_of_every_script():
    assert suite.SUITE.keys() == suite.QUICK.keys()


def test_waiting_for_something_ends_the_clock_and_not_the_process(tmp_path):
    flag = tmp_path / "flag"
    code = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(0.4)"
    command = [sys.executable, "-c", code, flag]
    assert run(command, cache=tmp_path, until=flag.exists).seconds < run(command, cache=tmp_path).seconds - 0.2
    assert run(command, cache=tmp_path, until=lambda: False).seconds > 0.4


def test_the_first_step_of_a_training_is_seen_in_its_log(tmp_path):
    log = Log(tmp_path / "metrics.jsonl")
    assert not start.has_stepped(log.path)
    log.write("start", 0, steps=2)
    assert not start.has_stepped(log.path)
    log.write("train", 1, loss=0.5)
    assert start.has_stepped(log.path)


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="proportional set sizes are Linux's")
def test_memory_is_summed_over_a_process_and_its_children():
    mebibytes = "import time; held = bytearray(60 * 2**20); held[::4096] = b'x' * (60 * 2**8); time.sleep(0.6)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {mebibytes!r}])"
    watched = streaming.watch([sys.executable, "-c", parent])
    assert 60 * 2**20 < watched.peak_bytes < 160 * 2**20
    assert watched.seconds > 0.6
    with pytest.raises(RuntimeError, match="ended with status 3"):
        streaming.watch([sys.executable, "-c", "raise SystemExit(3)"])


def test_a_mosaic_has_its_size_and_is_the_same_again(tmp_path):
    tiny.write_pairs(tmp_path / "cells", count=2)
    for name in ("a.tif", "b.tif"):
        streaming.write_mosaic(tmp_path / name, tmp_path / "cells", height=520, width=300)
    first, second = (tiny.pixels(tmp_path / name) for name in ("a.tif", "b.tif"))
    assert first.shape == (520, 300)
    assert first.std() > 10
    np.testing.assert_array_equal(first, second)


def test_streaming_kills_and_goes_on_where_it_stopped(tmp_path):
    # Appends a line to a file each time it is started, and ends by itself once there are three.
    script = "import sys, time, pathlib as p; f = p.Path(sys.argv[1]).open('a'); f.write('x'); f.flush()\n"
    script += "if len(p.Path(sys.argv[1]).read_text()) < 3: time.sleep(60)"
    moments = streaming.killed([sys.executable, "-c", script, tmp_path / "starts"], seconds=6.0, times=2)
    assert len(moments) == 2
    assert all(0.6 <= moment <= 2.4 for moment in moments)
    assert (tmp_path / "starts").read_text() == "xxx"
    with pytest.raises(RuntimeError, match="ended within"):
        streaming.killed([sys.executable, "-c", ""], seconds=100.0, times=1)


def test_streaming_compares_the_bytes_of_masks(tmp_path):
    for name, content in (("one", b"a"), ("same", b"a"), ("other", b"b"), ("none", None)):
        (tmp_path / name).mkdir()
        if content is not None:
            (tmp_path / name / "a.tif").write_bytes(content)
    assert streaming.same_masks(tmp_path / "one", tmp_path / "same")
    assert not streaming.same_masks(tmp_path / "one", tmp_path / "other")
    assert not streaming.same_masks(tmp_path / "one", tmp_path / "none")
    assert not streaming.same_masks(tmp_path / "none", tmp_path / "none")


def test_costs_are_fitted_by_hand():
    def predicted(workers, giga):
        return cost.Predicted(
            workers=workers,
            pixels=round(giga * 1e9),
            seconds=7 + 300 * giga / workers,
            worker_seconds=3 + 300 * giga,
            command_seconds=4 + 20 * giga,
            network_bytes=round(1e6 + 1.5e9 * giga),
            read_bytes=round(2e6 + 8e8 * giga),
            worker_bytes=500 + workers,
        )

    found = cost.fit([predicted(workers, giga) for workers in (1, 2) for giga in (0.01, 0.1)])
    expected = {
        "worker_seconds": 300,
        "command_seconds": 20,
        "network_bytes": 1.5e9,
        "read_bytes": 8e8,
        "start_seconds": 7,
        "worker_bytes": 502,
    }
    assert found == pytest.approx(expected)


@pytest.mark.skipif(not os.path.exists("/proc/net/dev"), reason="the network is counted by Linux")
def test_what_goes_over_the_loopback_interface_is_counted():
    before = cost.loopback_bytes()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as sender:
        receiver, _ = server.accept()
        with receiver:
            sender.sendall(bytes(100_000))
            assert receiver.recv(100_000)
    assert cost.loopback_bytes() - before > 50_000


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes are held to cores on Linux")
def test_a_worker_is_held_to_one_core():
    core = min(os.sched_getaffinity(0))
    code = f"import os; from benchmarks.cost import hold; hold({core})(); print(os.sched_getaffinity(0))"
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"{{{core}}}\n"
    assert cost.processor_seconds(os.getpid()) > 0
    assert cost.read_bytes(os.getpid()) > 0


def test_a_careful_hand_stays_inside_its_classes_and_within_its_budget():
    labels = np.zeros((60, 60), np.int32)
    labels[10:50, 20:40] = 1
    before = np.zeros(labels.shape, bool)
    drawn = list(painting.strokes(labels, before, None, pixels=1500, rng=np.random.default_rng(0)))
    assert {one.label for one in drawn} == {0, 1}
    for one in drawn:
        assert one.pixels.any()
        assert (labels[one.pixels] == one.label).mean() > 0.95
        assert one.diameter == 2 * painting.brush(labels, one.label) + 1
    assert 0 < before.sum() <= 1500
    assert np.array_equal(before, np.any([one.pixels for one in drawn], axis=0))


def test_a_careful_hand_corrects_where_the_prediction_is_wrong():
    labels = np.zeros((60, 60), np.int32)
    labels[10:50, 20:40] = 1
    wrong = np.zeros(labels.shape, bool)
    wrong[15:20, 25:30] = True
    drawn = list(painting.strokes(labels, np.zeros_like(wrong), wrong, pixels=400, rng=np.random.default_rng(0)))
    assert {one.label for one in drawn} == {1}
    assert all((one.pixels & wrong).any() for one in drawn)


def test_a_careful_hand_paints_every_class_with_little_paint():
    labels = np.zeros((60, 60), np.int32)
    labels[10:50, 20:40] = 1
    before = np.zeros(labels.shape, bool)
    drawn = list(painting.strokes(labels, before, None, pixels=130, rng=np.random.default_rng(0)))
    assert [one.label for one in drawn[:2]] == [0, 1]
    assert 60 < before.sum() <= 130


def test_studio_scores_all_pixels_together():
    truth = np.array([[0, 1, 1, -1]])
    assert studio.dice_of([(np.array([[0, 1, 0, 1]]), truth)], 2) == (2 / 3, 2 / 3)
    assert np.isnan(studio.dice_of([(truth, truth)], 3)[2])


def test_studio_draws_its_curve(tmp_path):
    rounds = [studio.Round(3, 0.01, 10, 1.0, (0.5, 0.8), 1.0), studio.Round(9, 0.02, 20, 2.0, (0.6, 0.9), None)]
    studio.draw(rounds, ("a & b", "cell"), tmp_path / "a.svg", title="Score")
    text = (tmp_path / "a.svg").read_text()
    assert text.count("<circle") == 6
    assert "a &amp; b" in text


# kernels


def test_what_a_card_does_is_summed_by_hand():
    case = dataclasses.replace(SMALL, dtype="bfloat16")
    events = [("a", 0.003), ("b", 0.001), ("a", 0.002)] * 2
    whole, longest = kernels.tabulate(case, events, steps=2, most=1)
    assert [row[1] for row in whole.rows] == pytest.approx([6.0, 3.0, case.operations(STEP) / 0.006 / 1e9])
    assert longest.rows == (("a", pytest.approx(5.0), 2.0),)


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="there is a graphics card")
def test_without_a_card_there_is_nothing_to_look_into():
    with pytest.raises(SystemExit, match="JAX computes on the cpu here; this looks into a graphics card"):
        kernels.main([])
