import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the bench extra")

from bertedge.bench.discovery import Lineup, sum_installed
from bertedge.bench.external import fill, find_peers, read_peers
from bertedge.bench.process import WorkerError, run_to_end
from bertedge.bench.protocol import Open
from bertedge.errors import SettingError
from bertedge.progress import Silent


def write(file: Path, *engines: str) -> Path:
    file.write_text("\n".join(f"[[engine]]\n{engine}" for engine in engines))
    return file


def test_a_file_names_engines_and_how_to_start_them(tmp_path: Path, opening: Open):
    (tmp_path / "mine.py").touch()
    (tmp_path / "make.py").write_text("import sys; open(sys.argv[2], 'w').write(sys.argv[1] * 9)")
    file = write(
        tmp_path / "mine.toml",
        f'''name = "mine"\nprecision = "int8"\nkind = "own"\ntakes = ["texts"]
        command = ["{sys.executable}", "mine.py", "fast"]\npackages = ["click"]''',
        f'''name = "made"\nprecision = "fp32"\ncommand = ["{sys.executable}", "-V"]
        prepare = ["{sys.executable}", "make.py", "{{exported}}", "{{made}}/x", "{{texts}}"]''',
        f'''name = "unmade"\nprecision = "fp32"\ncommand = ["{sys.executable}", "-V"]
        prepare = ["{sys.executable}", "-c", "import sys; sys.exit('no luck')"]''',
    )
    base = replace(opening, path=str(tmp_path), scratch=str(tmp_path))
    (tmp_path / "config.json").touch()
    lineup = Lineup.of(find_peers(read_peers(file), base, "/e/model.onnx", Silent()))
    mine, made = lineup.specs
    assert mine.command == (sys.executable, str(tmp_path / "mine.py"), "fast")
    assert (mine.kind, mine.open.engine, mine.takes) == ("own", "own", ("texts",))
    assert mine.baseline == "torch-fp32" and mine.open.path == str(tmp_path)
    folder = tmp_path / "peer-made"
    assert made.open.path == str(folder) and (folder / "x").read_text() == "/e/model.onnx" * 9
    assert made.bytes_on_disk == 9 * 13 + Path(opening.tokenizer).stat().st_size
    words = ("{checkpoint}", "{tokenizer}", "{texts}")
    texts = str(tmp_path / "texts.json")
    assert fill(words, base, "", folder) == (str(tmp_path), opening.tokenizer, texts)
    (unmade,) = lineup.left_out
    assert (unmade.name, unmade.why) == ("unmade", "its preparation failed: no luck")
    assert sum_installed([mine])["mine"] > 100_000
    assert sum_installed([made]) == {}


def test_a_peer_that_is_not_installed_is_listed_with_the_command_to_get_it(
    tmp_path: Path, opening: Open
):
    write(
        tmp_path / "a.toml",
        'name = "far"\nprecision = "int8"\ncommand = ["env/bin/python", "x.py"]\n'
        'install = "scripts/bench-peers --install"',
        f'name = "needy"\nprecision = "int8"\ncommand = ["{sys.executable}"]\n'
        'prepare = ["make", "{exported}"]',
    )
    lineup = Lineup.of(find_peers(read_peers(tmp_path), opening, None, Silent()))
    assert not lineup.specs
    far, needy = lineup.left_out
    assert (far.name, far.why) == ("far", "it is not installed: there is no python for it")
    assert far.fix == "scripts/bench-peers --install"
    assert needy.why == "it needs the exported graph, which could not be made"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[engine]", "no peers file"),
        ('[[engine]]\nname = "x"', "command is missing"),
        ('[[engine]]\nname = "x"\nprecision = "y"\ncommand = ["z"]\nspeed = 9', "speed is unknown"),
        ('[[engine]]\nname = "x"\nprecision = "y"\ncommand = []', "x needs a command"),
        (
            '[[engine]]\nname = "x"\nprecision = "y"\ncommand = ["z"]\ntakes = ["all"]',
            "takes of tokens, texts",
        ),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, text: str, why: str):
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(SettingError, match=why):
        read_peers(tmp_path / "x.toml")


ENGINE = '[[engine]]\nprecision = "y"\n'


@pytest.mark.parametrize(
    "content",
    [
        b"x = " + b"[" * 100_000,
        b"x = " + b"{a=" * 50_000,
        b"x = " + b"9" * 5000,
        b"x = 1e999999",
        b"\0" * 100,
        b"\xff\xfe" + b"a" * 100,
        b"#" * 2**21,
        b"",
        f'{ENGINE}name = "x"\ncommand = ["a\\u0000b"]'.encode(),
        f'{ENGINE}name = "x\\u001b[2J"\ncommand = ["python"]'.encode(),
        f'{ENGINE}name = "{"x" * 5000}"\ncommand = ["python"]'.encode(),
        f'{ENGINE}name = "x"\ncommand = ["{"x" * 100_000}"]'.encode(),
        f'{ENGINE}name = "../../x"\ncommand = ["python"]'.encode(),
        f'{ENGINE}name = " "\ncommand = ["python"]'.encode(),
        f'{ENGINE}name = "x"\n{"k" * 90_000} = 1\ncommand = ["python"]'.encode(),
    ],
)
def test_a_hostile_file_is_one_line(tmp_path: Path, content: bytes):
    (tmp_path / "x.toml").write_bytes(content)
    with pytest.raises(SettingError) as error:
        read_peers(tmp_path / "x.toml")
    said = str(error.value)
    assert said.isprintable() and len(said) < 300 + len(str(tmp_path))


@pytest.mark.parametrize("name", ["FIFO.toml", "folder.toml", "gone.toml", "/dev/zero"])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, name: str):
    os.mkfifo(tmp_path / "FIFO.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(SettingError):
        read_peers(tmp_path / name)


def test_what_a_preparation_started_ends_with_it(tmp_path: Path, survives: Callable[[int], bool]):
    note = tmp_path / "pid"
    script = f"sleep 600 & echo $! > {note}; wait"
    with pytest.raises(WorkerError, match="not done within 2 s"):
        run_to_end(["sh", "-c", script], timeout_s=2)
    assert not survives(int(note.read_text()))
    with pytest.raises(WorkerError, match="no such model"):
        run_to_end(["sh", "-c", "echo no such model >&2; exit 3"], timeout_s=60)
    with pytest.raises(WorkerError):
        run_to_end(["/nowhere/at/all"], timeout_s=60)


def test_a_folder_without_a_file_is_refused(tmp_path: Path):
    with pytest.raises(SettingError, match="has no peers file"):
        read_peers(tmp_path)
