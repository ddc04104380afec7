"""A smaller vocabulary: the word pieces that a corpus uses, and what any text falls back to."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tokenizers  # type: ignore[import-untyped]

from bertedge.bundle import Trimming, hash_file
from bertedge.checkpoint import Checkpoint
from bertedge.data.lines import check_file, read_lines
from bertedge.errors import SettingError, VerificationError
from bertedge.spec import LabelKind

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LINES = 2000
"""Tokenized at a time; bounds the memory."""


def trim(
    checkpoint: Checkpoint, model: "PreTrainedModel", corpus: Path
) -> tuple[Checkpoint, Trimming]:
    """Remove from the vocabulary, and from `model` in place, the pieces that `corpus` lacks.

    Returns the checkpoint with the smaller vocabulary, and what was done.

    Special tokens and single characters stay. WordPiece takes the longest piece that fits, so
    what the corpus uses is still what it gets: that is checked, and VerificationError where it
    does not hold. Any other text falls back to shorter pieces.
    """
    check_file(corpus)
    if checkpoint.model.task.labels_are is LabelKind.VOCABULARY:
        raise SettingError("--trim-vocab takes words away that this model predicts; leave it out")
    data = json.loads(checkpoint.tokenizer_json)
    if data["model"].get("type") != "WordPiece":
        raise SettingError(
            f"--trim-vocab is for WordPiece vocabularies, and that of {checkpoint.name} is "
            f"{data['model'].get('type')}; leave it out"
        )
    before = tokenizers.Tokenizer.from_str(checkpoint.tokenizer_json)
    kept = _kept(data, before, corpus)
    number = {old: new for new, old in enumerate(kept)}
    text = json.dumps(_renumber(data, number), ensure_ascii=False, indent=2)
    _check_lossless(before, tokenizers.Tokenizer.from_str(text), number, corpus)
    pad = number[checkpoint.model.pad_token_id]
    size = model.num_parameters()
    _shrink(model, kept, pad)
    source = replace(
        checkpoint.source,
        vocabulary=len(kept),
        parameters=checkpoint.source.parameters - size + model.num_parameters(),
    )
    record = Trimming(
        data=corpus.name,
        sha256=hash_file(corpus),
        before=before.get_vocab_size(),
        after=len(kept),
    )
    spec = replace(checkpoint.model, pad_token_id=pad)
    return replace(checkpoint, tokenizer_json=text, model=spec, source=source), record


def _kept(data: dict[str, Any], native: tokenizers.Tokenizer, corpus: Path) -> list[int]:
    """Return the ids to keep, in order."""
    prefix = data["model"]["continuing_subword_prefix"]
    pieces: dict[str, int] = data["model"]["vocab"]
    kept = {each["id"] for each in data["added_tokens"]}
    kept |= {token for piece, token in pieces.items() if len(piece.removeprefix(prefix)) == 1}
    kept.add(pieces[data["model"]["unk_token"]])
    for ids in _encode(native, corpus):
        kept.update(ids)
    return sorted(kept)


def _renumber(data: dict[str, Any], number: dict[int, int]) -> dict[str, Any]:
    """Return a tokenizer's JSON with the ids `number` says, and without other pieces."""
    pieces = data["model"]["vocab"].items()
    vocabulary = {piece: number[token] for piece, token in pieces if token in number}
    added = [token | {"id": number[token["id"]]} for token in data["added_tokens"]]
    changed = data | {"model": data["model"] | {"vocab": vocabulary}, "added_tokens": added}
    processor = data["post_processor"]
    match processor and processor["type"]:
        case "TemplateProcessing":
            tokens = {
                name: token | {"ids": [number[old] for old in token["ids"]]}
                for name, token in processor["special_tokens"].items()
            }
            changed["post_processor"] = processor | {"special_tokens": tokens}
        case "BertProcessing":
            ends = {end: [processor[end][0], number[processor[end][1]]] for end in ("sep", "cls")}
            changed["post_processor"] = processor | ends
    return changed


def _check_lossless(
    before: tokenizers.Tokenizer,
    after: tokenizers.Tokenizer,
    number: dict[int, int],
    corpus: Path,
) -> None:
    pairs = zip(_encode(before, corpus), _encode(after, corpus), strict=True)
    for line, (old, new) in enumerate(pairs, 1):
        if [number[token] for token in old] != new:
            raise VerificationError(
                f"{corpus}:{line} is not tokenized as before with the pieces that it uses; "
                "leave --trim-vocab out"
            )


def _encode(native: tokenizers.Tokenizer, corpus: Path) -> Iterator[list[int]]:
    lines = (line for _, line in read_lines(corpus))
    while chunk := list(itertools.islice(lines, LINES)):
        yield from (encoding.ids for encoding in native.encode_batch_fast(chunk))


def _shrink(model: "PreTrainedModel", kept: list[int], pad: int) -> None:
    import torch

    table = model.get_input_embeddings().weight.detach()[kept]
    model.set_input_embeddings(torch.nn.Embedding.from_pretrained(table, padding_idx=pad))
    model.config.vocab_size = len(kept)
    model.config.pad_token_id = pad
