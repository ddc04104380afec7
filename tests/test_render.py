"""The README's figures and the picture follow the recorded benches, or the check fails."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("vl_convert", reason="needs the bench extra")

from jinja2.exceptions import UndefinedError

ROOT = Path(__file__).parent.parent
ENDS = ("begin", "end")
ORIGIN = {
    "created": "2031-02-03T04:05:06+00:00",
    "cpu": "AMD",
    "cores": 2,
    "versions": {"bertedge": "0.1.0"},
}
"""What every record says of where it was made."""


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def render(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/render.py on a copy of one recorded bench and of a document that shows it."""
    module = load("render")
    record = ROOT / "tests" / "bench" / "records" / "bench.json"
    (tmp_path / module.BENCHES[0][1]).write_bytes(record.read_bytes())
    document = tmp_path / "README.md"
    names = ("picture", "headline", "bench")
    document.write_text("".join(f"<!-- measured:{end} {n} -->\n" for n in names for end in ENDS))
    for name, value in (("ROOT", tmp_path), ("BENCHMARKS", tmp_path), ("DOCUMENTS", (document,))):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr("sys.argv", ["render.py"])
    module.main()
    monkeypatch.setattr("sys.argv", ["render.py", "--check"])
    return module


def test_what_was_rendered_passes_the_check(render: ModuleType, tmp_path: Path):
    render.main()
    text = (tmp_path / "README.md").read_text()
    assert "| **cpu-int8** | 0.966 ms, **6.6x** |" in text
    assert "bench-dark.svg" in text and "7.96 times as fast" in text
    for name in ("bench.svg", "bench-dark.svg"):
        drawn = (tmp_path / name).read_text()
        assert "cpu-int8" in drawn and "var(" not in drawn


def test_each_recorded_bench_has_its_table_its_conditions_and_its_command(
    render: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first, second = (tmp_path / file for _, file, _ in render.BENCHES)
    assert "| BERT-base |" not in (tmp_path / "README.md").read_text()
    data = json.loads(first.read_text())
    data["command"] = "bertedge bench base --baseline runs/base --output benchmarks/again.json"
    data["environment"]["created"] = "2031-02-03T04:05:06+00:00"
    data["comparison"]["parameters"] = 109_000_000
    data["engines"][1]["problem"] = "round 1, 1x16: broke"
    for engine in data["engines"]:
        engine["on_texts"] = None
    second.write_text(json.dumps(data))
    with pytest.raises(SystemExit, match=r"README.md, bench.svg, bench-dark.svg differ"):
        render.main()
    monkeypatch.setattr("sys.argv", ["render.py"])
    render.main()
    text = (tmp_path / "README.md").read_text()
    one, _, other = text.partition("| BERT-base |")
    assert "| MiniLM |" in one and "million parameters" in one
    assert "109 million parameters" in other and "2031-02-03, " in other
    assert "$ bertedge bench base --baseline runs/base" in other
    assert "torch-bf16: round 1, 1x16: broke." in other and "| torch-bf16 |" not in other
    assert "| 97.8% |" not in other  # of texts that it has none of
    svg = (tmp_path / "bench.svg").read_text()
    assert svg.count("MiniLM, ") and svg.count("BERT-base, ")


def test_a_bench_that_is_not_reliable_carries_the_mark_beside_its_table(
    render: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert "not reliable" not in (tmp_path / "README.md").read_text()
    path = tmp_path / render.BENCHES[0][1]
    data = json.loads(path.read_text())
    data["environment"]["load"] = 9.5
    path.write_text(json.dumps(data))
    monkeypatch.setattr("sys.argv", ["render.py"])
    render.main()
    mark, _, rest = (tmp_path / "README.md").read_text().partition("\n\n| MiniLM |")
    assert mark.splitlines()[-1].startswith("**MiniLM: not reliable, the load before was 9.50")
    assert "\nNot reliable (" in rest
    assert "(not reliable)" in (tmp_path / "bench.svg").read_text()


def test_the_note_of_a_record_stands_beside_its_table(render: ModuleType):
    record = {"program": "p", "created": "2026-01-02T03", "cpu": "c", "cores": 2, "versions": {}}
    record["sets"] = {}
    assert "busy" not in render.fill("home-intents", record)
    assert render.fill("home-intents", {**record, "note": "Measured on a busy machine."}).endswith(
        "**Measured on a busy machine.**"
    )


def test_a_record_that_lacks_a_figure_of_its_table_is_an_error(render: ModuleType):
    record = {"program": "p", "created": "2026-01-02T03", "cpu": "c", "cores": 2, "versions": {}}
    with pytest.raises(UndefinedError, match="layers"):
        render.fill("distill", {**record, "sets": {}})


def test_a_region_without_an_end_is_an_error(render: ModuleType, tmp_path: Path):
    with pytest.raises(SystemExit, match="a region has no end"):
        render.render("<!-- measured:begin bench -->\n", tmp_path / "README.md")


def test_the_headline_has_one_row_a_kind_of_engine_and_its_conditions(
    render: ModuleType, tmp_path: Path
):
    text = (tmp_path / "README.md").read_text()
    head = text.partition("begin headline -->\n")[2].partition("\n<!--")[0].splitlines()
    assert head[0].startswith("| engine | one text |")
    assert [row.split(" |")[0] for row in head[2:5]] == [
        "| torch-fp32",
        "| torch-bf16",
        "| **cpu-int8**",
    ]
    assert head[-1].startswith("MiniLM, one text at a time, ")
    assert "2 cores" in head[-1]


def test_a_page_of_docs_has_the_same_figures_and_its_own_way_to_the_picture(
    render: ModuleType, tmp_path: Path
):
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "results.md"
    text = render.render("<!-- measured:begin picture -->\n<!-- measured:end picture -->\n", page)
    assert 'src="../bench.svg"' in text  # beside the records, which the fixture has at the root


def test_another_figure_in_the_record_fails_the_check(render: ModuleType, tmp_path: Path):
    path = tmp_path / render.BENCHES[0][1]
    data = json.loads(path.read_text())
    for result in data["results"]:
        result["latency"]["p50_ms"] *= 2
    path.write_text(json.dumps(data))
    with pytest.raises(SystemExit, match=r"README.md, bench.svg, bench-dark.svg differ"):
        render.main()


@pytest.mark.parametrize("name", ["README.md", "bench.svg", "bench-dark.svg"])
def test_a_document_or_picture_that_was_changed_fails_the_check(
    render: ModuleType, tmp_path: Path, name: str
):
    path = tmp_path / name
    path.write_text(path.read_text().replace("cpu-int8", "cpu-int9"))
    with pytest.raises(SystemExit, match=f"{name} differ"):
        render.main()


def test_every_field_of_a_record_is_in_the_schema():
    schema = load("schema")
    text = "\n".join(schema.section(kind) for kind in schema.reachable(schema.Report))
    for line in (
        "| `p90_ms` | number |",
        "| `speedup` | [Ratio](#ratio) or null | Over the engine's baseline;",
        "| `rounds_ms` | list of list of number | Every run that was timed, by round. |",
        "| `versions` | object of string |",
        "| `faster` |",
    ):
        assert line in text


def test_the_table_of_tasks_fits_a_page():
    row = {
        "task": "token-classification",
        "problem_type": None,
        "metric": "entity_f1",
        "checkpoint": 0.85191,
        "int8": 0.84856,
        "agreement": 0.997,
        "checkpoint_p50_ms": 12.3456,
        "int8_p50_ms": 1.2345,
        "checkpoint_bytes": 90_900_000,
        "bundle_bytes": 23_900_000,
        "training_seconds": 222,
        "training_cores": 2,
    }
    values = row | {"problem_type": "multi_label_classification", "metric": "micro_f1"}
    values["training_seconds"] = None
    record = {
        **ORIGIN,
        "program": "benchmarks/tasks.py",
        "sets": {"conll2003_en": row, "goemotions": values},
    }
    text = load("render").fill("tasks", record)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[2:] == [
        "| conll2003_en | token | entity f1 | 0.8519 → 0.8486 | 99.70% | 12.35 → 1.23 | 91 → 24 "
        "| 222 s (2) |",
        "| goemotions | multi label | micro f1 | 0.8519 → 0.8486 | 99.70% | 12.35 → 1.23 "
        "| 91 → 24 | - |",
    ]
    assert max(map(len, rows)) <= 100
    assert "2031-02-03" in text


def test_the_server_is_beside_the_others_at_its_highest_rate(render: ModuleType):
    at = {"p50_ms": 4.321, "p99_ms": 48.76}
    own = {
        "settings": "bertedge serve",
        "versions": {"bertedge": "0.1.0"},
        "alone": {"p50_ms": 1.234},
        "in_process": {"p50_ms": 0.789},
        "closed_loop_rate": 1500.4,
        "rate": 1234.5,
        "at_rate": at,
        "memory_mib": 123,
    }
    rival = own | {"settings": "FastAPI", "rate": 82.3, "versions": {"fastapi": "1.2"}}
    rival["versions"]["transformers"] = "4.5"
    none = rival | {"rate": 0.0, "at_rate": None}
    record = {
        **ORIGIN,
        "program": "benchmarks/serve_load.py",
        "server_cores": [0],
        "generator_cores": [1],
        "limit_ms": 50.0,
        "step_s": 10.0,
        "sets": {
            "short": {"bertedge": own, "pipeline": rival},
            "mixed": {"bertedge": own, "pipeline": none},
        },
    }
    lines = render.fill("serve-load", record).splitlines()
    pipeline = [line for line in lines if line.startswith("| pipeline ")]
    assert pipeline == [
        "| pipeline | 82/s | 4.32, 48.8 ms | 1.23 ms | 1,500/s | 123 MiB | 15.0x |",
        "| pipeline | none | - | 1.23 ms | 1,500/s | 123 MiB | - |",
    ]
    assert "One text at a time over HTTP is 1.23 ms, of the predictor in the same process" in (
        "\n".join(lines)
    )
    assert "- pipeline: FastAPI (fastapi 1.2, transformers 4.5)." in lines
    assert "Every server on core 0, the load on core 1" in lines[-1]


def test_what_a_server_did_not_stand_is_marked(render: ModuleType):
    record = {
        **ORIGIN,
        "program": "benchmarks/serve_stress.py",
        "server_cores": [0],
        "generator_cores": [1],
        "parts": {
            "overload": {
                "rate": 3000.4,
                "seconds": 60.0,
                "statuses": {"200": 50_000, "429": 130_000},
                "admitted": {"p99_ms": 812.3},
                "refused": {"p99_ms": 12.34},
                "max_queue_tokens": 16_384,
                "bound_ms": 700.2,
                "answers_before": {"p99": 612, "bound": 640},
                "memory_mib": 150.1,
                "ok": {"every request is answered": True, "p99 within the bound": False},
            },
            "wrk": {"skipped": "wrk is not installed", "ok": {}},
        },
    }
    lines = render.fill("serve-stress", record).splitlines()
    assert lines[2] == (
        "| 3,000 requests/s, three times the knee, for 60 s; `--max-queue 16384` "
        "| 50,000 answered (p99 812 ms, bound 700 ms; p99 of the answers that came before a "
        "request's own 612, bound 640), 130,000 refused (p99 12.3 ms); 150 MiB "
        "| every request is answered; **not: p99 within the bound** |"
    )
    assert lines[3] == "| `wrk` | wrk is not installed |  |"


def test_every_cell_of_an_architecture_is_a_figure_or_a_reason(render: ModuleType):
    measured = {
        "parity": 1.2e-6, "rms": 0.01234, "agreement": 0.9766, "attentions": 6, "layers": 6,
        "optimum": "exports and fuses",
    }  # fmt: skip
    timed = {
        size: {"int8": {"ms": ms, "times_of_ours": 1}, "torch-fp32": {"ms": 9, "times_of_ours": 6}}
        for size, ms in (("1x16", 1.234), ("1x128", 5))
    }
    sizes = {"num_hidden_layers": 6, "hidden_size": 192}
    record = {
        **ORIGIN,
        "program": "benchmarks/architectures.py",
        "sizes": sizes,
        "timed_sizes": sizes | {"hidden_size": 384},
        "sets": {
            "bert": {"text-classification": measured | {"times": timed}, "fill-mask": measured},
            "x": {
                "text-classification": {"times": timed},
                "fill-mask": {"problem": "no such head", "optimum": "no"},
            },
        },
    }
    lines = render.fill("architectures", record).splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    assert rows == [
        "| `bert` | text classification | 1.2e-06 | 0.012 | 97.7% | 6 of 6 "
        "| 1.23 ms, 6.0x; 5 ms, 6.0x | exports and fuses |",
        "| `bert` | fill mask | 1.2e-06 | 0.012 | 97.7% | 6 of 6 "
        "| as text classification: the encoder is the same | exports and fuses |",
        "| `x` | text classification | not measured | not measured | not measured | not measured "
        "| 1.23 ms, 6.0x; 5 ms, 6.0x | not tried |",
        "| `x` | fill mask | no such head | - | - | - "
        "| as text classification: the encoder is the same | no |",
    ]


def test_an_exports_time_is_beside_its_bar(render: ModuleType):
    least = {"direct": 30.04, "least": 25.0, "ratio": 1.201}
    record = {
        **ORIGIN,
        "program": "benchmarks/export_time.py",
        "earlier_tree": True,
        "sets": {
            "minilm": {
                "bar": 0.5, "rounds": 5,
                "processor": {"direct": 9.0, "optimum": 18.0, "ratio": 0.5},
                "wall": {"direct": 8.0, "optimum": 20.0, "ratio": 0.4},
            },
            "bert-base": {"bar": 1.2, "rounds": 5, "processor": least, "wall": least},
        },
    }  # fmt: skip
    lines = render.fill("export-time", record).splitlines()
    assert "| MiniLM | wall | 8.0 s | Optimum, an earlier state: 20.0 s | 0.40 | 0.5 |" in lines
    assert (
        "| BERT-base | processor | 30.0 s | weights read and written, parity: 25.0 s | 1.20 | 1.2 |"
        in lines
    )


def test_finetune_shows_the_mean_of_seeds_and_how_far_it_is_ahead_of_each_plain_script(
    render: ModuleType,
):
    def run(value: float, seconds: int) -> dict[str, object]:
        return {"value": value, "seconds": seconds}

    def ours(value: float, few_shot: str | None = None) -> dict[str, object]:
        chosen = {"epochs": 8, "batch_size": 16, "learning_rate": 1e-4, "few_shot": few_shot}
        return run(value, 50) | chosen

    shared = {"metric": "answer_f1", "base": "MiniLM"}
    record = ORIGIN | {
        "program": "benchmarks/finetune_bars.py",
        "sets": {
            "a-b-300-42": shared | {"ours": ours(0.8), "plain": run(0.7, 100)},
            "c-42": shared | {"ours": ours(0.5, "head"), "plain": run(0.51, 50)},
            "a-b-300-43": shared | {"ours": ours(0.82), "plain": run(0.72, 100)},
        },
    }
    record["sets"]["c-42"]["best_rate"] = run(0.52, 50)
    lines = render.fill("finetune", record).splitlines()
    assert lines[2:4] == [
        "| a-b-300 | answer f1 | 2 | 0.810 in 50 s | 8 epochs of 16, 0.0001 "
        "| 0.710 (+10.0) | not measured | not measured |",
        "| c | answer f1 | 1 | 0.500 in 50 s | head | 0.510 (-1.0) | not measured | 0.520 (-2.0) |",
    ]
    assert (
        "Beside the plain script, as many epochs: **+4.5 points** on the mean of 2 rows "
        "of this table, -1.0 at the least, in 0.75 times its time." in lines
    )
    assert not [line for line in lines if "as much time:" in line]


def test_forgetting_shows_old_and_new_labels_by_how_much_is_replayed(render: ModuleType):
    def run(old: float, new: float) -> dict[str, float]:
        return {"seconds": 10.0, "old": old, "new": new}

    row = {"old": {"seconds": 9.0, "old": 0.95}, "all": run(0.9, 0.91), "replay 0": run(0.1, 0.94)}
    sets = {"a": row | {"replay 0.5": run(0.88, 0.9)}, "b": row | {"replay 0.5": run(0.8, 0.7)}}
    record = ORIGIN | {"program": "benchmarks/forgetting.py", "sets": sets}
    lines = render.fill("forgetting", record).splitlines()
    assert lines[:4] == [
        "| set | old labels, before | all rows at once: old labels, new ones "
        "| share 0: old, new | share 0.5: old, new |",
        "| --- | --- | --- | --- | --- |",
        "| a | 0.950 | 0.900, 0.910 | 0.100, 0.940 | 0.880, 0.900 |",
        "| b | 0.950 | 0.900, 0.910 | 0.100, 0.940 | 0.800, 0.700 |",
    ]


def test_few_examples_show_the_mean_of_draws_and_how_far_finetune_is_ahead(render: ModuleType):
    def run(value: float, seconds: int) -> dict[str, object]:
        return {"value": value, "seconds": seconds}

    ours = [run(0.8, 40) | {"few_shot": "contrastive"}, run(0.9, 60) | {"few_shot": "head"}]
    record = ORIGIN | {
        "program": "benchmarks/few_shot.py",
        "sets": {
            "a-b-16-0": {"ours": ours[0], "plain": run(0.6, 10), "setfit": run(0.8, 30)},
            "a-b-16-1": {"ours": ours[1], "plain": run(0.7, 20), "setfit": run(0.82, 50)},
            "c-8-0": {"ours": ours[1], "plain": run(0.95, 20)},
        },
    }
    lines = render.fill("few_shot", record).splitlines()
    assert lines[0] == ("| set | rows a label | draws | finetune | taken | plain script | setfit |")
    assert lines[2:4] == [
        "| a-b | 16 | 2 | 0.850 in 50 s | contrastive, head "
        "| 0.650 (+20.0) in 15 s | 0.810 (+4.0) in 40 s |",
        "| c | 8 | 1 | 0.900 in 60 s | head | 0.950 (-5.0) in 20 s | not measured |",
    ]
    ahead = [line for line in lines if line.startswith("Beside")]
    assert ahead == [
        "Beside the plain script: **+7.5 points** on the mean of 2 sets, -5.0 at the least.",
        "Beside setfit: **+4.0 points** on the mean of 1 set, +4.0 at the least.",
    ]


def test_a_technique_that_gains_nothing_is_said_not_to_pay(render: ModuleType):
    def run(value: float, seconds: int = 100, memory: int = 1000) -> dict[str, object]:
        more = {"processor_seconds": seconds, "peak_mib": memory, "trained_parameters": 7}
        return {"metric": "accuracy", "value": value, **more}

    plain = {"flags": "", "a-b-42": run(0.8), "c-42": run(0.6), "a-b-43": run(0.7)}
    record = ORIGIN | {
        "program": "benchmarks/techniques.py",
        "rows_of_a_set": 1000,
        "sets": {
            "plain defaults": plain,
            "better": {"flags": "--better 1", "a-b-42": run(0.82), "c-42": run(0.6)},
            "seeds": {"flags": "--seeds", "a-b-42": run(0.82), "a-b-43": run(0.67), "c-42": None},
            "level": {"flags": "--level", "a-b-42": run(0.8, seconds=150), "c-42": None},
            "cheaper": {"flags": "--cheaper", "a-b-42": run(0.797, 60, 500)},
            "refused": {"flags": "--refused", "a-b-42": None},
            "chance": {"flags": "--more {unlabelled}", "a-b-42": run(0.808)},
            "one run": {"flags": "--one", "a-b-42": run(0.811)},
        },
    }
    lines = render.fill("techniques", record).splitlines()
    assert lines[0].startswith("| technique | a-b, accuracy | c, accuracy | on the mean |")
    assert lines[2:8] == [
        "| better `--better 1` | 0.820 (+2.0) | 0.600 (+0.0) | +1.0: pays | 1.00x | 1.00x | 7 |",
        "| seeds `--seeds` | 0.745 (-0.5) | refused | -0.5: does not pay | 1.00x | 1.00x | 7 |",
        "| level `--level` | 0.800 (+0.0) | refused | +0.0: does not pay | 1.50x | 1.00x | 7 |",
        "| cheaper `--cheaper` | 0.797 (-0.3) | not measured "
        "| -0.3: saves time, saves memory | 0.60x | 0.50x | 7 |",
        "| chance `--more FILE` | 0.808 (+0.8) | not measured "
        "| +0.8: does not pay | 1.00x | 1.00x | 7 |",
        "| one run `--one` | 0.811 (+1.1) | not measured | +1.1: pays | 1.00x | 1.00x | 7 |",
    ]
    assert (
        "The plain defaults: a-b 0.750 in 100 s (2 seeds), c 0.600 in 100 s (1 seed);" in lines[-1]
    )
