"""The intent of each text, from the logits of a model that finds slots too."""

from collections.abc import Sequence

import numpy as np

from bertedge.heads import Heads
from bertedge.predictions import Classification
from bertedge.runtime.decoding import Floats, classify
from bertedge.runtime.encoding import Encoded


def find_intents(
    windows: Sequence[Encoded], logits: Sequence[Floats], heads: Heads
) -> list[Classification]:
    """Read the intent of each text at the first token ([CLS]) of its first window."""
    rows = [
        answers[0, heads.intent_columns]
        for window, answers in zip(windows, logits, strict=True)
        if window.first == 0
    ]
    return classify(np.stack(rows), heads.intents)
