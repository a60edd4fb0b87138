import dataclasses
import shutil

import numpy as np
import pytest
from reference import tiny
from safetensors import safe_open
from safetensors.numpy import save_file

from tinyunet.errors import CheckpointError, ConfigError, DataError
from tinyunet.evaluation.temperature import scale_probabilities
from tinyunet.runs.run import Run, load
from tinyunet.runs.weights import read_weights, write_weights


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    return tiny.train_tiny(tiny.write_pairs(root / "cells"), root / "run")


@pytest.fixture(scope="module")
def run(finished):
    return load(finished)


def test_a_run_says_what_its_labels_mean(run, finished):
    assert run.path == finished
    assert run.labelling.names == ("background", "foreground")
    assert run.channels.used == 1
    assert run.normalisation.kind == "image"
    assert run.config.train.steps == 4


def test_labels_are_the_likeliest_class_of_each_pixel(run):
    image = tiny.picture(3)[0]
    probabilities = run.probabilities(image)
    assert probabilities.shape == (tiny.SIDE, tiny.SIDE, 2)
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-6)
    np.testing.assert_array_equal(run.predict(image), probabilities.argmax(-1))
    averaged = run.probabilities(image, tta=True)
    np.testing.assert_array_equal(run.predict(image, tta=True), averaged.argmax(-1))
    assert np.abs(averaged - probabilities).max() > 1e-4


def test_large_images_are_cut_into_larger_tiles(run):
    assert run.tiles_for((1024, 1023)) == run.tiles
    assert [spec.ladder[-1] for spec in (*run.tiles_for((1024, 1024)), *run.tiles)] == [1024, 1024, 512, 512]


@pytest.mark.parametrize("tta", [False, True])
def test_scaling_makes_probabilities_modest_and_changes_no_label(run, tta):
    image = tiny.picture(3)[0]
    warm = dataclasses.replace(run, temperature=2.5)
    plain = run.probabilities(image, tta=tta, scaled=False)
    np.testing.assert_array_equal(warm.probabilities(image, tta=tta, scaled=False), plain)
    np.testing.assert_array_equal(warm.probabilities(image, tta=tta), scale_probabilities(plain, 2.5))
    np.testing.assert_array_equal(warm.predict(image, tta=tta), plain.argmax(-1))
    np.testing.assert_array_equal(warm.decide(warm.probabilities(image, tta=tta)), plain.argmax(-1))


def test_the_folder_and_the_single_file_have_the_temperature(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "run")
    assert load(finished).temperature == read_weights(finished / "model.safetensors").temperature
    variables, config, *_ = read_weights(folder / "model.safetensors")
    write_weights(folder / "model.safetensors", variables, config, temperature=1.5)
    assert load(folder).temperature == load(folder / "model.safetensors").temperature == 1.5


def test_turning_the_image_turns_the_averaged_result(run):
    image = tiny.picture(3)[0]
    turned = run.probabilities(np.rot90(image).copy(), tta=True)
    np.testing.assert_allclose(turned, np.rot90(run.probabilities(image, tta=True)), atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (33, 5), (32, 32, 1), (700, 3)])
def test_any_size_is_predicted(run, shape):
    image = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    labels = run.predict(image)
    assert labels.shape == shape[:2]
    assert np.isfinite(run.probabilities(image)).all()


def test_a_constant_image_is_predicted(run):
    assert np.isfinite(run.probabilities(np.full((20, 20), 7, np.uint8))).all()


def test_brightness_and_type_do_not_matter(run):
    image = tiny.picture(3)[0]
    np.testing.assert_allclose(
        run.probabilities(image), run.probabilities(image.astype(np.uint16) * 100 + 9), atol=1e-4
    )


def test_the_image_is_unchanged_and_progress_is_told(run):
    image = tiny.picture(3)[0]
    before, told = image.copy(), []
    run.predict(image, progress=lambda done, total: told.append((done, total)))
    np.testing.assert_array_equal(image, before)
    assert told[-1] == (1, 1)


def test_other_channels_are_refused(run):
    image = np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)
    with pytest.raises(DataError, match=r"^The image has 3 channels where 1 are wanted: convert it to grey\.$"):
        run.predict(image)


def test_the_single_file_is_as_good_as_the_folder(run, finished, tmp_path):
    alone = load(shutil.copy(finished / "model.safetensors", tmp_path / "cells.safetensors"))
    image = tiny.picture(3)[0]
    np.testing.assert_array_equal(alone.probabilities(image), run.probabilities(image))
    assert alone.config.data.folder == ""  # it holds no path


def broken(finished, tmp_path, change):
    run = shutil.copytree(finished, tmp_path / "run")
    change(run)
    return run


def edit(name, old, new):
    def change(run):
        text = (run / name).read_text()
        assert old in text
        (run / name).write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (shutil.rmtree, r"There is no run at \S+/run; runs are made by `tinyunet train`\."),
        (
            lambda run: (run / "config.toml").unlink(),
            r"\S+/run is not a run folder: it has no config\.toml\. Runs are made by `tinyunet train`\.",
        ),
        (
            edit("config.toml", "format = 1", "format = 2"),
            r"\S+/config\.toml was made by a newer version of tinyunet \(format 2, this one reads up to 1\): upgrade\.",
        ),
        (edit("config.toml", "format = 1", ""), r"\S+/config\.toml holds no format version; it was not made by tinyun"),
        (edit("config.toml", "format = 1", "format ="), r"\S+/config\.toml is damaged: "),
        (
            lambda run: (run / "model.safetensors").unlink(),
            r"There are no weights at \S+/model\.safetensors; a finished or stopped training writes them\.",
        ),
        (
            lambda run: (run / "model.safetensors").write_bytes(b"\x10"),
            r"\S+/model\.safetensors is not a safetensors file, or damaged: ",
        ),
        (
            lambda run: (run / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes()[:-4]),
            r"\S+/model\.safetensors is not a safetensors file, or damaged: ",
        ),
        (
            lambda run: save_file({"w": np.zeros(2)}, run / "model.safetensors"),
            r"\S+ holds weights, but not from tinyunet: the metadata key 'tinyunet' is missing\.",
        ),
        (
            lambda run: save_file({"w": np.zeros(2)}, run / "model.safetensors", metadata={"tinyunet": "[]"}),
            r"The metadata of \S+/model\.safetensors is damaged: ",
        ),
        (
            lambda run: save_file(
                {"w": np.zeros(2)}, run / "model.safetensors", metadata={"tinyunet": '{"format": 1, "config": {}}'}
            ),
            r"\S+/run does not say what its labels, channels and values mean; it cannot be used\.",
        ),
        (
            lambda run: save_file(
                {"w": np.zeros(2)}, run / "model.safetensors", metadata={"tinyunet": '{"format": 9, "config": {}}'}
            ),
            r"\S+/model\.safetensors was made by a newer version of tinyunet \(format 9, ",
        ),
    ],
)
def test_what_is_no_run_is_refused_in_one_line(finished, tmp_path, change, text, capsys):
    run = broken(finished, tmp_path, change)
    with pytest.raises(CheckpointError, match=f"^{text}") as error:
        load(run)
    assert "\n" not in str(error.value)
    assert tiny.command("predict", run, tmp_path, "--out", tmp_path / "masks") == 2
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("error: ") for line in lines)
    assert not (tmp_path / "masks").exists()


HEAD = "params/head/kernel"
FIRST = "params/unet/ConvBlock_0/Conv_0/kernel"


def refit(path, change):
    """Writes a run's weights anew after a change to its tensors, by name."""
    with safe_open(path, framework="numpy") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    save_file(change(tensors), path, metadata=metadata)


def without(*prefixes):
    return lambda tensors: {name: value for name, value in tensors.items() if not name.startswith(prefixes)}


@pytest.mark.parametrize("tta", [False, True])
@pytest.mark.parametrize(
    ("change", "text"),
    [
        (without(HEAD), rf"{HEAD} of shape (1, 2, 2) is missing."),
        (without("params/unet"), "params/unet/ConvBlock_0/"),
        (without(""), "of shape (2,) is missing."),
        (lambda tensors: without(HEAD)(tensors) | {f"{HEAD}/0": np.zeros(1)}, f"{HEAD} of shape (1, 2, 2) is missing."),
        (
            lambda tensors: tensors | {FIRST: np.zeros((3, 3, 3, 2), "f4")},
            f"{FIRST} must have shape (3, 3, 1, 2), got (3, 3, 3, 2).",
        ),
        (lambda tensors: tensors | {HEAD: np.ones((), "f4")}, f"{HEAD} must have shape (1, 2, 2), got ()."),
        (without("batch_stats"), "batch_stats/unet/ConvBlock_0/BatchNorm_0/mean of shape (2,) is missing."),
    ],
)
def test_weights_that_do_not_fit_their_own_configuration_are_explained(finished, tmp_path, change, text, tta):
    run = shutil.copytree(finished, tmp_path / "run")
    refit(run / "model.safetensors", change)
    for path in (run, run / "model.safetensors"):
        with pytest.raises(CheckpointError) as error:
            load(path).predict(tiny.picture(3)[0], tta=tta)
        assert str(error.value).startswith(f"{run}/model.safetensors does not fit its own configuration: ")
        assert text in str(error.value)
        assert str(error.value).endswith(" Copy it again from the training that made it, or train anew.")


def test_weights_that_do_not_fit_are_an_error_of_the_user(finished, tmp_path, capsys):
    run = shutil.copytree(finished, tmp_path / "run")
    refit(run / "model.safetensors", without(HEAD))
    tiny.save(tmp_path / "images/a.png", tiny.picture(3)[0])
    assert tiny.command("predict", run, tmp_path / "images", "--out", tmp_path / "masks") == 2
    assert capsys.readouterr().err == (
        f"error: {run}/model.safetensors does not fit its own configuration: {HEAD} of shape (1, 2, 2) is missing. "
        "Copy it again from the training that made it, or train anew.\n"
    )


def test_errors_that_are_not_the_weights_fault_stay_what_they_are(run, monkeypatch):
    def broken_forward(variables, tiles, valid):
        raise TypeError("something else")

    monkeypatch.setattr("tinyunet.runs.engine.build_probabilities", lambda model, *, kernels: broken_forward)
    with pytest.raises(TypeError, match=r"^something else$"):
        Run(run.path, run.config, run.variables).predict(tiny.picture(3)[0])


def test_what_computes_can_be_chosen(run, finished):
    image = tiny.picture(3)[0]
    stock = load(finished, runtime="jax")
    np.testing.assert_allclose(stock.probabilities(image), run.probabilities(image), atol=1e-5)
    assert stock.engine.chosen == "jax"
    with pytest.raises(ConfigError, match=r"^There is no runtime 'onx'\. "):
        load(finished, runtime="onx")
