import argparse
from pathlib import Path

from tinyunet.cli.request import add_request_arguments


def test_values_are_collected_in_their_order():
    parser = argparse.ArgumentParser()
    add_request_arguments(parser)
    assert parser.parse_args([]) == argparse.Namespace(config=None, settings=[])
    given = parser.parse_args(["--set", "a=1", "--config", "my.toml", "--set", "b=2"])
    assert given == argparse.Namespace(config=Path("my.toml"), settings=["a=1", "b=2"])
