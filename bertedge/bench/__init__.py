"""Latency of a bundle against PyTorch and others: a process each, rounds interleaved.

config      what is compared and how; run: the whole bench; workloads: what engines are given
discovery   all engines: the bundle, PyTorch, what else people run; external: peers by TOML
protocol    what bench and an engine's process say to each other, in lines of JSON
worker      an engine's process: load, warm up, time; process: as its parent sees it
backends    bertedge's own engines, by name
runner      an engine while it is measured; trackers: memory, CPU and energy of processes
scenarios   cold starts, rounds, open load, profiles, in their order
scoring     how predictions agree and what they are worth; statistics: percentiles, intervals
report      the records that `--json` writes; build fills them, reading reads them again
text        the report for people; html: for a browser; compare, gate: against others

The work is imported when it is asked for: a config is made and checked without torch.
"""

from typing import TYPE_CHECKING

from bertedge.bench.config import BenchConfig
from bertedge.lazy import lazy_exports

if TYPE_CHECKING:
    from bertedge.bench.reading import read_report
    from bertedge.bench.report import Report
    from bertedge.bench.run import bench

__all__ = ["BenchConfig", "Report", "bench", "read_report"]

__getattr__ = lazy_exports(
    __name__,
    {"run": ("bench",), "report": ("Report",), "reading": ("read_report",)},
    extra="bench",
)
