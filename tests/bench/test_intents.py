"""Intents with slots in a bench: what is compared, what is scored, who is left out."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bertedge.bench.backends import bertedge as bundled
from bertedge.bench.labelled import draw_labelled, score
from bertedge.bench.messages import Open, TextWorkload, TokenWorkload
from bertedge.data import Columns
from bertedge.errors import DataError
from bertedge.metrics import FrameScores
from bertedge.runtime.predictor import Predictor
from bertedge.runtime.providers import CPU
from bertedge.spec import Task

BUNDLE = Path(__file__).parents[2] / "models" / "tiny" / "intent-slots"
LONG = "please play a quiet song in the living room " * 20
TEXTS = ("turn the hall lights off", "", LONG, "is it warm", "x")
WHOLE = TextWorkload(name="t", texts=tuple((text,) for text in TEXTS), at_once=True)


@pytest.fixture
def asked(opening: Open) -> Open:
    labels = Predictor.open(BUNDLE, device="cpu", threads=1).labels
    tokenizer = str(BUNDLE / "tokenizer.json")
    return replace(
        opening, path=str(BUNDLE), task=Task.INTENT_SLOTS, labels=labels, tokenizer=tokenizer
    )


def test_a_text_gives_its_intent_and_then_the_tags_of_its_tokens(asked: Open) -> None:
    loaded = bundled.load(asked)
    found = loaded.texts(WHOLE).run(0).tolist()
    texts = loaded.texts(replace(WHOLE, at_once=False))
    alone = [texts.run(i).tolist() for i in range(len(TEXTS))]
    assert [label for row in alone for label in row] == found
    for text, row in zip(TEXTS, alone, strict=True):
        prediction = loaded.predictor.predict_one(text)
        assert asked.labels[row[0]] == f"intent:{prediction.intent}"  # type: ignore[union-attr]
        assert all(not asked.labels[label].startswith("intent:") for label in row[1:])
    assert len(alone[1]) == 1 and len(alone[2]) > 180
    cell = TokenWorkload(name="2x3", batches=(((9, 10, 11), (12, 13, 14)),))
    row = loaded.tokens(cell).run(0)
    assert row.shape == (6,) and (row < 3).tolist() == [True, False, False] * 2


def test_pytorch_gives_the_labels_of_the_bundle(asked: Open, checkpoints: Path) -> None:
    from bertedge.bench.backends import torch as packed

    torch = packed.load_torch(replace(asked, path=str(checkpoints / "intent-slots")))
    loaded = bundled.load(asked)
    assert torch.texts(WHOLE).run(0).tolist() == loaded.texts(WHOLE).run(0).tolist()
    cell = TokenWorkload(name="2x3", batches=(((9, 10, 11), (12, 13, 14)),))
    assert torch.tokens(cell).run(0).tolist() == loaded.tokens(cell).run(0).tolist()


def test_frames_are_scored_by_words(tmp_path: Path) -> None:
    rows = [
        {"tokens": ["turn", "livingrooms", "off"], "tags": ["O", "B-room", "O"], "intent": "off"},
        {"tokens": ["hall"], "tags": ["B-room"], "intent": "on"},
    ]
    data = tmp_path / "d.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    labels = ("intent:on", "intent:off", "O", "B-room")
    task, tokenizer = Task.INTENT_SLOTS, (BUNDLE / "tokenizer.json").read_text()
    drawn = draw_labelled(data, task, Columns(), labels, count=10, seed=0)
    # livingrooms has the pieces living ##room ##s, of which only the first counts.
    predicted = [1, 2, 3, 2, 2, 2, *(1, 3)]
    found = score(drawn, predicted, tokenizer)
    assert found and isinstance(found.scores, FrameScores)
    assert (found.scores.value, found.scores.intents.value, found.scores.slots.value) == (
        0.5,
        0.5,
        1,
    )
    assert found.names.tolist() == [labels[i] for i in (1, 2, 3, 2, 1, 3)]
    assert score(drawn, predicted[1:], tokenizer) is None
    unread = score(drawn, [*predicted[:-1], -1], tokenizer)
    assert unread and unread.names.tolist()[-1] == "O"
    with pytest.raises(DataError, match="does not know the label 'intent:off'"):
        draw_labelled(data, task, Columns(), ("intent:on", "O", "B-room"), count=10, seed=0)


def test_pipelines_are_left_out_with_the_reason(asked: Open, checkpoints: Path) -> None:
    from bertedge.bench.discovery import Machine
    from bertedge.bench.rivals import ALONE, find_torch_rivals
    from bertedge.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(str(checkpoints / "intent-slots"))
    assert checkpoint.model.task is Task.INTENT_SLOTS
    machine = Machine(cpu_flags=frozenset(), compiler=True)
    lineup = find_torch_rivals(checkpoint, asked, machine, CPU, quick=False)
    assert [spec.name for spec in lineup.specs] == ["torch-compile"]
    assert [(item.name, item.why) for item in lineup.left_out] == [("pipeline-fp32", ALONE)]
