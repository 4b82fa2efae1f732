"""A supervised process does not outlive its supervisor, not even one that was killed."""

import ctypes
import os
import signal
import sys
from collections.abc import Mapping

PARENT_VARIABLE = "HEADWATER_PARENT_PID"
_PR_SET_PDEATHSIG = 1


def die_with_parent(environ: Mapping[str, str]) -> None:
    """If a supervisor started this process, have the kernel kill it when the supervisor dies (Linux).

    The supervisor also speaks for the terminal: Ctrl-C reaches every process of the group, but only the supervisor
    knows in which order to stop, so a supervised process leaves SIGINT alone.
    """
    parent = environ.get(PARENT_VARIABLE, "")
    if not parent.isdigit():
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        # It died before the kernel was asked.
        os._exit(1)
