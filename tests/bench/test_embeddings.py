"""Embeddings are benched like labels; two engines agree by the mean cosine."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("optimum", reason="needs the export extra")


from bertedge.bench import BenchConfig, bench
from bertedge.bench.discovery import Candidates, Lineup, Machine, find_rivals
from bertedge.bench.html.page import render_page
from bertedge.bench.protocol import Open
from bertedge.bench.summary import summary
from bertedge.bench.text import render
from bertedge.bundle import open_bundle
from bertedge.checkpoint import open_checkpoint
from bertedge.data import Columns
from bertedge.export import ExportConfig, export
from bertedge.progress import Silent
from bertedge.spec import PoolingMode, Task


def test_a_bundle_of_embeddings_is_benched_against_its_encoder(
    checkpoints: Path, tmp_path: Path
) -> None:
    folder = checkpoints / Task.TEXT_CLASSIFICATION.value
    pooled = ExportConfig(
        checkpoint=str(folder),
        output=tmp_path / "bundle",
        task=Task.FEATURE_EXTRACTION,
        pooling=PoolingMode.CLS,
        quantize=True,
        keep_fp32=True,
        recipe="dynamic",
        min_agreement=0.0,
        max_drop=100,
    )
    export(pooled)
    data = tmp_path / "pairs.csv"
    data.write_text("sentence1,sentence2,score\n" + "turn the hall lights off,play a song,1\n" * 4)
    config = BenchConfig(
        bundle=tmp_path / "bundle",
        baseline=str(folder),
        threads=1, rounds=2, extra_rounds=0, repeats=2, turn_s=0.02, starts=1, texts=4,
            timeout_s=60, load_s=0, profile_runs=0, quick=True,
        grid="1x8",
        data=data,
        columns=Columns(text="sentence1"),
    )  # fmt: skip
    report = bench(config, Silent())
    engines = {engine.name: engine for engine in report.engines}
    fp32, int8 = engines["cpu-fp32"], engines["cpu-int8"]
    assert fp32.problem is None and int8.problem is None
    assert fp32.on_texts is not None and fp32.on_random_tokens is not None
    assert fp32.on_texts.share == pytest.approx(1, abs=1e-6) and fp32.on_texts.labels == 8
    assert fp32.on_random_tokens.labels == 32
    assert int8.on_texts is not None and 0.9 < int8.on_texts.share < 0.9999999
    assert all(engine.labelled is None for engine in report.engines)
    assert "(feature-extraction, " in render(report)
    assert "embeddings of 8 real texts have a mean cosine of " in " ".join(summary(report))
    assert "mean cosine" in render_page(report)


def test_sentence_transformers_is_the_rival(checkpoints: Path, opening: Open, bundle: Path) -> None:
    checkpoint = open_checkpoint(str(checkpoints / "text-classification"), Task.FEATURE_EXTRACTION)
    machine = Machine(cpu_flags=frozenset(), compiler=True)
    base = replace(opening, model=checkpoint.model)
    candidates = Candidates(
        bundle=open_bundle(bundle), checkpoint=checkpoint, base=base, machine=machine
    )
    lineup = Lineup.of(find_rivals(candidates))
    names = [spec.name for spec in lineup.specs]
    if importlib.util.find_spec("sentence_transformers") is not None:
        assert names == ["torch-compile", "sentence-transformers-fp32"]
        return
    assert names == ["torch-compile"]
    (missing,) = lineup.left_out
    assert (missing.name, missing.fix) == (
        "sentence-transformers-fp32",
        "pip install sentence-transformers",
    )
