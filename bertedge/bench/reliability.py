"""Whether the times of a bench can be relied on: its noise, and what else the machine did."""

from bertedge.bench.report import Report

MAX_NOISE = 0.25
"""Of the baseline against itself; beyond it times are called not reliable."""
SLACK = 0.25
"""Share of an engine's threads whose cores others may take."""
IN_ROUNDS = ("round ", "extra rounds")


def unreliable(report: Report) -> str | None:
    """Return why times of a report are not reliable, with the figure found; None where they are."""
    reasons = [
        reason for reason in (_noise(report), _others(report), _load(report)) if reason is not None
    ]
    return " and ".join(reasons) or None


def other_cores(report: Report) -> float | None:
    """Return the cores that other processes took during the rounds; None where not recorded."""
    seen = [
        (use.seconds, use.other_cores)
        for use in report.cpu_use
        if use.where.startswith(IN_ROUNDS) and use.other_cores is not None
    ]
    seconds = sum(each for each, _ in seen)
    return sum(each * cores for each, cores in seen) / seconds if seconds else None


def host_cores(report: Report) -> int:
    """Count the cores of the whole machine, as load and the time of others are of all of it."""
    return report.environment.host_cores or report.environment.cores


def _noise(report: Report) -> str | None:
    worst = max(report.noise, key=lambda item: item.floor, default=None)
    if worst is None or worst.floor <= MAX_NOISE:
        return None
    return f"the baseline differs from itself by {worst.floor:.0%} on {worst.workload}"


def _others(report: Report) -> str | None:
    taken, cores = other_cores(report), host_cores(report)
    threads = report.settings.threads
    if taken is None or taken <= max(cores - threads, 0) + SLACK * min(threads, cores):
        return None
    return f"other processes took {taken:.2f} of {cores} cores during the rounds"


def _load(report: Report) -> str | None:
    """Judge by the load before only where the time that others took is not known.

    The load is an average of the last minute: it still holds what has ended, such as the export
    of the very bundle that is measured.
    """
    load, cores = report.environment.load, host_cores(report)
    if load is None or load <= cores or other_cores(report) is not None:
        return None
    return f"the load before was {load:.2f} on {cores} cores"
