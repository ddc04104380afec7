"""Run the steps of docs/deploy/Dockerfile in a clean environment, and ask the server in it.

usage: python scripts/check_deploy.py

RUN goes into a fresh environment of the Python that FROM names, with the wheel of this tree in
place of the published package; COPY into a folder; HEALTHCHECK and CMD are run as USER where the
one who runs this is root. The sum of what was installed must be what the Dockerfile says it is.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import check_package
from check_package import find_python, run, size

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "docs" / "deploy" / "Dockerfile"
BUNDLE = ROOT / "models" / "tiny" / "text-classification"
PACKAGE = "bertedge[cpu,serve]"
PORT = "8080"
TOLERANCE = 0.1
"""Of the stated size: the newest onnxruntime and numpy differ from month to month."""
PATIENCE_S = 60.0
HEAVY = ("torch", "transformers", "onnx", "scipy")


def main() -> None:
    text = DOCKERFILE.read_text()
    steps = parse(text)
    version = re.fullmatch(r"python:(3\.\d+)-slim", steps["FROM"])
    demand(version, f"FROM {steps['FROM']} is no slim Python")
    assert version
    interpreter = find_python(version[1])
    if interpreter is None:
        print(f"Dockerfile: SKIPPED, no Python {version[1]} on this machine")
        return
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        work.chmod(0o755)
        user = user_of(steps["USER"])
        folder = work / "environment"
        run(reachable(interpreter, user, work), "-m", "venv", folder)
        installed = install(steps["RUN"], folder, build_wheel(work))
        check_size(text, installed)
        source, place = steps["COPY"].split()
        demand(source.startswith("bundles/"), f"COPY takes {source}, no bundle")
        bundle = work / "image" / place.strip("/")
        shutil.copytree(BUNDLE, bundle)
        served(steps, {place: str(bundle)}, folder, user)
        print(f"Dockerfile: its steps run; {installed / 1e6:.0f} MB installed", flush=True)


def demand(holds: object, otherwise: str) -> None:
    if not holds:
        sys.exit(f"check_deploy: {otherwise}")


def parse(text: str) -> dict[str, str]:
    """Return each instruction's arguments, of which there is one each."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found: dict[str, str] = {}
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, rest = line.partition(" ")
        demand(name not in found, f"{name} stands twice")
        found[name] = rest.strip()
    return found


def words(arguments: str) -> list[str]:
    """Return a command in the form of a JSON list, which runs without a shell."""
    found = json.loads(arguments[arguments.index("[") :])
    assert isinstance(found, list)
    return found


def user_of(given: str) -> int | None:
    """Return the number of USER, if this process may become it."""
    user = given.partition(":")[0]
    demand(user.isdecimal() and int(user) > 0, f"USER {given} is root, or no number")
    if os.name == "nt" or os.getuid() != 0:
        print("Dockerfile: USER SKIPPED, only root may become another", flush=True)
        return None
    return int(user)


def reachable(interpreter: str, user: int | None, work: Path) -> Path:
    """Return an interpreter that the user may run: a copy where it is in a closed folder."""
    program = "import sys; print(sys.base_prefix, sys._base_executable, sep='\\n')"
    prefix, executable = map(Path, run(interpreter, "-c", program).split("\n")[:2])
    try:
        subprocess.run([executable, "-c", ""], user=user, cwd="/", check=True)
    except (PermissionError, subprocess.CalledProcessError):
        left_out = shutil.ignore_patterns("site-packages", "test", "__pycache__", "*.a")
        shutil.copytree(prefix, work / "python", symlinks=True, ignore=left_out)
        return work / "python" / executable.resolve().relative_to(prefix)
    return executable


def build_wheel(work: Path) -> Path:
    source = work / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*check_package.NOT_SOURCE))
    run(sys.executable, "-m", "build", "--wheel", "--outdir", work / "dist", source)
    (wheel,) = (work / "dist").glob("*.whl")
    return wheel


def install(step: str, folder: Path, wheel: Path) -> int:
    """Run the step in an environment, and return how many bytes it added."""
    demand(f"'{PACKAGE}'" in step, f"RUN installs no {PACKAGE}")
    command = step.replace(PACKAGE, f"{wheel}[cpu,serve]")
    before = size(folder)
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    run("sh", "-c", command, env={**os.environ, "PATH": path, "PYTHONPATH": ""})
    heavy = [name for name in HEAVY if list(folder.glob(f"lib/*/site-packages/{name}"))]
    demand(not heavy, f"it installs {heavy}")
    return size(folder) - before


def check_size(text: str, installed: int) -> None:
    stated = re.search(r"(\d+) MB \(scripts/check_deploy\.py", text)
    demand(stated, "it states no size")
    assert stated
    close = abs(installed / 1e6 / int(stated[1]) - 1) < TOLERANCE
    demand(close, f"it states {stated[1]} MB, but {installed / 1e6:.0f} MB are installed")


def served(steps: dict[str, str], places: dict[str, str], folder: Path, user: int | None) -> None:
    """Start the server, ask it, and stop it."""
    demand(steps["EXPOSE"] == PORT, f"EXPOSE is {steps['EXPOSE']}, not {PORT}")
    command = [places.get(word, word) for word in words(steps["CMD"])]
    demand("--port" in command and PORT in command, f"CMD does not listen on {PORT}")
    command[command.index(PORT)] = "0"  # any free one here
    libraries = (folder / "bin" / "python").resolve().parent.parent / "lib"  # of a Python's copy
    environment = {"PATH": str(folder / "bin"), "LD_LIBRARY_PATH": str(libraries)}
    server = subprocess.Popen(
        [str(folder / "bin" / command[0]), *command[1:]],
        env=environment, cwd="/", user=user, group=user, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        url = address(server)
        with urllib.request.urlopen(f"{url}/health/ready", timeout=PATIENCE_S) as found:
            demand(found.status == 200, "it is not ready")
        body = json.dumps({"text": "turn the hall lights off"}).encode()
        with urllib.request.urlopen(f"{url}/predict", body, timeout=PATIENCE_S) as found:
            demand("label" in json.loads(found.read()), "/predict answers nothing")
        check = [each.replace(f"127.0.0.1:{PORT}", url[7:]) for each in words(steps["HEALTHCHECK"])]

        def health() -> int:
            return subprocess.run(  # noqa: PLW1510
                check, env=environment, user=user, stderr=subprocess.DEVNULL
            ).returncode

        demand(health() == 0, "HEALTHCHECK fails while it runs")
        server.send_signal(getattr(signal, steps["STOPSIGNAL"]))
        demand(server.wait(PATIENCE_S) == 0, f"it ends with {server.returncode}")
        demand(health() != 0, "HEALTHCHECK succeeds when it has ended")
    finally:
        server.kill()


def address(server: subprocess.Popen[str]) -> str:
    """Return the URL that the server says it is at."""
    assert server.stderr
    said = []
    for line in server.stderr:
        said.append(line)
        if found := re.search(r"serving on http://\S+:(\d+);", line):
            return f"http://127.0.0.1:{found[1]}"
    sys.exit(f"check_deploy: the server did not start\n{''.join(said)}")


if __name__ == "__main__":
    main()
