import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tinyunet.runs.budget import MARGIN, OVERRUN, Timing, plan_steps, validation_steps

SECONDS = st.floats(1e-3, 100)
TIMINGS = st.builds(Timing, used=st.floats(0, 200), step=SECONDS, validation=SECONDS, finish=st.floats(0, 10))
MINUTES = st.floats(0.1, 600)
COUNTS = st.integers(1, 50)


def test_ten_minutes_by_hand():
    # 582 s are planned for; 30 are gone, 2 are for the end, 10 validations take 20: 530 s of 0.5 s each.
    assert plan_steps(10, Timing(used=30, step=0.5, validation=2), validations=10) == (1060, 10)


def test_slow_validations_become_fewer():
    # 8 % of the 550 s left hold four validations of 10 s.
    assert plan_steps(10, Timing(used=30, step=0.5, validation=10), validations=10) == (1020, 4)


@given(MINUTES, TIMINGS, COUNTS)
def test_the_plan_never_exceeds_the_minutes(minutes, timing, wanted):
    steps, validations = plan_steps(minutes, timing, validations=wanted)
    assert 1 <= validations <= min(wanted, steps)
    whole = timing.used + timing.finish + validations * timing.validation + steps * timing.step
    assert steps == 1 or whole <= MARGIN * 60 * minutes * (1 + 1e-9)


@given(MINUTES, TIMINGS, COUNTS)
def test_the_plan_leaves_no_room_for_another_step(minutes, timing, wanted):
    steps, validations = plan_steps(minutes, timing, validations=wanted)
    assume(validations < steps)
    whole = timing.used + timing.finish + validations * timing.validation + (steps + 1) * timing.step
    assert whole > MARGIN * 60 * minutes * (1 - 1e-9)


@given(MINUTES, st.floats(1, 5), TIMINGS, COUNTS)
def test_more_minutes_never_mean_less(minutes, factor, timing, wanted):
    fewer = plan_steps(minutes, timing, validations=wanted)
    more = plan_steps(factor * minutes, timing, validations=wanted)
    assert more[1] >= fewer[1]
    if more[1] == fewer[1]:  # one validation more costs some steps
        assert more[0] >= fewer[0]


@given(MINUTES, TIMINGS, st.floats(1, 5), COUNTS)
def test_slower_steps_mean_fewer(minutes, timing, factor, wanted):
    slower = Timing(timing.used, factor * timing.step, timing.validation, timing.finish)
    assert plan_steps(minutes, slower, validations=wanted)[0] <= plan_steps(minutes, timing, validations=wanted)[0]


@pytest.mark.parametrize("used", [70, 1e6])
def test_when_the_time_is_up_already_one_step_is_done(used):
    assert plan_steps(1, Timing(used=used, step=0.5, validation=2), validations=10) == (1, 1)


def test_a_validation_that_takes_no_time_is_always_affordable():
    assert plan_steps(1, Timing(used=0, step=1, validation=0), validations=7) == (56, 7)


def test_a_training_is_stopped_only_well_after_its_minutes():
    assert MARGIN < 1 < OVERRUN


def test_validations_by_hand():
    assert sorted(validation_steps(10, 3)) == [3, 7, 10]
    assert sorted(validation_steps(3, 10)) == [1, 2, 3]
    assert sorted(validation_steps(1000, 1)) == [1000]


@given(st.integers(1, 10**5), COUNTS)
def test_validations_are_spread_evenly_and_the_last_step_has_one(steps, wanted):
    chosen = sorted(validation_steps(steps, wanted))
    count = min(steps, wanted)
    assert len(chosen) == count
    assert chosen[-1] == steps
    gaps = [b - a for a, b in zip([0, *chosen], chosen, strict=False)]
    assert min(gaps) >= 1
    assert all(abs(gap - steps / count) <= 1 for gap in gaps)
