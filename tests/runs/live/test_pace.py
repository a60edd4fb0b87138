"""When a live training shows what it has learnt, and when it rests."""

from tinyunet.runs.live.pace import FIRST_SECONDS, LAST_STEPS, LONGEST_SECONDS, SETTLED_STEPS, Pace


def after(pace, steps, *, loss=lambda step: 0.1, agreement=0.99, shown=0.0, every=100):
    for step in range(every, steps + 1, every):
        pace.burst(step, loss=loss(step), agreement=agreement, shown=shown)
    return pace


def test_bursts_grow_and_are_short_again_after_a_change():
    pace = after(Pace(), 3000)
    assert pace.seconds == LONGEST_SECONDS
    pace.change(3000)
    assert pace.seconds == FIRST_SECONDS


def test_slow_predictions_make_bursts_longer():
    assert after(Pace(), 1000, shown=5.0).seconds == 15.0


def test_it_settles_when_the_loss_stands_still_and_the_paint_is_agreed_with():
    assert after(Pace(), SETTLED_STEPS - 100).settled(SETTLED_STEPS - 100) is None
    said = after(Pace(), SETTLED_STEPS).settled(SETTLED_STEPS)
    assert said == "Resting: 99% of the paint is predicted as painted. Paint, or press play, to go on."


def test_it_goes_on_while_it_gets_better_or_the_paint_is_not_agreed_with():
    assert after(Pace(), 2000, loss=lambda step: 100 / step).settled(2000) is None
    assert after(Pace(), 2000, agreement=0.9).settled(2000) is None
    assert after(Pace(), 2000, agreement=None).settled(2000) is None


def test_it_ends_in_any_case_until_something_changes():
    pace = after(Pace(), LAST_STEPS, agreement=0.5)
    assert f"nothing has changed for {LAST_STEPS} steps" in pace.settled(LAST_STEPS)
    pace.change(LAST_STEPS)
    assert pace.settled(LAST_STEPS + 1) is None
