import json

from reference.served import LIMITS

from tinyunet import __version__
from tinyunet.web.serve.about import describe


def test_a_network_of_classes(semantic):
    about = describe(semantic, LIMITS)
    assert json.loads(json.dumps(about)) == about
    assert about["tinyunet"] == __version__
    assert (about["name"], about["task"], about["dimensions"]) == ("run", "semantic", 2)
    assert [one["value"] for one in about["classes"]] == [0, 255]
    assert about["channels"]["used"] == 1
    assert about["limits"] == {"max_bytes": 2**18, "max_pixels": 2**16}
    assert "objects" not in about["results"]
    assert "/" not in json.dumps(about)  # no path of the machine


def test_a_network_of_objects(objects):
    about = describe(objects, LIMITS)
    assert about["task"] == "instances"
    assert {"objects", "objects.json", "view"} <= set(about["results"])
    assert len(about["probabilities"]) == 3
