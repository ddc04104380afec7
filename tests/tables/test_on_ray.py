"""Tables on a real Ray of this machine: the files are those that the local engine writes."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import bertedge
from bertedge.bundle import open_bundle, write_bundle
from bertedge.cli import main
from bertedge.errors import DataError, SettingError, StoppedError
from bertedge.progress import Silent
from bertedge.spec import InputShape
from bertedge.tables import (
    Cluster,
    PredictedTable,
    TableConfig,
    parts,
    predict_table,
    predict_table_on_ray,
)
from bertedge.tables.opening import open_table
from bertedge.tables.parts import ShardReader

pa = pytest.importorskip("pyarrow", reason="pip install 'bertedge[tables]'")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("ray", reason="pip install 'bertedge[ray]'")
psutil = pytest.importorskip("psutil")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it kills by signals")

BUNDLE = Path(__file__).parents[2] / "models" / "tiny" / "text-classification"
SAID = ["turn the hall lights off", "play some jazz", "", "is it cold, or 日本 🙂?", "stop " * 9]
ROWS, SIZE = 260, 20
CONFIG = TableConfig(rows_per_shard=SIZE)
TWO = Cluster(actors=2)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A Ray of two cores, which this process is connected to."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=80_000_000,
            log_to_driver=False,
        )
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()


def texts(rows: int = ROWS) -> list[str | None]:
    return [None if i % 7 == 3 else f"{SAID[i % 5]} {i}" for i in range(rows)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "said.parquet"
    rows = pa.table({"id": range(ROWS), "text": pa.array(texts(), pa.string())})
    pq.write_table(rows, path, row_group_size=33)
    return path


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the local engine writes, undisturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    with bertedge.load(BUNDLE, device="cpu", threads=1) as model:
        predict_table(model, source, out, CONFIG)
    return snapshot(out)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def on_ray(
    source: Path, output: Path, progress: Silent | None = None, cluster: Cluster = TWO
) -> PredictedTable:
    return predict_table_on_ray(BUNDLE, source, output, CONFIG, cluster, progress or Silent())


def actors() -> list["psutil.Process"]:
    """The processes of the actors of this process's Ray."""
    found = []
    for each in psutil.Process().children(recursive=True):
        try:
            if "ray::_Scorer" in " ".join(each.cmdline()):
                found.append(each)
        except psutil.NoSuchProcess:
            continue
    return found


class Killer(Silent):
    """Kills every actor when the third shard has come, and takes what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.shards = self.killed = 0

    def say(self, line: str) -> None:
        self.lines.append(line)

    def advance(self, by: int, note: str = "") -> None:
        self.shards += 1
        if self.shards == 3:
            for each in actors():
                each.send_signal(signal.SIGKILL)
                self.killed += 1


def test_the_files_are_those_of_the_local_engine(
    address: str, source: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    done = on_ray(source, tmp_path / "out")
    assert (done.rows, done.found, done.shards) == (ROWS, 0, ROWS // SIZE)
    assert done.nulls == texts().count(None)
    assert snapshot(tmp_path / "out") == whole


def test_one_engine_goes_on_with_what_the_other_began(
    address: str, source: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in list(whole)[1:5]:  # without _SUCCESS
        (out / name).write_bytes(whole[name])
    assert on_ray(source, out).found == 4 * SIZE
    assert snapshot(out) == whole
    for name in ("part-00002.parquet", "part-00007.parquet", "_SUCCESS"):
        (out / name).unlink()
    with bertedge.load(BUNDLE, device="cpu", threads=1) as model:
        assert predict_table(model, source, out, CONFIG).found == ROWS - 2 * SIZE
    assert snapshot(out) == whole


def test_actors_that_are_killed_are_replaced_and_no_row_is_lost_or_doubled(
    address: str, source: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    killer = Killer()
    on_ray(source, tmp_path / "out", killer)
    assert killer.killed
    assert any("another takes its place" in line for line in killer.lines)
    assert snapshot(tmp_path / "out") == whole
    rows = pa.concat_tables(
        pq.read_table(path) for path in sorted((tmp_path / "out").glob("part-*"))
    )
    assert rows["id"].to_pylist() == list(range(ROWS))


def test_actors_that_always_die_end_the_run_in_one_line(
    address: str, source: Path, tmp_path: Path
) -> None:
    over = threading.Event()

    def kill() -> None:
        while not over.is_set():
            for each in actors():
                each.send_signal(signal.SIGKILL)
            time.sleep(0.01)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(StoppedError, match=r"an actor of Ray died .* 3 times: .*goes on") as it:
            on_ray(source, tmp_path / "out", cluster=Cluster(actors=1))
    finally:
        over.set()
        killer.join()
    assert len(str(it.value)) <= 290 and "\n" not in str(it.value)


def test_a_killed_job_goes_on_and_ends_in_the_same_files(
    address: str, source: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    program = [sys.executable, "-m", "bertedge", "predict", str(BUNDLE), "--engine", "ray"]
    program += ["--address", address, "--rows-per-shard", str(SIZE), "--actors", "2"]
    program += ["--input", str(source), "--output", str(out)]
    process = subprocess.Popen(program, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(out.glob("part-*"))) < 2:
        time.sleep(0.002)
    process.kill()
    process.wait()
    found = subprocess.run(program, stderr=subprocess.PIPE, text=True)
    assert found.returncode == 0, found.stderr
    assert "were there already" in found.stderr
    assert snapshot(out) == whole


def test_a_row_that_cannot_be_read_is_named_and_nothing_is_left_out_silently(
    address: str, tmp_path: Path
) -> None:
    said = [(text or "").encode() for text in texts()]
    said[150] = b"caf\xe9"
    source = tmp_path / "bad.parquet"
    pq.write_table(pa.table({"text": pa.array(said, pa.binary()).view(pa.string())}), source)
    with pytest.raises(DataError, match=r"bad\.parquet, row 1\d\d or one of the next: .* UTF-8"):
        on_ray(source, tmp_path / "out")
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    assert not (tmp_path / "out" / "part-00007.parquet").exists()


def test_more_threads_than_a_node_has_cores_are_refused(
    address: str, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match="--threads 3: the largest node of the cluster has 2"):
        on_ray(source, tmp_path / "out", cluster=Cluster(threads=3))
    assert not (tmp_path / "out").exists()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["predict", *map(str, arguments)])


def test_what_is_wrong_is_said_before_ray_is_started(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    table = (BUNDLE, "--input", source, "--output", out)
    nowhere = run(*table, "--engine", "ray", "--address", "127.0.0.1:1")
    assert nowhere.exit_code == 1 and "Traceback" not in nowhere.stderr
    line = nowhere.stderr.splitlines()[-1]
    assert line.startswith("Error: --address 127.0.0.1:1: no Ray cluster answers there")
    assert "ray start --head" in line and len(line) <= 300
    for flags, said in (
        (("--address", "auto"), "--address is for Ray; add --engine ray"),
        (("--actors", 2), "--actors is for Ray; add --engine ray"),
        (("--engine", "ray", "--device", "cuda"), "--engine ray runs on CPUs"),
    ):
        refused = run(*table, *flags)
        assert refused.exit_code == 2 and said in refused.stderr
    lines = run(BUNDLE, "on", "--engine", "ray")
    assert lines.exit_code == 2 and "--engine is for Parquet" in lines.stderr
    with pytest.raises(SettingError, match="actors is 0; give 1 or more"):
        Cluster(actors=0)
    assert not out.exists()


def test_shards_of_another_bundle_are_refused(
    source: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in list(whole)[1:3]:
        (out / name).write_bytes(whole[name])
    manifest = open_bundle(BUNDLE).manifest
    files = [BUNDLE / name for name in ("tokenizer.json", "cpu-fp32.onnx")]
    write_bundle(tmp_path / "b", replace(manifest, created="2000"), files, overwrite=False)
    refused = run(
        tmp_path / "b", "--input", source, "--output", out, "--rows-per-shard", SIZE,
        "--engine", "ray",
    )  # fmt: skip
    assert refused.exit_code == 1 and "predicted by another bundle" in refused.stderr
    assert snapshot(out) == {name: whole[name] for name in list(whole)[1:3]}


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_shards_further_on_are_read_from_where_the_last_one_ended(
    kind: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = source
    if kind == "jsonl":
        path = tmp_path / "said.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts()))
    with bertedge.load(BUNDLE, threads=1) as model:
        spec = model.manifest.model
    config = replace(CONFIG, chunk=32)
    table = open_table(path, config, spec, None, Silent())
    opened: list[object] = []
    read = parts.read_batches
    monkeypatch.setattr(parts, "read_batches", lambda *told: opened.append(told) or read(*told))
    reader = ShardReader(table, config, spec.input_shape)

    def rows(number: int) -> list[str | None]:
        return [text for part in reader.read(number, SIZE) for text in part.texts]

    for number in (0, 1, 4, 12):
        assert rows(number) == texts()[number * SIZE : (number + 1) * SIZE]
    assert len(opened) == 1
    assert rows(4) == texts()[80:100]  # again, after an actor died
    assert len(opened) == 2
    assert isinstance(spec.input_shape, InputShape)
