"""The `headwater` command: one module for each command, wired in `commands`.

Takes a command line; gives an exit code (0 done, 1 failed, 2 wrong usage or configuration, nothing was changed), what
a machine reads on stdout and what a person reads on stderr. Promises: no traceback for what the user can mend.
"""
