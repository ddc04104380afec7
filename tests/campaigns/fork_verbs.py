"""Run `bertedge` in forks of a process that has imported what takes seconds.

usage: python tests/campaigns/fork_verbs.py

Each line of the standard input is a JSON object: `arguments`, `environment`, `errors` (a file for
what goes to standard error). The answers, a line each: the process id, then the exit status.
"""

import atexit
import json
import os
import sys
import tempfile

import datasets  # noqa: F401
import onnx  # noqa: F401
import onnxruntime  # noqa: F401
import optimum.exporters.onnx  # noqa: F401
import torch  # noqa: F401
import transformers

from bertedge.cli import main

transformers.Trainer  # noqa: B018 (imported when it is first asked for)
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        os.environ |= asked["environment"]
        tempfile.tempdir = None
        for number, path in ((0, os.devnull), (1, os.devnull), (2, asked["errors"])):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), number)
        code: object = 1
        try:
            main(asked["arguments"], prog_name="bertedge")
        except SystemExit as error:
            code = error.code
        # Taking apart all that was imported would be half of the time, and of the kills.
        atexit._run_exitfuncs()
        os._exit(code if isinstance(code, int) else 0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
