"""What others take of the processor is told from what bench's own processes take."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from bertedge.bench import interference
from bertedge.bench.interference import QUIET_S, Watch, wait_until_idle

if sys.platform != "linux":
    pytest.skip("starts processes as Linux does", allow_module_level=True)

SPIN = "import os\nprint(os.getpid(), flush=True)\nwhile True: pass"
STRANGER = f"""import os, sys
if os.fork() == 0:
    os.execv(sys.executable, ["python", "-c", {SPIN!r}])"""


class Lines:
    """Keeps what is said and shown."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def start(self, what: str, total: int | None, unit: str) -> None:
        self.lines.append(f"start {total} {unit}")

    def advance(self, by: int, note: str = "") -> None:
        self.lines.append(note)

    def finish(self) -> None:
        self.lines.append("finish")


@pytest.fixture
def child() -> Iterator[int]:
    """A process of ours that keeps a core busy."""
    with subprocess.Popen(
        [sys.executable, "-c", SPIN], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        yield int(process.stdout.readline())
        process.kill()


@pytest.fixture
def stranger() -> Iterator[int]:
    """A busy process that is no descendant of ours: its parent has ended."""
    reader, writer = os.pipe()
    subprocess.run([sys.executable, "-c", STRANGER], stdout=writer, check=True)
    os.close(writer)
    with os.fdopen(reader) as lines:
        pid = int(lines.readline())
    yield pid
    os.kill(pid, signal.SIGKILL)


def test_what_our_own_processes_take_is_not_others(child: int):
    before = after = interference._read()
    while after.own - before.own <= 0.1:  # as soon as the machine lets it run so long
        time.sleep(0.05)
        after = interference._read()
    assert child not in after.by_process and os.getpid() not in after.by_process


def test_what_an_ended_child_took_stays_ours():
    before = interference._read()
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"])
    assert interference._read().own - before.own >= 0.29


def test_a_busy_stranger_is_seen_and_named(stranger: int):
    watch = Watch()
    time.sleep(1.0)
    use, name = watch.busiest()
    assert use.where == "" and use.seconds >= 1.0
    assert use.other_cores is not None and use.other_cores > 0.1
    assert name


def test_the_wait_ends_at_its_limit_with_a_note_and_shows_what_it_waits_for(stranger: int):
    progress = Lines()
    wait = wait_until_idle(1.5, progress)
    assert not wait.quiet and wait.limit_s == 1.5 and wait.waited_s >= 1.5
    assert any("other processes take" in line and "most of it" in line for line in progress.lines)
    assert progress.lines[-1] == "the machine was not quiet within 1.5 s: measuring all the same"
    assert progress.lines[-2] == "finish"


def test_the_wait_ends_when_the_machine_has_been_quiet_for_some_seconds(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(
        interference, "QUIET", 1e9
    )  # a short look may see a machine busier than it is
    looks: list[float] = []
    wait = wait_until_idle(60, Lines(), lambda s: (looks.append(s), time.sleep(0.01))[1])
    assert wait.quiet and len(looks) == QUIET_S
