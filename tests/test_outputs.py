import contextlib
import errno
import os
import resource
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertedge import outputs
from bertedge.bundle import open_bundle
from bertedge.errors import BundleError, OutputError
from bertedge.outputs import (
    check_file,
    check_folder,
    remove_leftovers,
    replace_folder,
    staged_file,
    staged_folder,
    way_back,
    work_folder,
    writing,
)
from bertedge.overwriting import MARKER


class BrokenError(Exception):
    pass


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def ours(folder: Path) -> Path:
    """Write a directory as our commands do."""
    with staged_folder(folder, overwrite=False) as staged:
        (staged / "config.json").write_text("old")
    return folder


@pytest.fixture
def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_folder_appears_whole_with_its_parents(tmp_path: Path) -> None:
    output = tmp_path / "runs" / "deep" / "x"
    with staged_folder(output, overwrite=False) as folder:
        (folder / "a").write_text("1")
        assert not output.exists()
    assert names(output) == [MARKER, "a"]
    assert names(output.parent) == ["x"]


def test_an_error_in_the_block_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(BrokenError),
        staged_folder(tmp_path / "runs" / "x", overwrite=False) as folder,
    ):
        (folder / "a").write_text("1")
        raise BrokenError
    assert names(tmp_path) == []


def test_an_error_keeps_parents_that_others_filled_meanwhile(tmp_path: Path) -> None:
    with pytest.raises(BrokenError), staged_folder(tmp_path / "runs" / "x", overwrite=False):
        (tmp_path / "runs" / "other").write_text("mine")
        raise BrokenError
    assert names(tmp_path / "runs") == ["other"]


@pytest.mark.parametrize("error", [BrokenError, KeyboardInterrupt])
def test_an_error_in_the_block_leaves_the_old_folder(
    tmp_path: Path, error: type[BaseException]
) -> None:
    output = ours(tmp_path / "x")
    with pytest.raises(error), staged_folder(output, overwrite=True) as folder:
        (folder / "new").write_text("new")
        raise error
    assert names(tmp_path) == ["x"]
    assert names(output) == [MARKER, "config.json"]


def test_overwriting_replaces_all_of_the_old_folder(tmp_path: Path) -> None:
    output = ours(tmp_path / "x")
    with staged_folder(output, overwrite=True) as folder:
        (folder / "new").write_text("new")
    assert names(output) == [MARKER, "new"]
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("name", [".", "..", "/", ""])
def test_a_path_without_a_name_is_no_output(name: str) -> None:
    with pytest.raises(OutputError, match="is no name for an output"):
        check_folder(Path(name), overwrite=True)


def test_a_file_as_parent_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output in (tmp_path / "file" / "x", tmp_path / "file" / "y" / "x"):
        with pytest.raises(OutputError, match="file is not a directory"):
            check_folder(output, overwrite=False)
    assert names(tmp_path) == ["file"]


def test_a_read_only_parent_is_one_clear_error(anyones_folder: Path, as_ordinary_user) -> None:
    def check() -> None:
        parent = anyones_folder / "locked"
        parent.mkdir()
        for check in (check_folder, check_file):
            parent.chmod(0o500)
            with pytest.raises(OutputError, match="read-only for this user"):
                check(parent / "x", overwrite=False)
            parent.chmod(0)
            with pytest.raises(OutputError):
                check(parent / "x", overwrite=False)
        parent.chmod(0o700)

    as_ordinary_user(check)


@pytest.mark.skipif(not Path("/sys/kernel").exists(), reason="needs /sys")
def test_a_place_where_not_even_root_may_write_is_one_clear_error() -> None:
    for stage in (staged_folder, staged_file):
        with pytest.raises(OutputError, match="/sys/x"), stage(Path("/sys/x"), overwrite=False):
            pass


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
@pytest.mark.parametrize("output", ["/proc/x", "/proc/x/y"])
def test_a_place_that_takes_no_new_files_is_one_clear_error(output: str) -> None:
    for stage in (staged_folder, staged_file, work_folder):
        options = {} if stage is work_folder else {"overwrite": False}
        with pytest.raises(OutputError) as caught, stage(Path(output), **options):
            pass
        assert str(caught.value).startswith(output)
        assert "/proc" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_input_is_not_taken_for_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    for stage in (staged_folder, staged_file):
        with pytest.raises(FileNotFoundError), stage(tmp_path / "x", overwrite=False):
            (tmp_path / "input").read_text()


def test_a_name_that_is_too_long_is_one_clear_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="the name is too long"),
        staged_folder(tmp_path / ("x" * 250), overwrite=False),
    ):
        pass
    assert names(tmp_path) == []


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    output = tmp_path / "new" / "x.json"
    with staged_file(output) as file:
        file.write("Grüße\n")
        assert not output.exists()
    assert output.read_bytes() == "Grüße\n".encode()
    with pytest.raises(BrokenError), staged_file(output) as file:
        file.write("half")
        raise BrokenError
    assert output.read_bytes() == "Grüße\n".encode()
    assert names(output.parent) == ["x.json"]


def test_a_file_is_refused_where_one_is_unless_overwritten(tmp_path: Path) -> None:
    output = tmp_path / "x"
    output.write_text("old")
    with pytest.raises(OutputError, match="exists already"), staged_file(output, overwrite=False):
        pass
    with staged_file(output, overwrite=True) as file:
        file.write("new")
    assert output.read_text() == "new"


def test_a_directory_is_no_place_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a directory"), staged_file(tmp_path):
        pass


def test_a_file_behind_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    with staged_file(tmp_path / "link") as file:
        file.write("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_a_pipe_is_written_to_directly(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with staged_file(pipe) as file:
        file.write("through")
    reader.join()
    assert read == ["through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="needs /dev/stdout")
def test_standard_output_appended_to_a_file_is_written_through(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from bertedge.outputs import staged_file\n"
        "with staged_file(Path('/dev/stdout')) as file: file.write('text')"
    )
    (tmp_path / "out").write_text("before\n")
    with (tmp_path / "out").open("a") as out:
        subprocess.run([sys.executable, "-c", program], stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "before\ntext"
    assert Path("/dev/stdout").is_symlink()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_clear_error() -> None:
    with pytest.raises(OutputError, match="the disk is full"), staged_file(Path("/dev/full")) as f:
        f.write("x")


LIMIT = 4096


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """Let this process write no file larger than a page, as a full disk would.

    Not a fixture: pytest's own output may be a file, and it writes before a fixture ends.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_running_out_of_space_leaves_the_old_state(tmp_path: Path) -> None:
    output = ours(tmp_path / "x")
    with (
        pytest.raises(OutputError, match="larger than this user may write"),
        small_files(),
        staged_folder(output, overwrite=True) as folder,
    ):
        (folder / "big").write_bytes(bytes(3 * LIMIT))
    with (
        pytest.raises(OutputError, match="larger than this user may write"),
        small_files(),
        staged_file(tmp_path / "y") as file,
    ):
        file.write("x" * 3 * LIMIT)
    assert names(output) == [MARKER, "config.json"]
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        Exception("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_full_disks_are_recognised_whoever_reports_them(tmp_path: Path, error: Exception) -> None:
    full = r"x could not be written: the disk is full \(\d+ MiB"
    with pytest.raises(OutputError, match=full), writing(tmp_path / "x"):
        raise error


@pytest.mark.parametrize("error", [BrokenError("x"), OSError(errno.EIO, "x"), OutputError("y")])
def test_other_errors_pass_through(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, writing(tmp_path / "x"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("name", ["x", "x[1]*"])
def test_leftovers_of_a_dead_process_are_removed(
    tmp_path: Path, name: str, dead_process: int
) -> None:
    for purpose in ("staging", "work"):
        leftover = tmp_path / f".{name}.{purpose}-{dead_process}"
        leftover.mkdir()
        (leftover / "big.onnx").write_text("half")
    (tmp_path / f".xy.staging-{dead_process}").mkdir()
    with staged_folder(tmp_path / name, overwrite=False):
        pass
    assert names(tmp_path) == sorted([f".xy.staging-{dead_process}", name])


def test_what_a_living_process_stages_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / f".x.staging-{os.getppid()}"
    other.mkdir()
    remove_leftovers(tmp_path / "x")
    assert other.exists()


def test_leftovers_with_our_own_number_are_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / f".x.staging-{os.getpid()}").mkdir()
    (tmp_path / f".x.work-{os.getpid()}").mkdir()
    with work_folder(tmp_path / "x"), staged_folder(tmp_path / "x", overwrite=False):
        pass
    (tmp_path / f".y.staging-{os.getpid()}").write_text("half")
    with staged_file(tmp_path / "y") as file:
        file.write("y")
    assert names(tmp_path) == ["x", "y"]


def test_a_work_folder_outlives_the_staging_within_and_is_gone_afterwards(tmp_path: Path) -> None:
    output = tmp_path / "x"
    with work_folder(output) as work:
        (work / "half").write_text("1")
        with staged_folder(output, overwrite=False) as folder:
            (folder / "a").write_text("1")
        assert names(work) == ["half"]
    assert names(tmp_path) == ["x"]
    with pytest.raises(BrokenError), work_folder(tmp_path / "deep" / "y"):
        raise BrokenError
    assert names(tmp_path) == ["x"]


def test_a_replacement_is_one_call_that_leaves_no_moment_without_an_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = ours(tmp_path / "x")

    def renamed(*_: object) -> None:
        raise AssertionError

    with staged_folder(output, overwrite=True) as folder:
        (folder / "new").touch()
        monkeypatch.setattr(os, "rename", renamed)
    assert names(output) == [MARKER, "new"]
    assert names(tmp_path) == ["x"]


KILLED_BETWEEN = """
import os, signal, sys
from pathlib import Path
from bertedge import outputs
outputs._exchange = lambda *_: False  # a system that cannot
rename = os.rename
def once(*names):
    rename(*names)
    os.kill(os.getpid(), signal.SIGKILL)
os.rename = once
with outputs.staged_folder(Path(sys.argv[1]), overwrite=True) as folder:
    (folder / "new").touch()
"""


def test_a_kill_between_two_renames_is_told_to_readers_and_undone_by_the_next_writer(
    tmp_path: Path,
) -> None:
    output = ours(tmp_path / "x")
    subprocess.run([sys.executable, "-c", KILLED_BETWEEN, str(output)], check=False)
    assert not output.exists()
    with pytest.raises(BundleError, match=r"was killed .*: rename \.x\.replaced to x$"):
        open_bundle(output)
    with pytest.raises(OutputError, match="exists already"):
        check_folder(output, overwrite=False)
    assert names(output) == [MARKER, "config.json"]
    assert names(tmp_path) == ["x"]
    assert way_back(output) == ""


@pytest.mark.parametrize("taken", [True, False])
def test_what_was_set_aside_goes_only_if_it_is_ours_and_its_name_is_taken(
    tmp_path: Path, taken: bool
) -> None:
    if taken:
        ours(tmp_path / "x")
    old = ours(tmp_path / ".x.replaced")
    check_folder(tmp_path / "x", overwrite=True)
    assert names(tmp_path) == ["x"]

    old.mkdir()
    (old / "notes.txt").write_text("of the user's")
    check_folder(tmp_path / "x", overwrite=True)
    assert names(tmp_path) == [".x.replaced", "x"]
    assert names(old) == ["notes.txt"]


def test_a_system_without_an_exchange_replaces_by_renaming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "_exchange", lambda *_: False)
    output = ours(tmp_path / "x")
    with staged_folder(output, overwrite=True) as folder:
        (folder / "new").touch()
    assert names(output) == [MARKER, "new"]
    assert names(tmp_path) == ["x"]


def test_a_replacement_that_fails_puts_the_old_folder_back(tmp_path: Path) -> None:
    output = ours(tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "missing", output)
    assert names(tmp_path) == ["x"]
    assert names(output) == [MARKER, "config.json"]


def test_what_appeared_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    for before in (False, True):
        output = ours(tmp_path / "x") if before else tmp_path / "x"
        with (
            pytest.raises(OutputError, match=r"notes\.txt"),
            staged_folder(output, overwrite=True) as folder,
        ):
            (folder / "new").touch()
            output.mkdir(exist_ok=True)
            (output / "notes.txt").write_text("mine")
        assert (output / "notes.txt").read_text() == "mine"
        assert names(tmp_path) == ["x"]
        shutil.rmtree(output)


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_files_get_the_mode_of_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with staged_folder(tmp_path / "x", overwrite=False) as folder:
            (folder / "deep").mkdir()
            for path in (folder / "weights", folder / "deep" / "more"):
                path.touch(mode=0o600)
        with staged_file(tmp_path / "y") as file:
            file.write("y")
    finally:
        os.umask(before)
    for name in ("x/weights", "x/deep/more", f"x/{MARKER}", "y"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~umask, name


def test_kill_9_leaves_the_old_state_and_the_next_run_tidies_up(tmp_path: Path) -> None:
    output = ours(tmp_path / "x")
    program = (
        "import sys, time; from pathlib import Path; from bertedge.outputs import staged_folder\n"
        "with staged_folder(Path(sys.argv[1]), overwrite=True) as folder:\n"
        "    (folder / 'half').touch(); print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(output)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.wait()
    process.stdout.close()
    assert names(output) == [MARKER, "config.json"]
    assert len(names(tmp_path)) == 2
    with staged_folder(output, overwrite=True) as folder:
        (folder / "new").touch()
    assert names(tmp_path) == ["x"]
    assert names(output) == [MARKER, "new"]
