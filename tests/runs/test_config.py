import dataclasses
import functools
import math
import re
import tomllib

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.data.augment.compose import AugmentConfig
from tinyunet.data.batches import BatchConfig
from tinyunet.data.labelling import ClassInfo, Labelling
from tinyunet.data.normalise import ChannelRule, Normalisation
from tinyunet.data.split import Split
from tinyunet.errors import ConfigError, TinyUNetError
from tinyunet.models.presets import PRESETS, ModelConfig
from tinyunet.objects.target import ObjectConfig
from tinyunet.runs.config import Config, DataConfig, TrainConfig, config_from_dict, config_to_dict
from tinyunet.training.losses import LossConfig
from tinyunet.training.optimiser import OptimiserConfig

# Every value differs from its default, so that none can be lost unseen; another test checks that this stays so.
FULL = Config(
    seed=2**32 - 1,
    data=DataConfig(
        folder="/data/Zellen ä/1",
        task="semantic",
        normalise="dataset",
        labelling=Labelling(
            "semantic",
            (ClassInfo('a "cell"', 3, "#010203"), ClassInfo("édge", 0xFFFFFF, "#ffffff")),
            ignore=7,
            kind="rgb",
            boundary="édge",
        ),
        channels=ChannelRule(drop_alpha=True, collapse_grey=True, used=1),
        normalisation=Normalisation("dataset", (0.1, 1e-300), (1 / 3, 2.0)),
        split=Split(("a", "b\\n"), ("c",), ("d",), ("e",), ("A note.",)),
        axes="czyx",
        spacing=(2.5, 1.0, 1.0),
    ),
    model=ModelConfig(
        features=3,
        depth=1,
        padding="valid",
        convs_per_block=3,
        norm="group",
        upsample="bilinear",
        skip="add",
        residual=True,
        max_features=67,
        dropout=0.11,
        momentum=0.51,
        dtype="bfloat16",
        hold=(1, 0),
    ),
    batches=BatchConfig(patch=(9, 72, 71), margin=(3, 11, 10), batch=13, rare_share=0.51),
    augment=AugmentConfig(
        flips=False,
        quarter_turns=False,
        **{f.name: 0.123 for f in dataclasses.fields(AugmentConfig) if f.type is float and f.name != "elastic_grid_px"},
        elastic_grid_px=21.0,
    ),
    loss=LossConfig(cross_entropy=0.51, dice=0.26, class_weights=(1.0, 2.5)),
    objects=ObjectConfig(
        rim_px=1.5,
        rim_share=0.31,
        core_probability=0.41,
        foreground_probability=0.61,
        smallest_px=71,
        split_probability=0.81,
        smallest_seed_px=7,
    ),
    optimiser=OptimiserConfig(
        kind="adamw",
        learning_rate=0.11,
        warmup_share=0.21,
        weight_decay=0.31,
        clip_norm=0.41,
        ema_decay=0.51,
        muon_rms=0.61,
    ),
    train=TrainConfig(steps=7, stop_after=3, validations=2, checkpoint_seconds=1.5),
)


SHARE = st.floats(0, 1, exclude_max=True)
POSITIVE = st.floats(1e-9, 1e9)
WORD = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
NAMES = st.lists(WORD, max_size=3).map(tuple)


def entries(low, high):
    return st.lists(st.integers(low, high), min_size=1, max_size=3).map(tuple)


@st.composite
def labellings(draw):
    values = draw(st.lists(st.integers(0, 200), min_size=1, max_size=4, unique=True))
    names = draw(st.lists(WORD, min_size=len(values), max_size=len(values), unique=True))
    classes = tuple(ClassInfo(name, value, "#0a0b0c") for name, value in zip(names, values, strict=True))
    ignore, boundary = draw(st.sampled_from([None, 255])), draw(st.sampled_from([None, *names]))
    return Labelling("semantic", classes, ignore, draw(st.sampled_from(["ids", "palette"])), boundary)


NORMALISATIONS = st.just(Normalisation("image")) | st.lists(POSITIVE, min_size=1, max_size=3).map(
    lambda numbers: Normalisation("dataset", tuple(numbers), tuple(numbers))
)
CONFIGS = st.builds(
    Config,
    seed=st.integers(0, 2**32 - 1),
    data=st.builds(
        DataConfig,
        folder=WORD,
        task=st.sampled_from(["", "semantic", "foreground"]),
        normalise=st.sampled_from(["image", "dataset"]),
        labelling=st.none() | labellings(),
        channels=st.none() | st.builds(ChannelRule, st.booleans(), st.just(False), st.integers(1, 4)),
        normalisation=st.none() | NORMALISATIONS,
        split=st.none() | st.builds(Split, NAMES, NAMES, NAMES, NAMES, NAMES),
    ),
    model=st.builds(
        ModelConfig,
        features=st.integers(1, 64),
        depth=st.integers(0, 5),
        norm=st.sampled_from(["batch", "group", "instance", "none"]),
        residual=st.booleans(),
        max_features=st.none() | st.integers(1, 512),
        dropout=SHARE,
    ),
    batches=st.builds(BatchConfig, entries(8, 512), entries(0, 64), st.integers(1, 16), st.floats(0, 1)),
    loss=st.builds(LossConfig, POSITIVE, st.floats(0, 10), st.lists(POSITIVE, max_size=3).map(tuple)),
    objects=st.builds(ObjectConfig, rim_px=POSITIVE, smallest_px=st.integers(1, 99)),
    optimiser=st.builds(
        OptimiserConfig,
        kind=st.sampled_from(["muon", "adamw"]),
        learning_rate=POSITIVE,
        warmup_share=SHARE,
        weight_decay=st.floats(0, 1),
        clip_norm=POSITIVE,
        ema_decay=SHARE,
    ),
    train=st.builds(TrainConfig, st.integers(1, 10**6), st.integers(0, 9), st.integers(1, 99), POSITIVE),
)


def through_toml(tree):
    return tomllib.loads(tomli_w.dumps(tree))


def leaves(tree, path=()):
    """The places of all values that are no tables."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def replaced(tree, path, value):
    """A copy of a tree with one value exchanged."""
    first, *rest = path
    return {**tree, first: replaced(tree.get(first, {}), rest, value) if rest else value}


def value_at(tree, path):
    return functools.reduce(lambda table, key: table[key], path, tree)


def test_no_value_of_the_full_example_is_a_default():
    empty = dataclasses.replace(Config(), data=DataConfig())
    tree, defaults = config_to_dict(FULL), config_to_dict(empty)
    for path in leaves(defaults):
        assert value_at(tree, path) != value_at(defaults, path), path
    missing = [f.name for f in dataclasses.fields(DataConfig) if getattr(FULL.data, f.name) is None]
    assert not missing
    assert FULL.model.max_features is not None


def test_every_value_survives_toml():
    read = config_from_dict(through_toml(config_to_dict(FULL)), where="full.toml")
    assert read == FULL
    assert read.data.split.notes == FULL.data.split.notes  # notes take no part in the comparison


@given(CONFIGS)
def test_every_configuration_survives_toml(config):
    read = config_from_dict(through_toml(config_to_dict(config)), where="any.toml")
    assert read == config
    assert repr(read) == repr(config)


@given(
    st.data(), st.sampled_from([-1, 0, 10**400, math.nan, math.inf, -math.inf, True, "x", "", [], [[]], {}, {"a": 1}])
)
def test_whatever_is_written_it_is_taken_or_refused_in_one_line(data, value):
    tree = config_to_dict(FULL)
    path = data.draw(st.sampled_from(sorted(leaves(tree))))
    refusal = None
    try:
        config = config_from_dict(replaced(tree, path, value), where="my.toml")
    except TinyUNetError as error:
        refusal = str(error)
    if refusal is None:
        assert value_at(config_to_dict(config), path) in (value, [value])  # a size for all axes is read as one of each
    else:
        assert refusal.startswith("my.toml: ")
        assert "\n" not in refusal


@given(CONFIGS)
def test_what_is_read_is_left_as_it_was(config):
    tree = config_to_dict(config)
    before = repr(tree)
    config_from_dict(tree, where="any.toml")
    assert repr(tree) == before


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_replaced_by_its_values(name):
    config = config_from_dict({"model": {"preset": name}}, where="my.toml")
    assert config.model == PRESETS[name]
    assert "preset" not in config_to_dict(config)["model"]


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"modle": {}}, "my.toml: unknown key `modle`. Did you mean 'model'? Known: augment, batches, data, "),
        ({"model": {"fetures": 8}}, "my.toml: unknown key `model.fetures`. Did you mean 'features'? Known: "),
        ({"model": {"prest": "tiny"}}, "my.toml: unknown key `model.prest`. Did you mean 'preset'? Known: "),
        ({"data": {"split": {"train": ["a"]}}}, "my.toml: `data.split.val` is missing."),
        ({"model": 3}, "my.toml: `model` must be a table, got 3."),
        ({"seed": 1.0}, "my.toml: `seed` must be a whole number, got 1.0."),
        ({"seed": True}, "my.toml: `seed` must be a whole number, got True."),
        ({"augment": {"flips": 1}}, "my.toml: `augment.flips` must be true or false, got 1."),
        ({"augment": {"shear": "1"}}, "my.toml: `augment.shear` must be a number, got '1'."),
        ({"data": {"folder": 1}}, "my.toml: `data.folder` must be a text, got 1."),
        ({"loss": {"class_weights": "1"}}, "my.toml: `loss.class_weights` must be a list, got '1'."),
        ({"data": {"split": {"train": 1}}}, "my.toml: `data.split.train` must be a list, got 1."),
        ({"batches": {"patch": 64.5}}, "my.toml: `batches.patch` must be a whole number, got 64.5."),
        ({"batches": {"patch": True}}, "my.toml: `batches.patch` must be a whole number, got True."),
        ({"batches": {"patch": [64, "a"]}}, "my.toml: `batches.patch[1]` must be a whole number, got 'a'."),
        ({"batches": {"patch": []}}, "my.toml: `batches.patch` must have 1 to 3 entries, got []."),
        ({"loss": {"class_weights": [1, "a"]}}, "my.toml: `loss.class_weights[1]` must be a number, got 'a'."),
        (
            {"model": {"norm": "layer"}},
            "my.toml: `model.norm` must be one of 'batch', 'group', 'instance', 'none', got",
        ),
        ({"loss": {"dice": math.inf}}, "my.toml: `loss.dice` must be a finite number, got inf."),
        ({"augment": {"gamma": math.nan}}, "my.toml: `augment.gamma` must be a finite number, got nan."),
        ({"loss": {"dice": 10**400}}, "my.toml: `loss.dice` must be a finite number, got 1000"),
        ({"batches": {"rare_share": 2}}, "my.toml: `batches.rare_share` must be in [0, 1], got 2.0."),
        ({"augment": {"shear": 2.0}}, "my.toml: `shear` must be in [0, 0.9], got 2.0."),
        ({"seed": -1}, "my.toml: `seed` must be in [0, 2^32), got -1."),
        ({"model": {"preset": "sed"}}, "my.toml: No preset is called 'sed'. Did you mean 'seed'? Known: seed, tiny"),
    ],
)
def test_what_cannot_be_used_is_named(tree, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        config_from_dict(tree, where="my.toml")


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("steps", 0, "must be at least 1"),
        ("stop_after", -1, "must be at least 0"),
        ("validations", 0, "must be at least 1"),
        ("checkpoint_seconds", 0.0, "must be positive"),
        ("checkpoint_seconds", math.nan, "must be positive"),
    ],
)
def test_the_length_of_a_training_has_bounds(name, value, rule):
    with pytest.raises(ConfigError, match=re.escape(f"`train.{name}` {rule}, got {value}.")):
        TrainConfig(**{name: value})
