"""What one of two processes does that train together: a whole training, and one that is stopped, resumed and killed.

Run as a program with a data set, a folder for the runs, an address and a place; prints what each command returned.
"""

import os
import signal
import sys

os.environ["JAX_PLATFORMS"] = "cpu"

from reference import tiny

from tinyunet.cli.main import main
from tinyunet.runs import companions
from tinyunet.runs.recorder import Bystander

LENGTH = ("--steps", "50", *tiny.OPTIONS, "--set", "batches.batch=4", "--set", "train.validations=3")


def at_step(step, number):
    """Sends a signal to the process that keeps no records, after a step."""

    def send(self, done):
        if done.step == step:
            os.kill(os.getpid(), number)

    Bystander.step = send


if __name__ == "__main__":
    companions.BEAT_SECONDS = 0.5
    data, runs, coordinator, place = sys.argv[1:]
    begin = ["train", data, *LENGTH, "--no-cache", "--out"]
    together = ["--coordinator", coordinator, "--process", place]
    print("returned", main([*begin, f"{runs}/whole", *together]), flush=True)
    at_step(10, signal.SIGTERM)
    print("returned", main([*begin, f"{runs}/killed"]), flush=True)
    at_step(30, signal.SIGKILL)
    sys.exit(main(["train", "--resume", f"{runs}/killed", "--no-cache"]))
