"""`launch.py PARENT PROGRAM ARGS…`: become a program that the kernel kills when the process that launched it dies.

The broker must not outlive a parent that is killed and so cannot stop it. Linux has `PR_SET_PDEATHSIG` for that; it
must be set in the child before the program starts. This small launcher does so rather than `preexec_fn`, which runs
Python between fork and exec of a process with threads and may deadlock there. The setting survives `exec`.

The signal is SIGKILL, as nothing weaker is certain. Kafka replays its log at the next start; nothing that it acked and
the page cache holds is lost. "Parent" means the thread that launched: start brokers from a thread that lives on.
On other systems than Linux there is no such call, and a parent that is killed leaves its broker behind.

Run by path in an isolated interpreter, so it imports nothing of ours.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, program: list[str]) -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "PR_SET_PDEATHSIG was refused")
        # The parent may have died before the call, and then no signal comes.
        if os.getppid() != parent:
            raise SystemExit("the process that wanted this broker is gone")
    os.execv(program[0], program)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
