"""The quickstart on a terminal: the very script, from a base model small enough for every test."""

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("optimum", reason="needs the export extra")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A random BERT that knows the words of the home intents."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    train = ROOT / "models" / "home-intents" / "data" / "train.jsonl"
    texts = [json.loads(line)["text"] for line in train.read_text(encoding="utf-8").splitlines()]
    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower())})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=64,
    )
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the quickstart uses of the repository, and an environment that is up to date."""
    folder = tmp_path / "clone"
    for name in ("scripts", "models/home-intents"):
        shutil.copytree(ROOT / name, folder / name)
    stamp = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
        stamp.update((ROOT / name).read_bytes())
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    # The figures of bench are not read here: it takes few.
    quick = '[ "$1" != bench ] || set -- "$@" --rounds 2 --repeats 2 --texts 8 --grid 1x8\n'
    for name, before, program in (("python", "", ""), ("bertedge", quick, "-m bertedge ")):
        text = f'#!/bin/sh\n{before}exec "{sys.executable}" {program}"$@"\n'
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (folder / ".venv" / ".bertedge").write_text(stamp.hexdigest() + "\n")
    return folder


@pytest.mark.slow
def test_it_ends_well_and_reads_well(
    start_on_terminal: Callable[..., Any], clone: Path, base: Path
):
    settings = {"env": {"MODEL": str(base), "PYTHON": sys.executable, "VENV": None}, "rows": 60}
    screen = start_on_terminal(clone / "scripts" / "quickstart", cwd=clone, **settings)
    assert screen.wait(patience_s=900) == 0, screen.text
    for noise in ("Traceback", "Warning", "Error:", "installing", "[J", "[1m"):
        assert noise not in screen.text, screen.text
    verbs = re.findall(r"^\$ bertedge (\w+)", screen.text, re.MULTILINE)
    assert verbs == ["finetune", "export", "evaluate", "bench", "predict"]
    told = re.findall(r"^next: bertedge (\w+)", screen.text, re.MULTILINE)
    assert told == ["export", "predict", "predict", "predict"]
    assert re.search(rb"rounds  \[-+\]  0/\d+ turns", screen.sent)
    assert b"planned" not in screen.sent
    assert not re.search(r"^[\w ]+  \[#*-*\]  ", screen.text, re.MULTILINE)
    assert '"text":"makeitabitwarmerinhere"' in screen.joined
    assert '$ bertedge predict bundles/home-intents "turn the hall lights off"' in screen.text
