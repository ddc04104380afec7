"""Words in place of others that a base's own masked language model finds likely there."""

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from bertedge import checkpoint as checkpoints
from bertedge.errors import SettingError
from bertedge.finetune.inputs import Inputs

LIKELIEST = 10
"""Tokens that one is drawn from."""


class MaskedLm:
    """A base model with its head, which fills masked tokens by others of the training data."""

    def __init__(
        self,
        model: transformers.PreTrainedModel,
        tokenizer: transformers.PreTrainedTokenizerFast,
        allowed: NDArray[np.int64],
    ) -> None:
        self._model, self._tokenizer = model.eval(), tokenizer
        self._allowed = torch.from_numpy(allowed)
        self._takes = inspect.signature(model.forward).parameters

    def fill(
        self,
        rows: Sequence[dict[str, Any]],
        places: Sequence[Sequence[int]],
        draws: Sequence[np.random.Generator],
    ) -> list[list[int]]:
        """Return the ids of rows with the tokens at `places` drawn anew, all of a row at once."""
        masked = []
        for row, chosen in zip(rows, places, strict=True):
            ids = list(row["input_ids"])
            for place in chosen:
                ids[place] = self._tokenizer.mask_token_id
            types = {k: row[k] for k in ("token_type_ids",) if k in row}
            masked.append({"input_ids": ids, **types})
        device = next(self._model.parameters()).device
        batch = self._tokenizer.pad(masked, return_tensors="pt").to(device)
        taken = {name: each for name, each in batch.items() if name in self._takes}
        with torch.no_grad():
            logits = self._model(**taken).logits
        filled = []
        for number, (row, chosen, draw) in enumerate(zip(rows, places, draws, strict=True)):
            ids = list(row["input_ids"])
            if len(chosen):
                own = logits[number, torch.as_tensor(list(chosen), device=device)].cpu()
                best = own[:, self._allowed].double().topk(min(LIKELIEST, len(self._allowed)))
                shares, tokens = best.values.softmax(-1).numpy(), best.indices.numpy()
                for place, share, token in zip(chosen, shares, tokens, strict=True):
                    ids[place] = int(self._allowed[int(draw.choice(token, p=share))])
            filled.append(ids)
        return filled


def load_masked_lm(inputs: Inputs, allowed: NDArray[np.int64], device: torch.device) -> MaskedLm:
    """Load the base with the head that it was pretrained with; SettingError where it has none."""
    config = copy.deepcopy(inputs.base_config)
    model, new = checkpoints.load_base(inputs.base, config, transformers.AutoModelForMaskedLM)
    if new or inputs.tokenizer.mask_token_id is None:
        lacks = min(new) if new else "a mask token"
        raise SettingError(
            f"augment is masked-lm, but {inputs.base} has no masked language model (it lacks "
            f"{lacks}); take a base with it, or leave masked-lm out"
        )
    return MaskedLm(model.to(device), inputs.tokenizer, allowed)
