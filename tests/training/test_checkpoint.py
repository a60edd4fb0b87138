import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tinyunet.errors import CheckpointError
from tinyunet.training.checkpoint import Checkpoints
from tinyunet.training.state import TrainState

TREE = TrainState(
    step=jnp.int32(7),
    variables={"params": {"w": jnp.arange(6.0).reshape(2, 3)}, "batch_stats": {"mean": jnp.array([jnp.pi, 1e-38])}},
    average={"params": {"w": -jnp.arange(6.0).reshape(2, 3)}},
    optimiser=((), {"mu": jnp.ones(2)}),
)
# For reads that must fail: of several arrays, orbax would leave the others to fail in the background of a later test.
ONE = {"w": jnp.arange(3.0)}
FACTS = {"step": 7, "best_score": 0.1 + 0.2, "best_step": 3}


@pytest.fixture
def checkpoints(tmp_path):
    opened = Checkpoints(tmp_path / "checkpoints")
    yield opened
    opened.close()


def doubled(tree):
    return jax.tree.map(lambda x: 2 * x, tree)


def same_bits(one, other):
    return jax.tree.all(jax.tree.map(lambda a, b: np.asarray(a).tobytes() == np.asarray(b).tobytes(), one, other))


def reopened(checkpoints):
    """As a process that resumes the run finds them."""
    checkpoints.close()
    return Checkpoints(checkpoints.folder)


def test_what_was_saved_is_restored_bit_for_bit(checkpoints):
    checkpoints.save("last", 7, TREE, FACTS)
    tree, facts = reopened(checkpoints).restore("last", doubled(TREE))
    assert same_bits(tree, TREE)
    assert jax.tree.structure(tree) == jax.tree.structure(TREE)
    assert facts == FACTS


def test_where_nothing_was_saved_there_is_none(checkpoints):
    assert checkpoints.restore("last", TREE) is None
    assert checkpoints.restore("best", TREE) is None


def test_the_two_kinds_do_not_know_each_other(checkpoints):
    checkpoints.save("best", 3, TREE, {"step": 3})
    assert checkpoints.restore("last", TREE) is None
    checkpoints.save("last", 7, doubled(TREE), FACTS)
    assert same_bits(checkpoints.restore("best", TREE)[0], TREE)


# A training resumed at an earlier checkpoint may find a better step before the one that was best.
@pytest.mark.parametrize("second", [9, 2])
def test_a_second_save_takes_the_place_of_the_first(checkpoints, second):
    checkpoints.save("last", 7, TREE, FACTS)
    checkpoints.save("last", second, doubled(TREE), FACTS | {"step": second})
    assert [path.name for path in (checkpoints.folder / "last").iterdir()] == [str(second)]
    tree, facts = reopened(checkpoints).restore("last", TREE)
    assert same_bits(tree, doubled(TREE))
    assert facts["step"] == second


def test_a_step_that_is_there_already_is_left_as_it_is(checkpoints):
    checkpoints.save("last", 7, TREE, FACTS)
    checkpoints.save("last", 7, TREE, FACTS)
    assert same_bits(checkpoints.restore("last", TREE)[0], TREE)


def test_a_save_that_was_killed_half_way_is_passed_over(checkpoints):
    checkpoints.save("last", 7, TREE, FACTS)
    folder = checkpoints.folder / "last"
    checkpoints.close()
    shutil.copytree(folder / "7", folder / "9.orbax-checkpoint-tmp")
    assert Checkpoints(checkpoints.folder).restore("last", TREE)[1]["step"] == 7


@pytest.mark.parametrize("file", ["state/manifest.ocdbt", "state/_METADATA", "facts/metadata"])
def test_a_damaged_checkpoint_is_named_with_the_way_out(checkpoints, file):
    checkpoints.save("last", 7, ONE, FACTS)
    damaged = checkpoints.folder / "last" / "7" / file
    damaged.write_bytes(damaged.read_bytes()[:5])
    place = re.escape(str(checkpoints.folder / "last" / "7"))
    message = rf"^The checkpoint {place} cannot be read: .+\. Remove that folder to start again from the beginning\.$"
    with pytest.raises(CheckpointError, match=message):
        reopened(checkpoints).restore("last", ONE)


@pytest.mark.parametrize(
    ("like", "reason"),
    [({"w": jnp.zeros(4)}, r"Requested shape: \(4,\)"), ({"v": jnp.zeros(3)}, "tree structures do not match")],
)
def test_another_network_is_refused(checkpoints, like, reason):
    checkpoints.save("last", 7, ONE, FACTS)
    with pytest.raises(CheckpointError, match=rf"last/7 cannot be read: .*{reason}.*(?<![.:])\. Remove"):
        checkpoints.restore("last", like)


@pytest.mark.parametrize(
    ("error", "reason"), [(OSError(28, "No space left"), r"\[Errno 28\] No space left"), (ValueError(), "ValueError")]
)
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(checkpoints, monkeypatch, error, reason):
    checkpoints.save("last", 7, TREE, FACTS)

    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(checkpoints._managers["last"], "save", fail)
    place = re.escape(str(checkpoints.folder / "last"))
    message = (
        rf"^The checkpoint of step 9 cannot be written to {place}: {reason}\. "
        r"The one before is kept; make room and resume\.$"
    )
    with pytest.raises(CheckpointError, match=message):
        checkpoints.save("last", 9, doubled(TREE), FACTS)
    assert checkpoints.restore("last", TREE)[1] == FACTS
