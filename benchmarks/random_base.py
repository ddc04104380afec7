"""Make a base checkpoint with random weights from a vocabulary: `finetune --model` takes it.

usage: python benchmarks/random_base.py VOCAB.txt FOLDER [LAYERS HIDDEN [LABELS]]

For text whose checkpoint is not at hand (Chinese, say) it proves the path, not the accuracy; for
measuring speed (12 layers of 768 are BERT-base) weights do not matter. With LABELS it is a
classifier with so many, which `export` takes as it is.
"""

import sys
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast


def main(vocabulary: str, folder: str, layers: int = 4, hidden: int = 256, labels: int = 0) -> None:
    tokenizer = BertTokenizerFast(
        vocabulary, do_lower_case="cased" not in Path(vocabulary).parent.name.split("-")
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=hidden // 64,
        intermediate_size=4 * hidden,
        num_labels=labels or 2,
    )
    tokenizer.model_max_length = config.max_position_embeddings
    kind = BertForSequenceClassification if labels else BertModel
    kind(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
