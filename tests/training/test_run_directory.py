import json
from pathlib import Path

import pytest

from bertedge.errors import OutputError, SettingError
from bertedge.outputs import staged_folder
from bertedge.progress import Silent
from bertedge.training.run_directory import (
    RunDirectory,
    newest_state,
    open_run_directory,
    prune,
    publish_output,
)
from bertedge.training.seal import seal


class Heard(Silent):
    """Keeps the lines that were said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def work_at(output: Path, *, overwrite: bool = False, resume: bool = False) -> RunDirectory:
    return RunDirectory(output=output, overwrite=overwrite, resume=resume)


def save(folder: Path, step: int, best: int | None = None) -> Path:
    state = folder / f"checkpoint-{step}"
    state.mkdir(parents=True)
    (state / "trainer_state.json").write_text(json.dumps({"best_global_step": best}))
    (state / "weights").write_text(str(step))
    seal(state)
    return state


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class BrokenError(Exception):
    pass


def test_the_newest_whole_state_is_found(tmp_path: Path) -> None:
    heard = Heard()
    assert newest_state(tmp_path, heard) is None
    for step in (9, 10, 100):
        save(tmp_path, step)
    assert newest_state(tmp_path, heard) == tmp_path / "checkpoint-100"
    assert heard.lines == []


def test_a_damaged_state_is_left_out_for_the_one_before_and_that_is_said(tmp_path: Path) -> None:
    heard = Heard()
    for step in (9, 10, 100):
        save(tmp_path, step)
    (tmp_path / "checkpoint-100" / "weights").write_text("")
    (tmp_path / "checkpoint-10" / "sealed.json").unlink()
    assert newest_state(tmp_path, heard) == tmp_path / "checkpoint-9"
    assert heard.lines == [
        "the state saved at step 100 is left out: it has a damaged or missing weights",
        "the state saved at step 10 is left out: it was not saved to the end",
    ]
    assert names(tmp_path) == ["checkpoint-9"]


def test_a_state_without_its_best_weights_is_left_out(tmp_path: Path) -> None:
    for damage in ("missing", "empty"):
        heard = Heard()
        best = save(tmp_path, 5, best=5)
        save(tmp_path, 10, best=5)
        if damage == "missing":
            for path in best.iterdir():
                path.unlink()
            best.rmdir()
        else:
            (best / "weights").write_text("")
        assert newest_state(tmp_path, heard) is None
        assert "needs checkpoint-5" in heard.lines[0]
        assert heard.lines[-1] == "no saved state is left; the run starts from the beginning"
        assert names(tmp_path) == []


def test_the_two_newest_states_and_the_best_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 10, 20):
        save(tmp_path, step)
    prune(tmp_path, best=2)
    assert names(tmp_path) == ["checkpoint-10", "checkpoint-2", "checkpoint-20"]
    prune(tmp_path, best=None)
    assert names(tmp_path) == ["checkpoint-10", "checkpoint-20"]


@pytest.mark.parametrize("error", [BrokenError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_nothing_where_there_is_nothing_to_resume(
    tmp_path: Path, error: type[BaseException]
) -> None:
    work = work_at(tmp_path / "deep" / "er" / "x")
    with pytest.raises(error), open_run_directory(work, {"seed": 1}, Silent()):
        (work.folder / "cache").mkdir()
        (work.folder / "checkpoint-5").mkdir()  # cut short
        raise error
    assert names(tmp_path) == []


def test_a_block_that_fails_keeps_what_can_be_resumed_and_only_that_run_goes_on(
    tmp_path: Path,
) -> None:
    output = tmp_path / "deep" / "x"
    with (
        pytest.raises(KeyboardInterrupt),
        open_run_directory(work_at(output), {"seed": 1}, Silent()),
    ):
        save(work_at(output).folder, 5)
        raise KeyboardInterrupt
    with pytest.raises(OutputError, match="continue it with --resume"):
        enter(work_at(output), {"seed": 1})
    with pytest.raises(SettingError, match="had seed 1, this has 2"):
        enter(work_at(output, resume=True), {"seed": 2})
    with (
        pytest.raises(OutputError, match=r"is full.*; then continue with --resume"),
        open_run_directory(work_at(output, resume=True), {"seed": 1}, Silent()),
    ):
        raise OSError(28, "No space left on device")
    with open_run_directory(work_at(output, resume=True), {"seed": 1}, Silent()):
        assert names(work_at(output).folder) == ["checkpoint-5", "settings.json"]
        with publish_output(work_at(output)) as done:
            done.mkdir()
            (done / "weights").write_text("1")
    assert names(tmp_path / "deep") == ["x"]


def enter(work: RunDirectory, settings: dict[str, object]) -> None:
    with open_run_directory(work, settings, Silent()):
        pass


def test_overwriting_starts_again(tmp_path: Path) -> None:
    output = tmp_path / "x"
    save(work_at(output).folder, 5)
    with open_run_directory(work_at(output, overwrite=True), {"seed": 1}, Silent()):
        assert names(work_at(output).folder) == ["settings.json"]


@pytest.mark.parametrize("settings", [None, "", '{"seed": ', "[]", b"\xff"])
def test_a_run_whose_settings_are_lost_starts_from_the_beginning_and_says_so(
    tmp_path: Path, settings: str | bytes | None
) -> None:
    work, heard = work_at(tmp_path / "x", resume=True), Heard()
    save(work.folder, 5)
    if isinstance(settings, str):
        (work.folder / "settings.json").write_text(settings)
    elif settings is not None:
        (work.folder / "settings.json").write_bytes(settings)
    with open_run_directory(work, {"seed": 1}, heard):
        assert names(work.folder) == ["settings.json"]
    assert len(heard.lines) == 1 and "starting from the beginning" in heard.lines[0]


def test_what_appeared_at_the_output_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    work = work_at(tmp_path / "x", overwrite=True)
    with (
        pytest.raises(OutputError, match="then continue with --resume"),
        open_run_directory(work, {}, Silent()),
    ):
        save(work.folder, 5)
        with publish_output(work) as done:
            done.mkdir()
            with staged_folder(tmp_path / "x", overwrite=False):
                pass
            (tmp_path / "x" / "notes").write_text("mine")
    assert (tmp_path / "x" / "notes").read_text() == "mine"
    assert "checkpoint-5" in names(work.folder)
