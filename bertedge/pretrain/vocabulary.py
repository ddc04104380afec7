"""A WordPiece vocabulary, trained on the text as BERT's were; the same text gives the same."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import tokenizers  # type: ignore[import-untyped]
import transformers

from bertedge.checkpoint.tokenizer import save_tokenizer
from bertedge.errors import DataError

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
INSIDE = "##"
MOST_CHARACTERS = 0.9
"""Share of the vocabulary that single characters may fill (Chinese has thousands)."""

Lines = Callable[[], Iterable[str]]
"""Reads the text from its beginning."""


def train_tokenizer(
    lines: Lines, folder: Path, *, size: int, cased: bool, max_length: int
) -> transformers.PreTrainedTokenizerFast:
    """Train a vocabulary of `size` pieces and leave the tokenizer in `folder`.

    BERT's normalizer and splitter: each Chinese character is a word of its own.
    """
    native = tokenizers.BertWordPieceTokenizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=not cased
    )
    characters: Counter[str] = Counter()
    for line in lines():
        characters.update(native.normalize(line))
    for space in [each for each in characters if each.isspace()]:
        del characters[space]
    if not characters:
        raise DataError("the text has no words to make a vocabulary of; give more text")
    most = sorted(characters, key=lambda each: (-characters[each], each))
    alphabet = most[: int(MOST_CHARACTERS * size)]
    # The trainer numbers characters inside words as it meets them, in the order of a hash table,
    # and breaks ties by number: they are found in a first pass that merges nothing, and ordered.
    _train(native, lines, alphabet, special=SPECIAL, size=1)
    inside = sorted(piece for piece in native.get_vocab() if piece.startswith(INSIDE))
    _train(native, lines, alphabet, special=(*SPECIAL, *inside), size=size)
    folder.mkdir(parents=True, exist_ok=True)
    native.save_model(str(folder))
    tokenizer = transformers.BertTokenizerFast.from_pretrained(
        folder, local_files_only=True, do_lower_case=not cased, model_max_length=max_length
    )
    save_tokenizer(tokenizer, folder)
    return tokenizer


def _train(
    native: tokenizers.BertWordPieceTokenizer,
    lines: Lines,
    alphabet: list[str],
    *,
    special: tuple[str, ...],
    size: int,
) -> None:
    native.train_from_iterator(
        lines(),
        vocab_size=size,
        min_frequency=2,
        limit_alphabet=len(alphabet),
        initial_alphabet=alphabet,
        special_tokens=list(special),
        wordpieces_prefix=INSIDE,
        show_progress=False,
    )
