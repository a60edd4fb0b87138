import pytest

from tinyunet.runs import display as module
from tinyunet.runs.display import LINE_SECONDS, Display, clock


@pytest.fixture
def now(monkeypatch):
    """The time, which a test may move on."""
    time = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: time[0])
    return time


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (75, "1:15"), (3599.9, "1:00:00"), (90061, "25:01:01")],
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_a_line_that_stays_goes_to_stderr_as_it_is(capsys):
    text = "[red]masks[/red] hold 0 and 255: " + "a long line " * 20
    with Display(10) as display:
        display.say(text)
    assert capsys.readouterr() == ("", text + "\n")


def test_without_a_terminal_there_is_a_line_now_and_then(capsys, now):
    with Display(100) as display:
        for done in range(1, 32):
            display.update(done, loss=0.5, score=None if done < 20 else 0.25, waiting=0.125)
            now[0] += 1.0
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "step 16/100  loss 0.500  1.00 steps/s  1:24 left  12% waiting for data",
        "step 31/100  loss 0.500  Dice 0.250  1.00 steps/s  1:09 left  12% waiting for data",
    ]
    assert LINE_SECONDS == 15


def test_the_speed_is_that_of_the_latter_half_of_the_time(capsys, now):
    with Display(1000) as display:
        for done in range(1, 102):
            display.update(done, loss=0.5, score=None, waiting=0)
            now[0] += 31.0 if done == 1 else 0.25  # one long wait at the beginning
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[2] for line in lines] == ["0.03 steps/s", "1.33 steps/s"]  # 1 in 31 s, 61 in 46 s
    # Once as much time has passed again, the wait is forgotten.
    with Display(1000) as display:
        for done in range(1, 202):
            display.update(done, loss=0.5, score=None, waiting=0)
            now[0] += 31.0 if done == 1 else 0.25
    assert "4.00 steps/s" in capsys.readouterr().err.splitlines()[-1]


def test_a_list_is_counted_by_name(capsys, now):
    with Display(3) as display:
        for done, name in enumerate(["a.png", "[b].png", "c.png"], start=1):
            now[0] += LINE_SECONDS
            display.count(done, name)
    assert capsys.readouterr().err.splitlines() == ["1/3  a.png", "2/3  [b].png", "3/3  c.png"]


def test_parts_of_one_thing_of_a_list_are_counted_with_the_time_left(capsys, now):
    with Display(2) as display:
        for tiles in (1, 4):
            now[0] += LINE_SECONDS
            display.parts(1, "[b].tif", tiles, 16, since=100.0)
    assert capsys.readouterr().err.splitlines() == [
        "1/2  [b].tif  1/16 tiles  3:45 left",
        "1/2  [b].tif  4/16 tiles  1:30 left",
    ]


def test_quiet_is_quiet(capsys, now):
    with Display(3, quiet=True) as display:
        for done in range(1, 4):
            now[0] += 2 * LINE_SECONDS
            display.say("a note")
            display.update(done, loss=0.5, score=None, waiting=0.0)
            display.count(done, "a.png")
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_there_is_a_bar(capsys, monkeypatch, now):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Display(8) as display:
        display.update(1, loss=0.5, score=None, waiting=0.0)
        now[0] += 2.0
        display.update(2, loss=0.25, score=0.75, waiting=0.0)
    out, err = capsys.readouterr()
    assert out == ""
    assert "2/8" in err
    assert "loss 0.250" in err


def test_after_an_error_the_display_has_ended():
    display = Display(3)
    with pytest.raises(ValueError, match="no"), display:
        raise ValueError("no")
    assert not display._bar.live.is_started


def test_what_takes_long_is_named_on_a_terminal_only(capsys, monkeypatch):
    with Display(0).busy("Compiling…"):
        pass
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Display(0).busy("Compiling [a]…"):
        pass
    assert "Compiling [a]…" in capsys.readouterr().err
    with Display(0, quiet=True).busy("Compiling…"):
        pass
    assert capsys.readouterr() == ("", "")
