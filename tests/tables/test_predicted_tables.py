"""Tables through `bertedge predict`: the input's rows, in order, with what the predictor says."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import bertedge
from bertedge.bundle import open_bundle, write_bundle
from bertedge.cli import main
from bertedge.errors import DataError
from bertedge.predictions import (
    Answer,
    Answers,
    Embedding,
    Entities,
    Entity,
    Fill,
    FilledMasks,
    MultiLabelClassification,
    MultipleChoice,
    Prediction,
    Regression,
)
from bertedge.spec import CHOICES
from bertedge.tables import predict_table
from bertedge.tables.predictions import prediction_arrays, prediction_fields
from bertedge.tables.texts import texts_of

pa = pytest.importorskip("pyarrow", reason="pip install 'bertedge[tables]'")
ds = pytest.importorskip("pyarrow.dataset")
pq = pytest.importorskip("pyarrow.parquet")

TINY = Path(__file__).parents[2] / "models" / "tiny"
TASKS = ("text-classification", "token-classification", "intent-slots")
SAID = ["turn the hall lights off", "play some jazz", "", "is it cold, or 日本 🙂?", "stop " * 40]


def run(*arguments: object, task: str = "text-classification") -> Result:
    return CliRunner().invoke(main, ["predict", str(TINY / task), *map(str, arguments)])


def done(*arguments: object, task: str = "text-classification") -> Result:
    result = run(*arguments, task=task)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    return result


def error(*arguments: object, code: int = 1) -> str:
    """The one line of a user's mistake."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    line = result.stderr.splitlines()[-1]
    assert line.startswith("Error: ") and len(line) <= 300
    assert code == 2 or "Traceback" not in result.stderr
    return line


def table(rows: int = 23) -> Any:
    texts = [None if i % 7 == 3 else SAID[i % 5] for i in range(rows)]
    return pa.table({"id": list(range(rows)), "text": pa.array(texts, pa.string())})


def write(path: Path, rows: Any, **options: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(rows, path, **options)
    return path


def read(folder: Path) -> list[dict[str, Any]]:
    """The rows of all shards, as a reader of folders has them."""
    found: list[dict[str, Any]] = ds.dataset(folder).to_table().to_pylist()
    return found


def plain(value: Any) -> Any:
    """A value of a table as `to_dict` has it."""
    if isinstance(value, float):
        return pytest.approx(value, abs=2e-6)
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return {key: plain(each) for key, each in value}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return {key: plain(each) for key, each in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("task", TASKS)
def test_each_row_has_what_the_predictor_says_of_its_text(task: str, tmp_path: Path) -> None:
    source = write(tmp_path / "said.parquet", table(), row_group_size=5)
    result = done("--input", source, "--output", tmp_path / "out", "--rows-per-shard", 6, task=task)
    assert "3 have no text and no prediction (null)" in result.stderr
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["_SUCCESS", *(f"part-{number:05}.parquet" for number in range(4))]
    rows = read(tmp_path / "out")
    assert [(row["id"], row["text"]) for row in rows] == [
        (row["id"], row["text"]) for row in table().to_pylist()
    ]
    with bertedge.load(TINY / task) as model:
        for row in rows:
            own = {name: value for name, value in row.items() if name not in ("id", "text")}
            if row["text"] is None:
                assert set(own.values()) == {None}
            else:
                assert plain(own) == model.predict_one(row["text"]).to_dict()


def test_columns_are_typed() -> None:
    score = np.float32(0.25).item()
    span = Entity(label="room", score=score, start=3, end=7, text="hall")
    answer = Answer(text="hall", start=3, end=7, score=score)
    examples: list[Prediction] = [
        MultiLabelClassification(labels=("a", "b"), scores={"a": score, "b": 0.5}),
        Regression(value=2.5),
        Entities(entities=(span, span), windows=2),
        Answers(answer=answer, answers=(answer,), no_answer=0.5),
        Answers(answer=None, answers=(), no_answer=0.5),
        MultipleChoice(choice=1, chosen="b", score=0.75, scores=(0.25, 0.75)),
    ]
    for example in examples:
        columns = prediction_fields(example)
        arrays = prediction_arrays([None, example, None], columns)
        rows = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(columns)).to_pylist()
        assert plain(rows[1]) == example.to_dict()
        assert set(rows[0].values()) == set(rows[2].values()) == {None}
        assert [array.type for array in arrays] == [field.type for field in columns]
    fill = FilledMasks(masks=((Fill(token="a", token_id=7, score=0.5),),))
    (masks, _) = prediction_arrays([fill], prediction_fields(fill))
    assert masks.to_pylist() == [[[{"token": "a", "token_id": 7, "score": 0.5}]]]
    types = {field.name: str(field.type) for field in prediction_fields(examples[0])}
    assert types["labels"].startswith("list<") and types["scores"].startswith("map<string, float")
    assert str(prediction_fields(examples[1])[0].type) == "float"
    assert "struct<label: string, score: float, start: int32" in str(
        prediction_fields(examples[2])[0].type
    )


def test_embeddings_are_lists_of_one_length() -> None:
    vectors = [Embedding(values=np.array([0.1, i], np.float32)) for i in range(2)]
    columns = prediction_fields(vectors[0], "my_")
    assert [field.name for field in columns] == ["my_embedding", "my_truncated"]
    assert columns[0].type == pa.list_(pa.float32(), 2)
    (column, truncated) = prediction_arrays([vectors[0], None, vectors[1]], columns)
    assert column.type == columns[0].type and truncated.to_pylist() == [False, None, False]
    assert column.to_pylist() == [vectors[0].values.tolist(), None, vectors[1].values.tolist()]


def test_all_tables_give_the_texts_that_predict_reads(tmp_path: Path) -> None:
    texts = ['turn it, "off"', "two\nlines", "k\u00e4lter", "\u65e5\u672c"]
    comma, lines = tmp_path / "said.csv", tmp_path / "said.jsonl"
    quoted = ['"' + text.replace('"', '""') + '"' for text in texts]
    comma.write_text("id,text\n" + "".join(f"0{i},{x}\n" for i, x in enumerate(quoted)))
    rows = [{"id": i, "text": text, "deep": {"x": [i]}} for i, text in enumerate(texts)]
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for source, ids in ((comma, ["00", "01", "02", "03"]), (lines, [0, 1, 2, 3])):
        out = tmp_path / f"out-{source.suffix[1:]}"
        done("--input", source, "--output", f"{out}/")
        said = [json.loads(x) for x in run("--input", source).stdout.splitlines()]
        found = read(out)
        assert [row["text"] for row in found] == [row["text"] for row in said] == texts
        assert [row["id"] for row in found] == ids
        for row, line in zip(found, said, strict=True):
            own = {name: plain(value) for name, value in row.items() if name in line}
            assert own == line
    assert read(tmp_path / "out-jsonl")[2]["deep"] == {"x": [2]}


def test_inputs_of_several_texts_stand_in_columns_or_lists(tmp_path: Path) -> None:
    several = pa.record_batch(
        {
            "context": ["dark", "loud", None, "cold"],
            "endings": [["on", "off"], ["stop"], ["on"], ["on", None]],
        }
    )
    found = texts_of(several, ("context", "endings"), CHOICES, Path("a"), 0)
    assert found == [("dark", "on", "off"), ("loud", "stop"), None, None]
    lone = pa.record_batch({"context": ["dark"], "endings": pa.array([[]], pa.list_(pa.string()))})
    with pytest.raises(DataError, match=r"a, row 8 has 1 texts; this model takes a context"):
        texts_of(lone, ("context", "endings"), CHOICES, Path("a"), 7)
    manifest = open_bundle(TINY / TASKS[0]).manifest
    manifest = replace(manifest, model=replace(manifest.model, pair=True))
    files = [TINY / TASKS[0] / name for name in ("tokenizer.json", "cpu-fp32.onnx")]
    write_bundle(tmp_path / "pairs", manifest, files, overwrite=False)
    rows = pa.table({"text1": ["one", "a", None], "text2": ["two", None, "b"]})
    source = write(tmp_path / "pairs.parquet", rows)
    with bertedge.load(tmp_path / "pairs") as model:
        done = predict_table(model, source, tmp_path / "out")
        own = model.predict_one(("one", "two"))
    assert (done.rows, done.nulls) == (3, 2)
    assert [row["label"] for row in read(tmp_path / "out")] == [own.label, None, None]


def test_a_text_that_the_model_refuses_is_named_by_its_row(tmp_path: Path) -> None:
    source = write(tmp_path / "said.parquet", table())
    with bertedge.load(TINY / TASKS[0]) as model:
        encode = model.model.task.encode

        def refuse(tokenizer: Any, inputs: Any, first: int) -> Any:
            for number, text in enumerate(inputs, first):
                if text == SAID[4] and number > 10:
                    raise DataError(f"text {number} has no mask; put one there")
            return encode(tokenizer, inputs, first)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model.model.task, "encode", refuse)
            with pytest.raises(DataError, match=r"parquet, row 15: the text has no mask"):
                predict_table(model, source, tmp_path / "out")


def test_a_missing_text_in_a_table_is_null(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,on\n2,\n")
    (tmp_path / "a.jsonl").write_text('{"text": "on"}\n{"text": null}\n{"id": 1.5}\n')
    for name, nulls in (("a.csv", 1), ("a.jsonl", 2)):
        out = tmp_path / name.replace(".", "-")
        done("--input", tmp_path / name, "--output", f"{out}/")
        assert [row["label"] is None for row in read(out)] == [False] + [True] * nulls


def test_columns_of_every_kind_are_kept_as_they_are(tmp_path: Path) -> None:
    rows = table()
    kept = {
        "large": pa.array([str(i) for i in range(23)], pa.large_string()),
        "word": pa.array(["a", None, "b"] * 7 + ["a", "b"]).dictionary_encode(),
        "deep": pa.array([{"x": [i, None], "y": {"z": 0.5}} for i in range(23)]),
        "when": pa.array(range(23), pa.timestamp("us", "UTC")),
        "label.gold": pa.array([b"x"] * 23),
    }
    rows = pa.table({**{name: rows[name] for name in rows.column_names}, **kept})
    rows = rows.set_column(1, "text", rows["text"].cast(pa.large_string()).dictionary_encode())
    source = write(tmp_path / "said.parquet", rows, row_group_size=4)
    done("--input", source, "--output", tmp_path / "out", "--rows-per-shard", 10, "--chunk", 3)
    found = ds.dataset(tmp_path / "out").to_table().select(rows.column_names)
    assert found.to_pylist() == rows.to_pylist()
    assert found.schema.types == pq.read_schema(source).types


def test_kept_columns_are_chosen_and_predicted_ones_renamed(tmp_path: Path) -> None:
    rows = table().append_column("label", pa.array(["x"] * 23))
    source = write(tmp_path / "said.parquet", rows)
    assert "add --prefix predicted_" in error("--input", source, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    done("--input", source, "--output", tmp_path / "out", "--prefix", "predicted_")
    row = read(tmp_path / "out")[0]
    assert row["label"] == "x" and row["predicted_label"] and "score" not in row
    done("--input", source, "--output", tmp_path / "some", "--keep", "id")
    assert [*read(tmp_path / "some")[0]] == ["id", "label", "score", "scores", "truncated"]
    refused = error("--input", source, "--output", tmp_path / "no", "--keep", "nowhere")
    assert "no column 'nowhere'" in refused and "'id', 'text'" in refused


def test_a_folder_or_a_pattern_is_one_table_in_the_order_of_names(tmp_path: Path) -> None:
    for number in (2, 0, 1):
        write(tmp_path / "in" / f"{number}.parquet", table().slice(number * 7, 7))
    (tmp_path / "in" / "_SUCCESS").write_text("")
    (tmp_path / "in" / "notes.md").write_text("mine")
    done("--input", tmp_path / "in", "--output", tmp_path / "a", "--rows-per-shard", 10)
    done("--input", tmp_path / "in" / "[0-9].parq*", "--output", tmp_path / "b")
    assert [row["id"] for row in read(tmp_path / "a")] == list(range(21))
    assert read(tmp_path / "a") == read(tmp_path / "b")
    said = json.loads(pq.read_metadata(tmp_path / "a" / "part-00001.parquet").metadata[b"bertedge"])
    assert said["pieces"] == [
        {"file": "1.parquet", "first_row": 3, "rows": 4},
        {"file": "2.parquet", "first_row": 0, "rows": 6},
    ]
    assert said["origin"]["bundle"] == open_bundle(TINY / TASKS[0]).manifest.manifest_sha256


def test_an_empty_table_gives_an_empty_shard(tmp_path: Path) -> None:
    source = write(tmp_path / "none.parquet", table(0))
    done("--input", source, "--output", tmp_path / "out")
    assert read(tmp_path / "out") == []
    assert "label" in ds.dataset(tmp_path / "out").schema.names


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_same_command_predicts_what_is_missing_and_no_more(tmp_path: Path) -> None:
    source = write(tmp_path / "said.parquet", table(60), row_group_size=9)
    command = ("--input", source, "--output", tmp_path / "out", "--rows-per-shard", 10)
    done(*command)
    whole = snapshot(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert "60 were there already" in done(*command).stderr
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == times
    for name in ("part-00001.parquet", "part-00004.parquet", "_SUCCESS"):
        (tmp_path / "out" / name).unlink()
    assert "40 were there already" in done(*command).stderr
    assert snapshot(tmp_path / "out") == whole


def test_a_killed_run_goes_on_and_ends_in_the_same_files(tmp_path: Path) -> None:
    source = write(tmp_path / "said.parquet", table(6_000), row_group_size=700)
    flags = ["--rows-per-shard", "250", "--threads", "1"]
    done("--input", source, "--output", tmp_path / "whole", *flags)
    out = tmp_path / "out"
    program = [sys.executable, "-m", "bertedge", "predict", str(TINY / TASKS[0]), *flags]
    program += ["--input", str(source), "--output", str(out)]
    kills = 0
    for shards in (2, 7, 15):
        process = subprocess.Popen(program, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(out.glob("part-*"))) < shards:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        assert not (out / "_SUCCESS").exists() or process.returncode == 0
    assert kills >= 2
    subprocess.run(program, check=True, stderr=subprocess.DEVNULL)
    assert snapshot(out) == snapshot(tmp_path / "whole")
    assert [row["id"] for row in read(out)] == list(range(6_000))


def test_ctrl_c_leaves_whole_shards_and_says_how_to_go_on(tmp_path: Path) -> None:
    source = write(tmp_path / "said.parquet", table(20_000))
    out = tmp_path / "out"
    program = [sys.executable, "-m", "bertedge", "predict", str(TINY / TASKS[0])]
    program += ["--input", str(source), "--output", str(out), "--rows-per-shard", "500"]
    process = subprocess.Popen(program, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and len(list(out.glob("part-*"))) < 2:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "of 20,000 rows are in" in said and "the same command goes on there" in said
    assert "Traceback" not in said
    assert all(path.name.startswith("part-") for path in out.iterdir())
    assert [row["id"] for row in read(out)] == list(range(len(read(out))))


def test_shards_of_something_else_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "said.parquet", table())
    command = ("--input", source, "--output", tmp_path / "out", "--rows-per-shard", 10)
    done(*command)
    before = snapshot(tmp_path / "out")
    manifest = open_bundle(TINY / TASKS[0]).manifest
    files = [TINY / TASKS[0] / name for name in ("tokenizer.json", "cpu-fp32.onnx")]
    write_bundle(tmp_path / "b", replace(manifest, created="2000"), files, overwrite=False)
    other = CliRunner().invoke(main, ["predict", str(tmp_path / "b"), *map(str, command)])
    assert other.exit_code == 1 and "predicted by another bundle" in other.stderr
    assert "predicted with keep all, not id" in error(*command, "--keep", "id")
    assert "predicted with rows_per_shard 10, not 11" in error(*command[:-1], 11)
    write(source, table().slice(1))
    assert "from another input" in error(*command)
    assert snapshot(tmp_path / "out") == before
    done(*command, "--overwrite")
    assert len(read(tmp_path / "out")) == 22
    (tmp_path / "out" / "part-00001.parquet").write_bytes(b"PAR1 none")
    assert "part-00001.parquet is no file of bertedge's, or damaged" in error(*command)
    (tmp_path / "out" / "part-00001.parquet").unlink()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    for flags in ((), ("--overwrite",)):
        assert "holds 'notes.txt'" in error(*command, *flags)
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_what_cannot_be_read_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    good = write(tmp_path / "in" / "a.parquet", table())
    (tmp_path / "bad.parquet").write_bytes(b"no table")
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    shutil.copy(good, tmp_path / "mixed" / "a.parquet")
    (tmp_path / "mixed" / "b.csv").write_text("text\non\n")
    write(tmp_path / "types" / "a.parquet", table())
    other = table().set_column(0, "id", pa.array([str(i) for i in range(23)]))
    write(tmp_path / "types" / "b.parquet", other)
    write(tmp_path / "lacks" / "a.parquet", table())
    write(tmp_path / "lacks" / "b.parquet", table().select(["text"]))
    write(tmp_path / "number.parquet", pa.table({"text": [1, 2]}))
    (tmp_path / "kinds.jsonl").write_text('{"text": "on", "id": 1}\n{"text": "on", "id": {}}\n')
    (tmp_path / "wide.csv").write_text("id,text\n1,on\n2,on,off\n")
    for name, message in {
        "nowhere.parquet": "does not exist",
        "bad.parquet": "cannot be read as Parquet",
        "empty": "holds no table",
        "in/*.csv": "is the name of no file",
        "mixed": "files of several kinds",
        "types": "b.parquet has string in column 'id', and a.parquet has int64",
        "lacks": "b.parquet has no column 'id'",
        "number.parquet": "column 'text' holds int, no text",
        "kinds.jsonl": "values of several kinds",
        "wide.csv": "wide.csv:3: the row has 3 columns",
    }.items():
        found = error("--input", tmp_path / name, "--output", f"{tmp_path / 'out'}/")
        assert message in found
        assert not (tmp_path / "out").exists()
    assert "names no column" not in error("--input", good, "--output", "x/", "--text-column", "no")


def test_flags_say_which_of_the_two_is_meant(tmp_path: Path) -> None:
    source = write(tmp_path / "said.parquet", table())
    assert "a table needs --output DIR" in error("--input", source, code=2)
    assert "is the name of a file" in error("--input", source, "--output", tmp_path / "x.jsonl")
    assert "--explain writes JSON lines" in error(
        "--input", source, "--output", tmp_path / "x", "--explain", code=2
    )
    assert "--keep is for Parquet" in error("on", "--keep", "id", code=2)
    assert "Parquet is for --input" in error("on", "--output", "x/", code=2)
    inside = error("--input", source.parent, "--output", tmp_path / "x")
    assert "lies in the input" in inside
    assert not (tmp_path / "x").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_a_full_disk_is_one_line_and_leaves_whole_shards(tmp_path: Path) -> None:
    import resource

    source = write(tmp_path / "said.parquet", table(3000))
    out = tmp_path / "out"
    program = [sys.executable, "-m", "bertedge", "predict", str(TINY / TASKS[0])]
    program += ["--input", str(source), "--output", str(out), "--rows-per-shard", "1000"]
    found = subprocess.run(
        program,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert found.returncode == 1
    assert "part-00000.parquet could not be written: a file would be larger" in found.stderr
    assert "Traceback" not in found.stderr and "Exception ignored" not in found.stderr
    assert not out.exists() or list(out.iterdir()) == []
