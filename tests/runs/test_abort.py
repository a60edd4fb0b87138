import os
import signal
import subprocess
import sys

import pytest

from tinyunet.runs.abort import on_abort

PROGRAM = """
import os, threading
{import_}
restore = on_abort(lambda: os.write(1, b"a last word"))
{more}
thread = threading.Thread(target=os.abort)
thread.start()
thread.join()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(("more", "said"), [("", "a last word"), ("restore()", "")])
def test_the_action_is_done_before_the_process_aborts_unless_it_is_taken_back(more, said):
    # The file alone: the package's parents need no second import of JAX.
    import_ = f"import runpy; on_abort = runpy.run_path({sys.modules[on_abort.__module__].__file__!r})['on_abort']"
    program = PROGRAM.format(import_=import_, more=more)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ)
    )
    assert (done.stdout, done.returncode) == (said, -signal.SIGABRT)
