"""The command line: a module per command, which reads the options, calls the job of its package and prints the result.

Begin with `main`, which has the table of commands and turns errors into exit codes. `options` has what the commands
share; `catalogue` has what `check` and `list` print. Modules import torch and other heavy packages inside the functions
that need them, so that `lightcnn --help` is fast.
"""
