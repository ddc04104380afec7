"""The bundle, made artificially slower: what benchmarks/bench_check.py must find out.

usage: python benchmarks/peers/slowed.py FACTOR    (an engine of `bertedge bench`)

After each run it keeps the processor busy until FACTOR times as long has passed.
"""

import sys
import time
from dataclasses import replace

from bertedge.bench.backends import BACKENDS, Prepared
from bertedge.bench.worker import main


class Slowed:
    """A backend that takes longer than the one behind it."""

    def __init__(self, backend, factor: float) -> None:
        self._backend = backend
        self._factor = factor
        self.runs_on = backend.runs_on

    def tokens(self, workload) -> Prepared:
        return self._slow(self._backend.tokens(workload))

    def texts(self, workload) -> Prepared:
        return self._slow(self._backend.texts(workload))

    def _slow(self, prepared: Prepared) -> Prepared:
        def run(number: int):
            began = time.perf_counter()
            found = prepared.run(number)
            until = began + (time.perf_counter() - began) * self._factor
            while time.perf_counter() < until:
                pass
            return found

        return replace(prepared, run=run)


if __name__ == "__main__":
    ours = BACKENDS["bundle"]
    load = ours.load
    factor = float(sys.argv[1])
    main({"slowed": replace(ours, load=lambda request: Slowed(load(request), factor))})
