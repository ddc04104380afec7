"""What is measured, in order: cold starts, warm-up, rounds, labelled data, open load, profiles.

One engine works at a time; the others wait for their input. In every round the order of the
engines moves on by one, so that none always runs after the same neighbour. An engine that
crashes, hangs or fails is noted and left out of the rest.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from bertedge.bench.config import ScenarioConfig
from bertedge.bench.engine import EngineSpec
from bertedge.bench.interference import Watch
from bertedge.bench.protocol import ProfileGraph, Workload
from bertedge.bench.runner import EngineRunner, Measurement
from bertedge.bench.scenarios import cold_start, open_load, profile, rounds
from bertedge.progress import Progress, Silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be measured."""

    workloads: Sequence[Workload]
    labelled: tuple[tuple[str, ...], ...] = ()
    """Texts whose labels are known."""
    arriving: Workload | None = None
    """The workload whose inputs arrive at random times."""
    graphs: tuple[ProfileGraph, ...] = ()


def measure(
    specs: Sequence[EngineSpec],
    plan: Plan,
    settings: ScenarioConfig,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> Measurement:
    """Run all engines; Ctrl-C returns what is finished, `complete` False.

    The `watch` may have begun earlier: its first note is of the time before.
    """
    progress, watch = progress or Silent(), watch or Watch()
    runners = [EngineRunner(spec=spec, settings=settings, progress=progress) for spec in specs]
    found = Measurement(runners=runners, settings=settings, progress=progress)
    began = time.perf_counter()

    def note(where: str) -> None:
        found.cpu_use.append(watch.note(where))

    note("before")
    try:
        cold_start.start_all(found)
        watch.restart()  # what processes took that were killed with their parent is not known
        rounds.warm_up_all(found, plan.workloads)
        note("warm-up")
        rounds.take_turns(found, plan.workloads, note)
        rounds.predict_labelled(found, plan.labelled)
        open_load.offer_loads(found, plan.arriving)
        cold_start.rest_all(found)
        note("after")
        found.end()
        profile.profile_all(found, plan.graphs)
        found.complete = True
    except KeyboardInterrupt:
        pass
    finally:
        found.end()
        progress.finish()
    found.seconds = time.perf_counter() - began
    return found
