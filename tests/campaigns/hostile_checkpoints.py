"""Checkpoints that lie, opened and loaded one after the other as every verb does.

usage: python tests/campaigns/hostile_checkpoints.py TEMPLATE FOLDER RESULTS FIRST COUNT

Makes COUNT cases, numbered from FIRST: each is a copy of TEMPLATE with one file of it changed by
the seed that its number is. Writes to RESULTS a line when it begins a case and one when it ends
it. A case that is not refused is loaded, and labels a text.
"""

import copy
import json
import random
import shutil
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import memory
import numpy as np
import transformers

from bertedge.checkpoint import TorchEngine, load_base, load_model, open_base, open_checkpoint
from bertedge.errors import BertedgeError
from bertedge.runtime.encoding import pad
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import Task

TEXTS = ["see the red apple", "", "x" * 500, "é 🙂 old"]
FILES = (
    *("config.json",) * 5,
    *("tokenizer_config.json",) * 3,
    *("model.safetensors",) * 3,
    *("tokenizer.json", "training.json", "special_tokens_map.json"),
    *("modules.json", "1_Pooling/config.json", "sentence_bert_config.json"),
)
"""As often as they are changed."""
ODD: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 7, 10**5, 10**9, 2**31, 2**63, -(2**63), 10**30),
    *(int("7" * 4000), 1.5, 1e-320, 1e308, float("nan"), float("inf"), "", " ", "a" * 20_000),
    *("\ud800", "\x1b[31m\x07", "\0", "../x", "/etc/passwd", "/dev/zero", "gelu", "bert", "-1"),
    *([], {}, [[]], [{}], [None], {"": {}}, {"0": "a"}, {"1": "a"}, [1] * 2000, "LABEL_0"),
)
HOSTILE: dict[str, Any] = {
    "auto_map": {"AutoConfig": "code.Config", "AutoTokenizer": ["code.Slow", "code.Fast"]},
    "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True},
    "attn_implementation": "kernels-community/flash-attn",
    "_attn_implementation": "flash_attention_2",
    "_attn_implementation_internal": "owner/kernel",
    "torch_dtype": "float8_e4m3fn",
    "dtype": "no_such_type",
    "pruned_heads": {"0": [0, 1]},
    "chunk_size_feed_forward": 7,
    "torchscript": True,
    "return_dict": False,
    "output_attentions": True,
    "is_encoder_decoder": True,
    "tie_word_embeddings": False,
    "transformers_version": "x",
    "base_model_tp_plan": {"a": "b"},
    "sub_configs": {},
    "tokenizer_file": "/dev/zero",
    "vocab_file": "/dev/zero",
    "gguf_file": "/dev/zero",
    "fix_mistral_regex": True,
    "added_tokens_decoder": {str(i): {"content": f"<{i}>"} for i in range(3000)},
    "extra_special_tokens": {"a_token": "<a>"},
    "chat_template": "{{ ''.__class__ }}",
    "additional_special_tokens": ["<a>"] * 500,
    "model_max_length": 10**30,
    "processor_class": "LlavaProcessor",
    "backend": "mistral-common",
    "name_or_path": "owner/name",
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Name every place of a JSON document."""
    yield path
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(child, (*path, key))


def mutate(rng: random.Random, document: Any) -> Any:
    """Change one to three places of a JSON document, or add what steers libraries."""
    document = copy.deepcopy(document)
    for _ in range(rng.randint(1, 3)):
        if isinstance(document, dict) and rng.random() < 0.25:
            key = rng.choice(list(HOSTILE))
            document[key] = HOSTILE[key]
            continue
        known = [path for path in places(document) if path]
        near = [path for path in known if len(path) < 3]
        if not known or rng.random() < 0.02:
            return rng.choice(ODD)
        path = rng.choice(near if near and rng.random() < 0.8 else known)
        holder = document
        for key in path[:-1]:
            holder = holder[key]
        if rng.random() < 0.2:
            del holder[path[-1]]
        else:
            holder[path[-1]] = copy.deepcopy(rng.choice(ODD))
    return document


def spoil_bytes(rng: random.Random, raw: bytes) -> bytes:
    """Cut, flip, repeat or replace bytes."""
    at = rng.randrange(len(raw) or 1)
    match rng.randrange(5):
        case 0:
            return raw[:at]
        case 1:
            return raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :]
        case 2:
            return raw[:at] + rng.randbytes(rng.randint(1, 200)) + raw[at:]
        case 3:
            return rng.choice((b"", b"[" * 50_000, b"{", b"null", b"\xff\xfe", b'{"a":' * 900))
        case _:
            return raw + raw


def spoil_weights(rng: random.Random, raw: bytes) -> bytes:
    """Change the header of a safetensors file, or the numbers behind it."""
    (length,) = struct.unpack("<Q", raw[:8])
    header, body = json.loads(raw[8 : 8 + length]), bytearray(raw[8 + length :])
    match rng.randrange(4):
        case 0:
            return spoil_bytes(rng, raw)
        case 1:
            at = rng.randrange(len(body) // 4) * 4
            odd = np.array(rng.choice((np.nan, np.inf, -np.inf, 3e38, 1e-40)), np.float32)
            body[at : at + 4] = odd.tobytes()
        case 2:
            names = [name for name in header if name != "__metadata__"]
            one, other = rng.sample(names, 2)
            match rng.randrange(4):
                case 0:
                    header[one]["shape"] = rng.choice(([2**62, 4], [0], [-1], [], ["a"], [10**30]))
                case 1:
                    header[one]["shape"] = header[one]["shape"][::-1]
                case 2:
                    header[one], header[other] = header[other], header[one]
                case _:
                    del header[one]
        case _:
            header = mutate(rng, header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(body)


def spoil(rng: random.Random, folder: Path) -> str:
    """Change one file of the folder; say which."""
    name = rng.choice(FILES)
    path = folder / name
    raw = path.read_bytes()
    if name.endswith(".safetensors"):
        path.write_bytes(spoil_weights(rng, raw))
    elif rng.random() < 0.2:
        path.write_bytes(spoil_bytes(rng, raw))
    else:
        path.write_text(json.dumps(mutate(rng, json.loads(raw))))
    return name


def label(folder: Path, task: Task | None) -> None:
    """Open a checkpoint and label texts with it, as evaluate, export and bench do."""
    checkpoint = open_checkpoint(str(folder), task)
    engine = TorchEngine(load_model(checkpoint))
    tokenizer = Tokenizer(checkpoint.tokenizer_json, max_length=checkpoint.model.max_length)
    for encoded in tokenizer.encode(TEXTS):
        engine.logits(pad([encoded], checkpoint.model.pad_token_id))


def start_from(folder: Path) -> None:
    """Open a base model and load it, as finetune and pretrain do."""
    base = open_base(str(folder))
    base.config.num_labels = 5
    load_base(base.folder, base.config, transformers.AutoModelForSequenceClassification)


WAYS: dict[str, Callable[[Path], None]] = {
    "label": lambda folder: label(folder, None),
    "embed": lambda folder: label(folder, Task.FEATURE_EXTRACTION),
    "train": start_from,
}


def run(template: Path, folder: Path, number: int) -> dict[str, Any]:
    """Make a case, and take every way to the model."""
    rng = random.Random(number)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder)
    found: dict[str, Any] = {"case": number, "file": spoil(rng, folder), "ways": {}}
    for way, take in WAYS.items():
        began = time.process_time()
        signal.alarm(120)  # what sleeps takes no processor time
        try:
            take(folder)
            error, message = None, ""
        except BertedgeError as ours:
            error, message = type(ours).__name__, str(ours)
        except BaseException as other:
            error, message = f"not ours: {type(other).__name__}", str(other)
        signal.alarm(0)
        seconds = round(time.process_time() - began, 2)
        found["ways"][way] = {"error": error, "message": message, "seconds": seconds}
    found["peak"] = memory.peak()
    return found


def main() -> None:
    """Run the cases that the command line names."""
    template, folder, results = map(Path, sys.argv[1:4])
    first, count = map(int, sys.argv[4:])
    transformers.utils.logging.set_verbosity_error()
    label(template, None)  # the imports are no case's
    with results.open("w") as lines:
        for number in range(first, first + count):
            print(json.dumps({"case": number}), file=lines, flush=True)
            print(json.dumps(run(template, folder, number)), file=lines, flush=True)


if __name__ == "__main__":
    main()
