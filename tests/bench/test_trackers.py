import subprocess
import sys
from pathlib import Path

from bertedge.bench.trackers import joules_between, memory_of, read_counters


def zone(folder: Path, name: str, kind: str, energy_uj: int) -> None:
    place = folder / name
    place.mkdir(exist_ok=True)
    (place / "name").write_text(kind + "\n")
    (place / "energy_uj").write_text(f"{energy_uj}\n")
    (place / "max_energy_range_uj").write_text("999999\n")


def test_packages_are_summed_and_a_counter_that_began_again_is_understood(tmp_path: Path):
    zone(tmp_path, "intel-rapl:0", "package-0", 100_000)
    zone(tmp_path, "intel-rapl:1", "package-1", 900_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 1)
    zone(tmp_path, "intel-rapl:2", "psys", 1)
    before = read_counters(tmp_path)
    assert before.keys() == {"intel-rapl:0", "intel-rapl:1"}
    zone(tmp_path, "intel-rapl:0", "package-0", 600_000)
    zone(tmp_path, "intel-rapl:1", "package-1", 400_000)
    assert joules_between(before, read_counters(tmp_path)) == 1.0


def test_a_machine_without_counters_has_none(tmp_path: Path):
    assert read_counters(tmp_path / "nothing") == {}
    assert joules_between({}, {}) is None
    zone(tmp_path, "intel-rapl:0", "package-0", 1)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("no number")
    assert read_counters(tmp_path) == {}


def test_a_process_that_has_ended_has_no_memory():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert memory_of(process.pid, "now", 1) is None
