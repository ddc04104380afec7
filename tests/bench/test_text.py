from dataclasses import replace
from pathlib import Path

from bertedge.bench import tables
from bertedge.bench.discovery import LeftOut
from bertedge.bench.gate import judge, parse_gate
from bertedge.bench.reading import read_report
from bertedge.bench.report import Agreement, EngineReport, Labelled, Load, Report, Result
from bertedge.bench.statistics import Difference, Ratio, summarize
from bertedge.bench.summary import best_variant, notes, summary
from bertedge.bench.tables import Row, Table
from bertedge.bench.text import layout, render
from bertedge.bench.wording import number
from bertedge.bundle import Accuracy

MIB = 2**20
RECORDED = read_report(Path(__file__).parent / "records" / "bench.json")


def engine(name: str, **changes) -> EngineReport:
    recorded = RECORDED.by_name["cpu-int8"]
    assert recorded.cold_start
    report = replace(
        recorded,
        name=name,
        bytes_on_disk=20 * MIB,
        installed_bytes=100 * MIB,
        peak_memory_bytes=100 * MIB,
        cold_start=replace(recorded.cold_start, total_s=0.4),
        on_texts=None,
        on_random_tokens=Agreement(share=0.96875, labels=32),
    )
    return replace(report, **changes)


def result(name: str, p50_ms: float, ratio: tuple[float, float, float] | None) -> Result:
    recorded, speedup, difference = RECORDED.results[0], None, None
    if ratio:
        low, median, high = ratio
        speedup = Ratio(median=median, low=low, high=high, confidence=0.95, rounds=10)
        difference = Difference.FASTER if low > 1 else Difference.NONE
    return replace(
        recorded,
        engine=name,
        workload="8x128",
        latency=summarize([p50_ms] * 10),
        texts_per_second=8000 / p50_ms,
        speedup=speedup,
        difference=difference,
        agreement=Agreement(share=0.96875, labels=32) if ratio else None,
        warm_up_s=0.5,
        settled=True,
        rounds=(0,),
        rounds_ms=((p50_ms,) * 10,),
    )


START = replace(RECORDED.engines[0].cold_starts[0], total_s=4, process_s=0.1, imports_s=3)
TORCH = engine(
    "torch-fp32",
    kind="torch",
    baseline=None,
    bytes_on_disk=80 * MIB,
    peak_memory_bytes=500 * MIB,
    cold_start=replace(START, load_s=0.8, first_run_s=0.1),
    on_random_tokens=None,
)


def report(*engines: EngineReport, results: tuple[Result, ...], **changes) -> Report:
    cpu = "A CPU with a name that is as long as the names of CPUs are, at 2.00 GHz"
    whole = replace(
        RECORDED,
        environment=replace(RECORDED.environment, cpu=cpu, cores=2, host_cores=2, load=0.5),
        workloads=(Load(name="8x128", batch=8, length=128, texts=8, repeats=20),),
        engines=engines,
        results=results,
        noise=(),
        cpu_use=(),
    )
    return replace(whole, **changes)


INT8 = result("cpu-int8", 100, (6.9, 7.15, 7.4))
BASE = result("torch-fp32", 715, None)


def row(text: str, name: str) -> list[str]:
    """The cells of an engine's first row."""
    return next(line.split() for line in text.splitlines() if line.startswith(f"{name} "))


def test_one_table_shows_every_engine_and_marks_the_fastest():
    text = render(report(TORCH, engine("cpu-int8"), results=(BASE, INT8)))
    assert max(len(line) for line in text.splitlines()) <= 100
    assert row(text, "cpu-int8") == ["cpu-int8", "100*7.2x", "96.9%", "0.40", "100", "20.0"]
    assert row(text, "torch-fp32") == ["torch-fp32", "715", "4.00", "500", "80.0"]


def test_more_workloads_than_fit_make_a_second_table():
    loads = [Load(name=f"{n}x128", batch=n, length=128, texts=n, repeats=20) for n in range(1, 8)]
    results = [replace(each, workload=load.name) for load in loads for each in (BASE, INT8)]
    whole = report(TORCH, engine("cpu-int8"), results=tuple(results), workloads=tuple(loads))
    text = render(whole)
    assert max(len(line) for line in text.splitlines()) <= 100
    assert text.count("100*7.2x") == 7


def test_details_show_percentiles_intervals_and_the_parts_of_a_start():
    whole = report(TORCH, engine("cpu-int8"), results=(BASE, INT8))
    text = render(whole, details=True)
    assert len(text) > len(render(whole))
    assert max(len(line) for line in text.splitlines()) <= 100
    rows = [line.split() for line in text.splitlines() if line.startswith("cpu-int8")]
    assert rows[1][1:] == [
        "100", "100", "100", "100", "100", "100", "80.0", "7.15x", "(6.90-7.40)", "faster", "96.9%",
        "0.5", "s",
    ]  # fmt: skip
    rows = [line.split() for line in text.splitlines() if line.startswith("torch-fp32")]
    assert rows[2][1:] == ["4.00", "0.10", "3.00", "0.80", "0.10"]
    assert rows[3][1:5] == ["4.00", "80.0", "100", "500"]  # disk, installed, peak


def test_what_no_engine_has_has_no_column():
    def head(*engines: EngineReport) -> list[str]:
        return tables.engines(report(*engines, results=(BASE, INT8))).head

    bare = replace(TORCH, batching="", idle_cpu=None)
    assert not {"batches", "J a text", "idle CPU", "same entity lists"} & set(head(bare))
    assert {"batches", "J a text"} <= set(
        head(bare, replace(bare, batching="x", joules_per_text=1))
    )


def test_columns_beyond_the_width_make_another_block_with_the_names_again():
    cells = [f"{i}" * 11 for i in range(12)]
    rows = [Row(cells=["one", *cells]), Row(cells=["two", *cells])]
    head = ["engine", *(f"column number {i}" for i in range(12))]
    lines = layout(Table(title="wide", head=head, rows=rows, note="note"))
    assert lines[0] == "wide" and lines[-1] == "note"
    assert max(map(len, lines)) <= 100
    assert sum(line.startswith("two ") for line in lines) == 2
    assert [cell for line in lines if line.startswith("one ") for cell in line.split()[1:]] == [
        *cells
    ]


def test_three_sentences_say_what_it_comes_to():
    accuracy = Accuracy(
        data="dev.csv",
        sha256="",
        rows=1200,
        metric="accuracy",
        checkpoint=0.8861,
        variant=0.8848,
        agreement=0.985,
    )
    int8 = engine("cpu-int8", at_export=accuracy)
    assert summary(report(TORCH, int8, results=(BASE, INT8))) == [
        "cpu-int8 against torch-fp32: 7.15 times as fast (6.90 to 7.40) on 8x128; it gives its "
        "first label after 0.40 s, torch-fp32 after 4.00 s.",
        "It takes 20 MiB on disk against 80 MiB (4.0 times smaller), 100 MiB of packages against "
        "100 MiB (the same) and 100 MiB of memory at its peak against 500 MiB (5.0 times smaller).",
        "cpu-int8 agrees with the baseline on 96.9% of 32 labels of random tokens; export measured "
        "accuracy 0.8848 against 0.8861 on the 1,200 rows of dev.csv.",
    ]


def labelled(value: float, agreement: float | None = None) -> Labelled:
    return Labelled(data="test.csv", metric="accuracy", value=value, rows=1000, agreement=agreement)


def test_what_it_costs_in_accuracy_is_told_from_chance():
    torch = replace(TORCH, labelled=labelled(0.9))

    def said(value: float, agreement: float) -> str:
        int8 = engine("cpu-int8", labelled=labelled(value, agreement))
        return summary(report(torch, int8, results=(BASE, INT8)))[2]

    assert said(0.9, 1.0) == (
        "cpu-int8 has the same accuracy: 0.9000 against 0.9000 on 1,000 rows of test.csv; "
        "100.0% of labels are the baseline's."
    )
    # Ten rows differ; by chance alone the difference would be within 0.62 points.
    assert "loses 0.60 points of accuracy, not significant (n = 1,000):" in said(0.894, 0.99)
    assert "loses 0.70 points of accuracy: 0.8930 against" in said(0.893, 0.99)
    assert "gains 0.70 points of accuracy: 0.9070 against" in said(0.907, 0.99)


def test_tags_are_compared_by_word_and_by_whole_list_of_entities():
    """Most words are O: 99.84 % of words may hide that two texts in a hundred differ."""
    tagged = replace(labelled(0.93, 0.9984), metric="entity_f1", text_agreement=0.981)
    torch, int8 = replace(TORCH, labelled=labelled(0.93)), engine("cpu-int8", labelled=tagged)
    whole = report(torch, int8, results=(BASE, INT8))
    assert summary(whole)[2].endswith(
        "; 99.84% of words have the baseline's label, 98.1% of texts the same list of entities."
    )
    assert [f.value for f in judge(whole, parse_gate("text_agreement>=0.99"))] == [0.981]
    assert not any(f.holds for f in judge(whole, parse_gate("text_agreement>=0.99")))
    seen = Agreement(share=0.9984, labels=4927, texts=0.975)
    whole = report(TORCH, engine("cpu-int8", on_texts=seen), results=(BASE, INT8))
    assert "99.8% of 4,927 labels of real texts; 97.5% of texts have the same" in summary(whole)[2]
    assert [f.value for f in judge(whole, parse_gate("text_agreement>=0.9"))] == [0.975]


def test_many_workloads_are_one_range_and_those_without_difference_are_named():
    loads = [Load(name=f"{n}x128", batch=n, length=128, texts=n, repeats=20) for n in (1, 2, 4, 8)]
    ratios = [(6.9, 7.15, 7.4), (4.9, 5.0, 5.1), (2.9, 3.0, 3.1), (0.9, 1.0, 1.1)]
    results = [
        replace(each, workload=load.name)
        for load, ratio in zip(loads, ratios, strict=True)
        for each in (BASE, result("cpu-int8", 100, ratio))
    ]
    whole = report(TORCH, engine("cpu-int8"), results=tuple(results), workloads=tuple(loads))
    assert summary(whole)[0].startswith(
        "cpu-int8 against torch-fp32: 7.15 times as fast (6.90 to 7.40) on 1x128, 3.00 to 5.00 "
        "times on the 2 other workloads and no difference on 8x128; it gives"
    )


def test_a_difference_within_the_noise_is_called_none():
    same = result("cpu-int8", 710, (0.97, 1.01, 1.05))
    whole = report(TORCH, engine("cpu-int8"), results=(BASE, same))
    assert row(render(whole), "cpu-int8")[1] == "710*~"
    assert "1.01x (0.97-1.05) none" in " ".join(render(whole, details=True).split())
    assert summary(whole)[0].startswith("cpu-int8 against torch-fp32: no difference on 8x128;")
    # The interval excludes 1, but the baseline differs as much from itself.
    noisy = replace(result("cpu-int8", 700, (1.01, 1.02, 1.03)), difference=Difference.NONE)
    whole = report(TORCH, engine("cpu-int8"), results=(BASE, noisy))
    assert row(render(whole), "cpu-int8")[1] == "700*~"
    assert "no difference on 8x128;" in summary(whole)[0]


def test_an_engine_with_a_problem_is_not_praised():
    liar = engine("liar", problem="disagrees with the baseline: 0.0% of 32 labels are the same")
    fast = result("liar", 1, (700, 715, 730))
    whole = report(TORCH, liar, engine("cpu-int8"), results=(BASE, fast, INT8))
    best = best_variant(whole)
    assert best and best.name == "cpu-int8"
    text = render(whole)
    assert "*" not in row(text, "liar")[1] and "*" in row(text, "cpu-int8")[1]
    assert "! liar: disagrees with the baseline" in text


def test_engines_without_figures_have_rows_that_say_why():
    broken = engine("broken", cold_start=None, cold_starts=(), problem="start: " + "x" * 200)
    left_out = (LeftOut(name="cuda-fp16", why="needs cuda", fix="buy a GPU"),)
    text = render(
        report(TORCH, broken, engine("cpu-int8"), results=(BASE, INT8), left_out=left_out)
    )
    assert max(len(line) for line in text.splitlines() if "x" * 200 not in line) <= 100
    said = next(line for line in text.splitlines() if line.startswith("broken "))
    assert "start: xxx" in said and len(said) == 100
    assert "- cuda-fp16 is left out: needs cuda (buy a GPU)" in text


def test_nothing_is_summed_up_where_nothing_was_measured():
    empty = report(TORCH, engine("cpu-int8"), results=(), complete=False, workloads=())
    assert summary(empty) == []
    assert notes(empty)[0].startswith("Interrupted")
    assert "speed-up" not in render(empty)


def test_numbers_have_about_three_figures():
    values = (0.0461, 0.9124, 4.512, 37.62, 715.4, 12345.6)
    assert [number(value) for value in values] == [
        "0.046", "0.912", "4.51", "37.6", "715", "12,346",
    ]  # fmt: skip


def test_a_busy_machine_is_said_to_be_one():
    whole = report(TORCH, engine("cpu-int8"), results=(BASE, INT8))
    assert not any("busy" in note for note in notes(whole))
    busy = replace(whole, environment=replace(whole.environment, load=1.9))
    assert any("busy before (load 1.90 on 2 cores)" in note for note in notes(busy))
