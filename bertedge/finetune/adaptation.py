"""Task-adaptive pretraining: the base predicts masked words of the task's texts before fine-tuning.

Gururangan et al. 2020, "Don't Stop Pretraining" (arXiv:2004.10964), section 4: continued
pretraining on the training texts alone, without their labels. `bertedge.pretrain` does the work.
"""

import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import accelerate
import torch
import transformers

from bertedge import checkpoint as checkpoints
from bertedge.data import Example, QuestionExample, TextExample
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.inputs import Inputs
from bertedge.outputs import remove
from bertedge.pretrain.config import PretrainConfig
from bertedge.pretrain.record import PRETRAINING
from bertedge.pretrain.run import pretrain
from bertedge.progress import Progress

SHORTEST, LONGEST = 8, 128
"""Tokens of a row, which texts are cut into; fewer where the model reads fewer."""
BYTES = 80
"""Of text, for each token of a row: so that small files make some twenty rows."""


def adapt(config: FinetuneConfig, inputs: Inputs, folder: Path, progress: Progress) -> Inputs:
    """Pretrain the base on the training texts in `folder`, and name it in the inputs.

    What is finished there is not done again; what was interrupted goes on. StoppedError after
    Ctrl-C, with the state saved.
    """
    output = folder / "base"
    if not (output / PRETRAINING).is_file():
        text = folder / "text.txt"
        if accelerate.PartialState().is_main_process:
            folder.mkdir(exist_ok=True)
            remove(output)
            files = [each for each in (inputs.train, inputs.unlabelled) if each]
            _write_texts(itertools.chain(*files), text)
            names = " and ".join(each.path.name for each in files)
            progress.say(f"adapting the base to the texts of {names}")
        accelerate.PartialState().wait_for_everyone()
        longest = min(LONGEST, max(SHORTEST, text.stat().st_size // BYTES))
        pretrain(
            PretrainConfig(
                text=(text,),
                output=output,
                model=str(inputs.base),
                max_length=min(longest, inputs.max_length),
                epochs=config.adapt_epochs,
                checks=4,
                seed=config.seed,
                precision=config.precision,
            ),
            progress,
            resume=True,
        )
        accelerate.PartialState().wait_for_everyone()
    return replace(inputs, adapted=output)


def load_adapted(model: transformers.PreTrainedModel, folder: Path) -> None:
    """Copy the adapted encoder into a model; what that lacks, as a pooler, stays as it is."""
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    kind = transformers.AutoModelForMaskedLM
    adapted, _ = checkpoints.load_base(folder, config, kind)
    own = model.base_model.state_dict()
    with torch.no_grad():
        for name, tensor in adapted.base_model.state_dict().items():
            if name in own:
                own[name][: len(tensor)].copy_(tensor)  # a vocabulary may have grown since


def _write_texts(examples: Iterable[Example], path: Path) -> None:
    """Write a text a line, each once."""
    texts = dict.fromkeys(text for example in examples for text in _texts_of(example))
    lines = (" ".join(text.split()) for text in texts)
    path.write_text("".join(f"{line}\n" for line in lines if line), encoding="utf-8")


def _texts_of(example: Example) -> tuple[str, ...]:
    if isinstance(example, QuestionExample):
        return (example.context, example.question)
    if isinstance(example, TextExample):
        return (example.text,) if isinstance(example.input, str) else tuple(example.input)
    return (" ".join(example.tokens),)
