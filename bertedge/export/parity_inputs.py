"""The texts that a graph is checked on: sentences of our own, of the user's data, and long ones."""

import itertools

from bertedge.checkpoint import Checkpoint
from bertedge.data import Example, ExampleFile, QuestionExample, TokenExample
from bertedge.runtime.encoding import Batch, Encoded, pad
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import Text

SENTENCES = (
    "Turn the lights in the hall off, please.",
    "Angela Merkel met Barack Obama at the Brandenburg Gate in Berlin on 19 June 2013.",
    "服务很好。房间干净。下次还会来。",
    "What a waste of two hours: the plot makes no sense and nobody can act.",
    "No.",
    "The parcel (order #48-1093) was due on Monday; it's still not here, 3 days later!",
    "Die Züge nach Köln fahren heute vom Gleis 7 ab, wegen Bauarbeiten mit Verspätung.",
    "I would like to transfer 250 euros to my sister's account before the end of the week.",
    "El hotel está a cinco minutos de la playa y el desayuno era estupendo.",
    "Shares of Toyota rose 2.4 percent in Tokyo after the company raised its forecast.",
    "how do i reset my password",
    "The committee, which had met twice before without reaching any agreement at all, voted on "
    "Thursday evening to postpone the decision until the new members have read the report.",
)
GOLDEN = 4
"""Sentences from the start of SENTENCES that go into the bundle: never the user's data."""
REAL_TEXTS = 29
LONG_TEXTS = (1, 2, 4)
"""The longest input, half of it, a quarter."""
SHORTEST = 8
"""Tokens that every tokenizer's special tokens leave room in."""
ROWS = 8
"""Texts in a batch of the parity check."""


def sentences(*, pair: bool) -> list[Text]:
    """Return bertedge's own sentences, or pairs of them."""
    return [_as_text(parts) for parts in _sentences(pair=pair)]


def golden_texts(*, pair: bool) -> tuple[tuple[str, ...], ...]:
    """Return the texts (or pairs) that every bundle answers when it is opened."""
    return _sentences(pair=pair)[:GOLDEN]


def golden_batch(checkpoint: Checkpoint, *, pair: bool) -> Batch:
    """Return the golden texts as the one padded batch that a bundle runs when it is opened."""
    texts = [_as_text(parts) for parts in golden_texts(pair=pair)]
    return pad(
        _encode(checkpoint, texts, checkpoint.model.max_length), checkpoint.model.pad_token_id
    )


def parity_batches(checkpoint: Checkpoint, data: ExampleFile | None, *, pair: bool) -> list[Batch]:
    """Return padded batches, each with long and short rows, of the first texts of `data`.

    Without data the sentences above serve. Up to the longest input every length class occurs.
    """
    if data is not None:
        found = (text for example in data for text in texts_of(example, pair=pair))
        texts = list(itertools.islice(found, REAL_TEXTS))
    else:
        texts = sentences(pair=pair)
    rows = _encode(checkpoint, texts, checkpoint.model.max_length)
    for part in LONG_TEXTS:
        length = max(checkpoint.model.max_length // part, SHORTEST)
        endless = " ".join(SENTENCES * (length // len(SENTENCES) + 1))
        rows += _encode(checkpoint, [(endless, endless) if pair else endless], length)
    rows.sort(key=lambda row: len(row.ids))
    count = -(-len(rows) // ROWS)
    return [pad(rows[first::count], checkpoint.model.pad_token_id) for first in range(count)]


def texts_of(example: Example, *, pair: bool) -> list[Text]:
    """Return what a model reads of an example: two texts where it compares them, one by one.

    Where it reads pairs, the first text stands before each of the others.
    """
    if isinstance(example, TokenExample):
        return [" ".join(example.tokens)]
    if isinstance(example.input, str):
        return [example.input]
    first, *others = example.input
    if pair or isinstance(example, QuestionExample):
        return [(first, other) for other in others]
    return [first, *others]


def _sentences(*, pair: bool) -> tuple[tuple[str, ...], ...]:
    if not pair:
        return tuple((text,) for text in SENTENCES)
    return tuple(zip(SENTENCES, SENTENCES[1:] + SENTENCES[:1], strict=True))


def _encode(checkpoint: Checkpoint, texts: list[Text], max_length: int) -> list[Encoded]:
    return Tokenizer(checkpoint.tokenizer_json, max_length=max_length).encode(texts)


def _as_text(parts: tuple[str, ...]) -> Text:
    return parts[0] if len(parts) == 1 else (parts[0], parts[1])
