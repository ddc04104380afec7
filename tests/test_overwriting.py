"""What `--overwrite` may cost: an empty directory, what we wrote, a regular file."""

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from bertedge.bundle import open_bundle
from bertedge.errors import OutputError
from bertedge.outputs import check_file, check_folder, staged_file, staged_folder
from bertedge.overwriting import MARKER, check_apart, check_distinct

TINY = Path(__file__).parents[1] / "models" / "tiny" / "text-classification"
USERS = ("this user", "an ordinary user")


@pytest.fixture(params=USERS)
def act(
    request: pytest.FixtureRequest, as_ordinary_user: Callable[[Callable[[], None]], None]
) -> Callable[[Callable[[], None]], None]:
    """Run a function as the user that the tests have, who may be root, and as an ordinary one."""
    return as_ordinary_user if request.param == "an ordinary user" else lambda function: function()


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """All that is in a folder: kinds, and the bytes of files."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in folder.rglob("*")
    }


def write(folder: Path) -> Path:
    """Write a directory with a subfolder and a hidden file, as our commands do."""
    with staged_folder(folder, overwrite=True) as staged:
        (staged / "config.json").write_text("{}")
        (staged / ".hidden").write_text("")
        (staged / "deep" / "er").mkdir(parents=True)
        (staged / "deep" / "er" / "weights").write_text("1")
    return folder


def replace(output: Path) -> None:
    with staged_folder(output, overwrite=True) as staged:
        (staged / "new").write_text("")


def test_what_we_wrote_is_replaced_also_where_it_was_copied_or_has_lost_files(
    anyones_folder: Path, act
) -> None:
    def check() -> None:
        (anyones_folder / "empty").mkdir()
        written = write(anyones_folder / "written")
        shutil.copytree(written, anyones_folder / "copied")
        shutil.copytree(TINY, anyones_folder / "bundle")
        shutil.rmtree(write(anyones_folder / "halved") / "deep")
        for name in ("empty", "written", "copied", "bundle", "halved"):
            replace(anyones_folder / name)
            assert sorted(p.name for p in (anyones_folder / name).iterdir()) == [MARKER, "new"]

    act(check)


ADDED: dict[str, Callable[[Path], object]] = {
    "notes.txt": lambda path: path.write_text("mine"),
    ".DS_Store": lambda path: path.write_text("mine"),
    "deep/notes": lambda path: path.write_text("mine"),
    "folder": lambda path: path.mkdir(),
    "deep/er/folder": lambda path: path.mkdir(),
    "link": lambda path: path.symlink_to("config.json"),
    "dangling": lambda path: path.symlink_to("nowhere"),
    "pipe": os.mkfifo,
    "new\nline": lambda path: path.write_text("mine"),
}


@pytest.mark.parametrize("name", ADDED)
def test_a_directory_that_holds_anything_else_is_left_alone(
    anyones_folder: Path, act, name: str
) -> None:
    def check() -> None:
        output = write(anyones_folder / "x")
        ADDED[name](output / name)
        before = snapshot(anyones_folder)
        with pytest.raises(OutputError) as caught:
            replace(output)
        message = str(caught.value)
        assert repr(name) in message and "--overwrite does not touch it" in message
        assert len(message) < 300 and "\n" not in message
        assert snapshot(anyones_folder) == before

    act(check)


@pytest.mark.parametrize("name", ["config.json", "deep"])
def test_a_name_of_ours_that_is_now_something_else_is_left_alone(tmp_path: Path, name: str) -> None:
    output = write(tmp_path / "x")
    (tmp_path / "mine").mkdir()
    (output / name).rename(tmp_path / "was")
    (output / name).symlink_to(tmp_path / "mine")
    with pytest.raises(OutputError, match=f"holds '{name}'"):
        replace(output)


LISTS = {
    "none": None,
    "empty": "",
    "no JSON": "config.json",
    "no list": "{}",
    "other keys": json.dumps({"files": ["config.json", "thesis.tex"]}),
    "deep": "[" * 100_000,
    "bytes": b"\xff\xfe",
}


@pytest.mark.parametrize("marker", [MARKER, "bertedge.json"])
@pytest.mark.parametrize("kind", LISTS)
def test_a_directory_without_a_list_of_ours_is_left_alone(
    tmp_path: Path, kind: str, marker: str
) -> None:
    output = tmp_path / "x"
    output.mkdir()
    for name in ("config.json", "training.json", "thesis.tex"):
        (output / name).write_text("{}")
    listed = LISTS[kind]
    if isinstance(listed, bytes):
        (output / marker).write_bytes(listed)
    elif listed is not None:
        (output / marker).write_text(listed)
    before = snapshot(tmp_path)
    with pytest.raises(OutputError, match="--overwrite does not touch it"):
        replace(output)
    assert snapshot(tmp_path) == before


def test_a_folder_with_nothing_but_a_file_of_our_name_is_left_alone(tmp_path: Path) -> None:
    for name in (MARKER, "bertedge.json"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text("{}")
        with pytest.raises(OutputError, match="--overwrite does not touch it"):
            replace(tmp_path / name)


def test_a_bundle_beside_which_something_lies_is_left_alone(tmp_path: Path) -> None:
    bundle = shutil.copytree(TINY, tmp_path / "bundle")
    (bundle / "README.md").write_text("mine")
    with pytest.raises(OutputError, match=r"holds 'README\.md'"):
        check_folder(bundle, overwrite=True)
    assert open_bundle(bundle).manifest.model.labels


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def make_device(path: Path) -> None:
    """A null device of our own where root makes one, else a link to the machine's."""
    if os.getuid() == 0:
        os.mknod(path, 0o20666, os.makedev(1, 3))
    else:
        path.symlink_to("/dev/null")


KINDS: dict[str, Callable[[Path], object]] = {
    "file": lambda path: path.write_text("mine"),
    "link to a file": lambda path: (path.parent / "file").touch() or path.symlink_to("file"),
    "link to a directory": lambda path: path.symlink_to(write(path.parent / "ours")),
    "link to an empty directory": lambda path: (path.parent / "e").mkdir() or path.symlink_to("e"),
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "pipe": os.mkfifo,
    "socket": make_socket,
    "device": make_device,
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_directory_replaces_nothing_but_a_directory(
    anyones_folder: Path, act, kind: str, overwrite: bool
) -> None:
    def check() -> None:
        output = anyones_folder / "x"
        KINDS[kind](output)
        before = snapshot(anyones_folder)
        with (
            pytest.raises(OutputError, match=r"x is a .*, which no directory replaces"),
            staged_folder(output, overwrite=overwrite),
        ):
            pass
        assert snapshot(anyones_folder) == before

    act(check)


def test_the_null_device_is_written_into_and_never_replaced(act) -> None:
    def check() -> None:
        before = Path("/dev/null").stat()
        for output in map(Path, ("/dev/null", "/dev/../dev/null", "/dev/stdout", "/dev/fd/1")):
            for overwrite in (False, True):
                with pytest.raises(OutputError):
                    check_folder(output, overwrite=overwrite)
        for overwrite in (False, True):
            check_file(Path("/dev/null"), overwrite=overwrite)
            with staged_file(Path("/dev/null"), overwrite=overwrite) as file:
                file.write("gone")
        after = Path("/dev/null").stat()
        assert (after.st_ino, after.st_rdev, after.st_mode) == (
            before.st_ino,
            before.st_rdev,
            before.st_mode,
        )

    act(check)


def test_a_device_of_our_own_is_written_into_and_never_replaced(tmp_path: Path) -> None:
    device = tmp_path / "null"
    make_device(device)
    before = snapshot(tmp_path)
    with staged_file(device) as file:
        file.write("gone")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("kind", ["link to nothing", "link to itself", "socket"])
def test_a_file_replaces_nothing_but_a_file(anyones_folder: Path, act, kind: str) -> None:
    def check() -> None:
        output = anyones_folder / "x"
        KINDS[kind](output)
        before = snapshot(anyones_folder)
        with pytest.raises(OutputError, match="give the name of a file"), staged_file(output):
            pass
        assert snapshot(anyones_folder) == before

    act(check)


def test_a_regular_file_below_dev_is_no_stream(tmp_path: Path) -> None:
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("needs /dev/shm")
    output = Path("/dev/shm") / f"bertedge-{os.getpid()}.json"
    try:
        for text in ("first", "second"):
            with staged_file(output) as file:
                file.write(text)
        assert output.read_text() == "second"
    finally:
        output.unlink(missing_ok=True)


def test_a_mount_point_is_one_clear_error() -> None:
    with pytest.raises(OutputError, match="is a mount point"):
        check_folder(Path("/proc"), overwrite=True)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """`model`, with a file in it; links to both."""
    (tmp_path / "model" / "deep").mkdir(parents=True)
    (tmp_path / "model" / "data.csv").write_text("text,label")
    (tmp_path / "link").symlink_to("model")
    (tmp_path / "data").symlink_to("model/data.csv")
    os.link(tmp_path / "model" / "data.csv", tmp_path / "hard")
    return tmp_path


@pytest.mark.parametrize(
    ("output", "source", "how"),
    [
        ("model", "model", "is"),
        ("link", "model", "is"),
        ("model", "link", "is"),
        ("model/deep/..", "model", "is"),
        ("model", "model/../link/", "is"),
        ("model/data.csv", "data", "is"),
        ("hard", "model/data.csv", "is"),
        ("model", "model/data.csv", "holds"),
        ("model", "data", "holds"),
        (".", "data", "holds"),
        ("link", "model/deep", "holds"),
        ("model/new", "model", "lies in"),
        ("model/deep/new/er", "link", "lies in"),
        ("link/deep", "model", "lies in"),
    ],
)
def test_an_output_is_holds_and_lies_in_no_input(
    inputs: Path, output: str, source: str, how: str
) -> None:
    with pytest.raises(OutputError, match=f" {how} the input "):
        check_apart(inputs / output, [None, inputs / "missing", inputs / source])


def test_an_output_beside_an_input_and_one_of_a_like_name_are_allowed(inputs: Path) -> None:
    given = [inputs / "model", str(inputs / "data"), "owner/name", "-", None, "x" * 5000]
    for name in ("model2", "mode", "new/model", "data.csv"):
        check_apart(inputs / name, given)


def test_two_outputs_are_two_files(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("")
    (tmp_path / "link").symlink_to("old")
    for names in (("new", "new"), ("new", "./new"), ("old", "link"), ("new", "../x/new")):
        folder = tmp_path / "x"
        folder.mkdir(exist_ok=True)
        place = tmp_path if "link" in names else folder
        with pytest.raises(OutputError, match="is given for two outputs"):
            check_distinct([place / names[0], place / names[1]])
    check_distinct([tmp_path / "a", tmp_path / "b"])
    check_distinct([Path("/dev/null"), Path("/dev/null")])
