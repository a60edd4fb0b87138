from dataclasses import replace

import pytest

from tinyunet.errors import CheckpointError
from tinyunet.web.serve.ready import warm_up


def test_what_computes_is_chosen(semantic):
    run = replace(semantic)
    assert run.engine.words == ""
    warm_up(run)
    assert run.engine.words == "by XLA"


def test_weights_that_do_not_fit_are_found_before_the_first_request(semantic, objects):
    with pytest.raises(CheckpointError, match="does not fit its own configuration"):
        warm_up(replace(semantic, variables=objects.variables))
