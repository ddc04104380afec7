"""A predictor's life: closed, pickled, forked, ended while others predict; what it logs."""

import json
import logging
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bertedge
from bertedge.cli import main
from bertedge.errors import SettingError
from bertedge.runtime import machine

ROOT = Path(__file__).parents[1]
TINY = ROOT / "models" / "tiny"
TEXTS = ["turn the hall lights off", "play a song", ""]
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def run(program: str, *arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a program in a process of its own; TimeoutExpired where it hangs."""
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_a_closed_predictor_says_so_and_keeps_its_manifest(text_bundle: Path) -> None:
    with bertedge.load(text_bundle) as predictor:
        predictions = predictor.predict_iter(iter(TEXTS), chunk=1)
        first = next(predictions)
    assert [first, *predictions] == bertedge.load(text_bundle).predict(TEXTS)  # ends what it began
    for use in (lambda: predictor.predict(TEXTS), lambda: predictor.engine):
        with pytest.raises(SettingError, match="is closed; load the bundle again"):
            use()
    predictor.close()
    assert predictor.labels == predictor.manifest.model.labels
    assert repr(predictor) == f"Predictor({str(text_bundle)!r}, text-classification, closed)"


def test_its_repr_is_one_short_line(text_bundle: Path) -> None:
    shown = repr(bertedge.load(text_bundle))
    assert shown == f"Predictor({str(text_bundle)!r}, text-classification, cpu-fp32)"


def test_pickled_it_is_a_path_and_settings(
    text_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(text_bundle.parent)
    predictor = bertedge.load(text_bundle.name, device="cpu", threads=1, variant="cpu-fp32")
    pickled = pickle.dumps(predictor)
    assert len(pickled) < 1000
    monkeypatch.chdir(tmp_path)
    again = pickle.loads(pickled)
    assert again.engine.threads == 1
    assert again.predict(TEXTS) == predictor.predict(TEXTS)
    predictor.close()
    with pytest.raises(SettingError, match="is closed"):
        predictor.predict(TEXTS)
    assert pickle.loads(pickle.dumps(predictor)).predict(TEXTS) == again.predict(TEXTS)


def test_workers_that_are_given_one_open_their_own(text_bundle: Path, tmp_path: Path) -> None:
    script = tmp_path / "pool.py"
    script.write_text("""
import multiprocessing, sys, bertedge
if __name__ == "__main__":
    predictor = bertedge.load(sys.argv[1], threads=1)
    for kind in multiprocessing.get_all_start_methods():
        with multiprocessing.get_context(kind).Pool(2) as pool:
            found = pool.map(predictor.predict_one, ["turn the hall lights off"] * 4)
        assert found == [predictor.predict_one("turn the hall lights off")] * 4
    print("fine")
""")
    command = [sys.executable, script, text_bundle]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (found.stdout, found.returncode) == ("fine\n", 0), found.stderr[-2000:]


@forks
@pytest.mark.parametrize("threads", [1, 2])
def test_a_child_forked_while_threads_predict_neither_hangs_nor_crashes(
    text_bundle: Path, threads: int
) -> None:
    program = """
import os, sys, threading, time, warnings, bertedge
predictor = bertedge.load(sys.argv[1], threads=int(sys.argv[2]))
texts = ["turn the hall lights off", "play a song " * 20] * 8
expected = [each.label for each in predictor.predict(texts)]
stop = False
def work():
    while not stop:
        predictor.predict(texts)
workers = [threading.Thread(target=work) for _ in range(3)]
for each in workers: each.start()
for _ in range(6):
    time.sleep(0.05)
    child = os.fork()
    if child == 0:
        found = [each.label for each in predictor.predict(texts)]
        sys.exit(0 if found == expected else 3)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
stop = True
for each in workers: each.join()
print("fine")
"""
    found = run(program, text_bundle, threads, TOKENIZERS_PARALLELISM="false")
    assert (found.stdout, found.returncode) == ("fine\n", 0), found.stderr[-2000:]


@forks
def test_a_child_that_never_predicts_exits(text_bundle: Path) -> None:
    program = """
import os, sys, bertedge
predictor = bertedge.load(sys.argv[1], threads=2)
predictor.predict(["turn the hall lights off"] * 100)
for _ in range(5):
    child = os.fork()
    if child == 0:
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
print("fine")
"""
    assert run(program, text_bundle).stdout == "fine\n"


@pytest.mark.parametrize("daemon", [True, False])
def test_a_program_ends_while_threads_predict(text_bundle: Path, daemon: bool) -> None:
    program = f"""
import sys, threading, time, bertedge
predictor = bertedge.load(sys.argv[1], threads=2)
end = time.monotonic() + 1
def work():
    while {daemon} or time.monotonic() < end:
        predictor.predict(["turn the hall lights off"] * 30)
for _ in range(3): threading.Thread(target=work, daemon={daemon}).start()
time.sleep(0.3)
"""
    found = run(program, text_bundle)
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize("task", ["text-classification", "token-classification", "intent-slots"])
def test_to_dict_is_what_the_command_prints(
    task: str, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    text = "turn the living room lights off at seven"
    main(["predict", str(TINY / task), text], standalone_mode=False)
    printed = json.loads(capsysbinary.readouterr().out)
    prediction = bertedge.load(TINY / task).predict_one(text)
    assert printed == {"text": text, **prediction.to_dict()}
    assert json.loads(json.dumps(prediction.to_dict())) == prediction.to_dict()


def test_what_happens_is_logged(text_bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "bertedge"):
        predictor = bertedge.load(text_bundle, threads=2)
        predictor.predict(TEXTS * 2000)
    told = [(each.name, each.getMessage()) for each in caplog.records]
    assert ("bertedge.runtime.variants", "variant cpu-fp32, fp32, is chosen for cpu") in told
    assert any(line.startswith(f"opened {text_bundle}: text-class") for _, line in told)
    assert any("opening a second session" in line for _, line in told)
    assert {name for name, _ in told} <= {
        "bertedge.runtime.variants",
        "bertedge.predictor",
        "bertedge.runtime.scheduler",
    }


def test_it_is_silent_by_default_and_imports_no_logging(text_bundle: Path) -> None:
    program = (
        "import sys, bertedge; bertedge.load(sys.argv[1]).predict(['x'] * 9)\n"
        "print('logging' in sys.modules)\n"
        "import logging; bertedge.load(sys.argv[1]).predict(['x'] * 9)"
    )
    found = run(program, text_bundle)
    assert (found.stdout, found.stderr) == ("False\n", "")


@pytest.mark.parametrize("before", [True, False])
def test_verbose_logs_on_standard_error(
    before: bool, text_bundle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(text_bundle), "on"]
    main(["--verbose", *words] if before else [*words, "--verbose"], standalone_mode=False)
    captured = capfd.readouterr()
    assert "bertedge.runtime.variants: variant cpu-fp32, fp32, is chosen for cpu" in captured.err
    assert captured.err.count("is chosen for") == 1
    main(words, standalone_mode=False)
    assert capfd.readouterr().err == ""


def test_threads_are_bounded_by_the_machine(text_bundle: Path) -> None:
    cores = os.cpu_count() or 1
    with pytest.raises(SettingError, match=rf"2000; this machine has {cores} cores: give 1 to"):
        bertedge.load(text_bundle, threads=2000)
    assert bertedge.load(text_bundle, threads=4 * cores).engine.threads == 4 * cores


def test_the_environment_sets_the_default_of_threads(
    text_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(machine.THREADS, "3")
    assert bertedge.load(text_bundle).engine.threads == 3
    assert bertedge.load(text_bundle, threads=1).engine.threads == 1
    for wrong in ("0", "-1", "two", "9" * 5000, "1.5"):
        monkeypatch.setenv(machine.THREADS, wrong)
        with pytest.raises(SettingError, match=r"\$BERTEDGE_THREADS is .*; give 1 or more"):
            bertedge.load(text_bundle)


def test_without_a_home_and_a_name_it_predicts(text_bundle: Path) -> None:
    unshare = shutil.which("unshare")
    strange = [unshare or "", "--user", "--map-user=12345"]
    if not unshare or subprocess.run([*strange, "true"], check=False).returncode:
        pytest.skip("this system lets nobody be a user without a name")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("BERTEDGE", "XDG"))}
    for name in ("HOME", "USER", "LOGNAME"):
        environment.pop(name, None)
    program = (
        "import sys, bertedge; p = bertedge.load(sys.argv[1], threads=2);"
        "print(len(p.predict(['turn the lights off ' * 10] * 2000)))"
    )
    for arguments in (["-c", program, text_bundle], ["-m", "bertedge", "doctor"]):
        found = subprocess.run(
            [*strange, sys.executable, *map(str, arguments)],
            env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (found.returncode, found.stderr) == (0, "")
        assert "2000" in found.stdout or "cores" in found.stdout


def test_a_predictor_writes_no_file(text_bundle: Path, tmp_path: Path) -> None:
    program = (
        "import sys, bertedge; p = bertedge.load(sys.argv[1], threads=2);"
        "p.predict_one('off'); p.predict(['turn the lights off ' * 10] * 2000)"
    )
    home = {name: str(tmp_path) for name in ("HOME", "XDG_CACHE_HOME", "TMPDIR")}
    run = [sys.executable, "-c", program, str(text_bundle.absolute())]
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, **home, "PYTHONPATH": path}
    subprocess.run(run, env=environment, cwd=tmp_path, check=True)
    assert not list(tmp_path.iterdir())
