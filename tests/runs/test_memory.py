import dataclasses

import pytest
from runs.test_plan import CUBE, facts

from tinyunet.runs import memory
from tinyunet.runs.config import Config
from tinyunet.runs.memory import bounded_bytes, fit_memory, step_bytes
from tinyunet.runs.plan import make_plan
from tinyunet.runs.request import read_request

SMALL = ("model.features=2", "model.depth=1", "model.convs_per_block=1")


def config_of(*settings: str) -> Config:
    return read_request(None, [*SMALL, *settings]).over(Config())


def test_more_pixels_take_more_memory_and_never_more_than_the_bound():
    sizes = [config_of(f"batches.patch=[{side}, {side}]", "batches.margin=4") for side in (16, 64)]
    small, large = (step_bytes(config, channels=1, classes=2) for config in sizes)
    assert 0 < small < large
    assert large <= bounded_bytes(sizes[1])


@pytest.mark.parametrize("settings", [(), ("batches.batch=4",), ("batches.patch=[32, 32]", "batches.batch=4")])
def test_plan_shrinks_until_it_fits_but_what_is_asked_for_stays(settings, monkeypatch):
    monkeypatch.setattr(memory, "step_bytes", lambda config, **_: bounded_bytes(config))
    request = read_request(None, [*SMALL, *settings])
    plan = make_plan(facts(), request)
    # A machine so small that a bound never lets anything pass: everything is halved as far as it goes.
    fitted = fit_memory(plan, request, channels=1, classes=2, installed=1)
    asked = {setting.split("=")[0] for setting in settings}
    if "batches.batch" not in asked:
        assert fitted.config.batches.batch == 1
    else:
        assert fitted.config.batches.batch == 4
    if "batches.patch" in asked:
        assert fitted.config.batches.patch == (32, 32)
    else:
        assert fitted.config.batches.patch < plan.config.batches.patch
        assert "half of the" in next(one.reason for one in fitted.decisions if one.key == "batches.patch")


def test_plan_that_fits_is_left_alone():
    plan = make_plan(facts([(36, 50, 35)], CUBE), read_request(None))
    assert fit_memory(plan, read_request(None), channels=1, classes=3, installed=2**36) is plan


def test_bound_speaks_of_batch_patch_and_width():
    base = config_of("batches.patch=[16, 16]")
    double = dataclasses.replace(base, batches=dataclasses.replace(base.batches, batch=2 * base.batches.batch))
    assert bounded_bytes(double) == 2 * bounded_bytes(base)
