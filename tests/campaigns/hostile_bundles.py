"""Bundles that lie with the right hashes, opened and asked one after the other.

usage: python tests/campaigns/hostile_bundles.py FOLDER RESULTS KIND FIRST COUNT

Makes COUNT cases of KIND (manifest, graph or tokenizer), numbered from FIRST: each is a bundle of
models/tiny, changed by the seed that its number is, with every hash computed anew. Writes to
RESULTS a line when it begins a case and one when it ends it.
"""

import copy
import hashlib
import json
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import memory

import bertedge
from bertedge.bundle import MANIFEST, TOKENIZER, UNHASHED
from bertedge.errors import BertedgeError

TINY = Path(__file__).resolve().parents[2] / "models" / "tiny"
TASKS = ("text-classification", "token-classification", "intent-slots")
GRAPH = "cpu-fp32.onnx"
TEXTS = ["turn the hall lights off", "", "x" * 3000, "日本 é 🙂 \x00\ud800", "play a song " * 200]
ODD: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2**31 - 1, 2**31, 2**63, -(2**63), 10**30, int("7" * 4000)),
    *(1e-320, 1e308, -1e308, 0.5, "", " ", "O", "a" * 20_000, "\ud800", "\x1b[31m\x07", "\u202e"),
    *("../x", "/etc/passwd", "fp16", "int8", "intent:", [], {}, [[]], [{}], [None], {"": {}}),
    *([1] * 2000, [["a"]] * 100, ["a", "a"], float("nan"), float("inf"), "[UNK]", "{}"),
)
OPERATORS = (
    *("Loop", "If", "RandomNormal", "Tile", "Gather", "Reshape", "Expand", "Range"),
    *("ConstantOfShape", "MatMul", "Gemm", "Concat", "Slice", "Softmax", "Cast", "Transpose"),
    *("Identity", "Shape", "Squeeze", "Unsqueeze", "CumSum", "Where", "Split", "Flatten", "Erf"),
    *("Attention", "BiasGelu", "SkipLayerNormalization", "QAttention", "DynamicQuantizeMatMul"),
    *("LayerNormalization", "MatMulInteger", "QuantizeLinear", "EmbedLayerNormalization", "Gelu"),
)
DIMENSIONS = (-1, 0, 1, 2, 3, 16, 17, 2**16, 2**31, 2**62)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Name every place of a JSON document."""
    yield path
    children = (
        value
        if isinstance(value, dict)
        else dict(enumerate(value if isinstance(value, list) else ()))
    )
    for key, child in children.items():
        yield from places(child, (*path, key))


def mutate(rng: random.Random, document: Any) -> Any:
    """Change one to three places of a JSON document."""
    document = copy.deepcopy(document)
    for _ in range(rng.randint(1, 3)):
        # Most places are numbers of long lists: a field deserves as many changes as they do.
        known = [path for path in places(document) if path]
        short = [path for path in known if len(path) < 4]
        path = rng.choice(short if short and rng.random() < 0.7 else known or [()])
        if not path:
            return rng.choice(ODD)
        holder = document
        for key in path[:-1]:
            holder = holder[key]
        change(rng, holder, path[-1])
    return document


def change(rng: random.Random, holder: Any, key: Any) -> None:
    """Replace, remove, repeat, wrap, cut or swap what lies at a place."""
    value = holder[key]
    match rng.randrange(8):
        case 0 | 1 | 2:
            holder[key] = copy.deepcopy(rng.choice(ODD))
        case 3:
            del holder[key]
        case 4 if isinstance(value, list) and value:
            value.append(copy.deepcopy(rng.choice(value)))
        case 5 if isinstance(value, list) and value:
            del value[rng.randrange(len(value)) :]
        case 6 if isinstance(value, int | float) and not isinstance(value, bool):
            holder[key] = rng.choice((value + 1, -value, value * 1000, value / 3, str(value)))
        case _:
            other = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
            holder[key], holder[other] = holder[other], value


def nest(depth: int) -> Any:
    """Give a list in a list in a list."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def case_manifest(rng: random.Random, folder: Path, data: dict[str, Any]) -> Any:
    """Change fields of the manifest, the files it describes being as they were."""
    if rng.random() < 0.02:
        data["model"]["labels"] = nest(rng.choice((50, 500, 900)))
        return data
    if rng.random() < 0.3:
        part = rng.choice(("golden", "model", "variants", "tokenizer"))
        data[part] = mutate(rng, data.get(part, {}))
        return data
    if rng.random() < 0.2:
        data["model"]["task"] = rng.choice(
            [*TASKS, "fill-mask", "feature-extraction", "question-answering"]
        )
        data["model"]["pair"] = rng.random() < 0.5
        if rng.random() < 0.5:
            data["model"]["pooling"] = {"mode": "mean", "normalized": True}
        data["model"]["labels"] = rng.choice(
            (data["model"]["labels"], [], ["start", "end"], data["model"]["labels"][:-1])
        )
        return data
    return mutate(rng, data)


def case_graph(rng: random.Random, folder: Path, data: dict[str, Any]) -> Any:
    """Change the graph: its bytes, or its nodes, constants, inputs and outputs."""
    path = folder / GRAPH
    content = path.read_bytes()
    if rng.random() < 0.25:
        path.write_bytes(mutate_bytes(rng, content))
    else:
        import onnx

        model = onnx.load_model_from_string(content)
        for _ in range(rng.randint(1, 3)):
            mutate_model(rng, model)
        path.write_bytes(model.SerializeToString())
    loosen(rng, data)
    return data


def mutate_bytes(rng: random.Random, content: bytes) -> bytes:
    """Cut, flip or splice."""
    match rng.randrange(3):
        case 0:
            return content[: rng.randrange(len(content))]
        case 1:
            flipped = bytearray(content)
            for _ in range(rng.randint(1, 8)):
                # The beginning is structure, the end mostly weights.
                flipped[rng.randrange(min(rng.choice((200, 20_000, 10**9)), len(content)))] ^= (
                    rng.randint(1, 255)
                )
            return bytes(flipped)
        case _:
            at, begin = rng.randrange(len(content)), rng.randrange(len(content))
            return content[:at] + content[begin : begin + rng.randint(1, 5000)] + content[at:]


def mutate_model(rng: random.Random, model: Any) -> None:
    """Make one change that the protobuf format allows."""
    import onnx

    graph = model.graph
    names = [name for node in graph.node for name in node.output]
    constants = [a.t for n in graph.node for a in n.attribute if a.name == "value"]
    tensors = [*graph.initializer, *constants]
    node = rng.choice(graph.node)
    tensor = rng.choice(tensors)
    # What is refused at once (other files, inputs and operators) needs fewer cases than the rest.
    match rng.choices(range(12), (4, 1, 6, 6, 3, 6, 3, 1, 4, 3, 1, 6))[0]:
        case 0:
            node.op_type = rng.choice(OPERATORS)
        case 1:
            node.domain = rng.choice(("", "com.microsoft", "ai.onnx.ml", "evil"))
        case 2 if node.input:
            node.input[rng.randrange(len(node.input))] = rng.choice([*names, "", "nowhere"])
        case 3:
            extra = onnx.helper.make_node(
                rng.choice(OPERATORS), rng.choices(names, k=rng.randint(0, 3)), ["extra"]
            )
            graph.node.insert(rng.randrange(len(graph.node)), extra)
        case 4:
            del graph.node[rng.randrange(len(graph.node))]
        case 5 if tensor.dims:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(DIMENSIONS)
        case 6:
            tensor.data_type = rng.randint(0, 24)
        case 7:
            tensor.data_location = onnx.TensorProto.EXTERNAL
            place = rng.choice((MANIFEST, TOKENIZER, "/etc/passwd", "*/_ORT_MEM_ADDR_/*", ""))
            tensor.external_data.add(key="location", value=place)
            tensor.external_data.add(key="offset", value=str(rng.choice(DIMENSIONS)))
        case 8:
            tensor.raw_data = rng.randbytes(len(tensor.raw_data))
        case 9:
            value = rng.choice([*graph.input, *graph.output])
            value.type.tensor_type.elem_type = rng.randint(0, 16)
        case 10:
            value = rng.choice([*graph.input, *graph.output])
            value.name = rng.choice(names)
        case _ if node.attribute:
            attribute = rng.choice(node.attribute)
            attribute.i = rng.choice(DIMENSIONS)
            attribute.f = rng.choice((0.0, float("nan"), 1e30))


def case_tokenizer(rng: random.Random, folder: Path, data: dict[str, Any]) -> Any:
    """Change tokenizer.json: its bytes, its fields, its components."""
    path = folder / TOKENIZER
    text = path.read_text(encoding="utf-8")
    if rng.random() < 0.15:
        path.write_bytes(mutate_bytes(rng, text.encode()))
    else:
        document = json.loads(text)
        if rng.random() < 0.5:
            rng.choice(COMPONENTS)(rng, document)
        else:
            part = rng.choice([key for key, value in document.items() if key != "version"])
            document[part] = mutate(rng, document[part] if rng.random() < 0.9 else document)
        path.write_text(json.dumps(document), encoding="utf-8")
    loosen(rng, data)
    return data


def without_unknown(rng: random.Random, document: dict[str, Any]) -> None:
    """Take the unknown token away, or name another."""
    document["model"]["vocab"].pop("[UNK]", None)
    document["added_tokens"] = [t for t in document["added_tokens"] if t["content"] != "[UNK]"]


def many_added(rng: random.Random, document: dict[str, Any]) -> None:
    """Add tokens, more than a text can be searched for."""
    token = document["added_tokens"][0]
    for number in range(rng.choice((10, 9_000, 100_000))):
        document["added_tokens"].append({**token, "id": 10**6 + number, "content": f"<{number}>"})


def other_model(rng: random.Random, document: dict[str, Any]) -> None:
    """Give the vocabulary to another kind of model."""
    vocab = document["model"]["vocab"]
    document["model"] = rng.choice(
        (
            {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
            {"type": "WordLevel", "vocab": vocab, "unk_token": "none"},
            {"type": "BPE", "vocab": vocab, "merges": [], "unk_token": "none"},
            {"type": "BPE", "vocab": vocab, "merges": [["a", "b"]], "dropout": 0.5},
            {"type": "Unigram", "vocab": [[piece, -1.0] for piece in vocab], "unk_id": None},
            {"type": "Unigram", "vocab": [[piece, -1.0] for piece in vocab], "unk_id": 10**6},
            {"type": "Unigram", "vocab": [], "unk_id": 0},
            {**document["model"], "max_input_chars_per_word": 10**9},
            {**document["model"], "vocab": {**vocab, "turn": 2**32 - 1, "the": 10**6}},
        )
    )


def growing(rng: random.Random, document: dict[str, Any]) -> None:
    """Replace characters by many, many times."""
    part = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * rng.choice((2, 10**4))}
    document["normalizer"] = {"type": "Sequence", "normalizers": [part] * rng.choice((1, 30, 500))}


def slow_pattern(rng: random.Random, document: dict[str, Any]) -> None:
    """Split at a pattern that a text may keep busy for ever."""
    pattern = rng.choice(
        ("(x+)+$", "(x|x)*y", "x*x*x*x*x*y", "(?:x{1000}){1000}", "((", "(x*)*\\1", "x{2,}", "[a-")
    )
    document["pre_tokenizer"] = {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }


def other_parts(rng: random.Random, document: dict[str, Any]) -> None:
    """Take components away, or put others in their place."""
    part = rng.choice(("normalizer", "pre_tokenizer", "post_processor", "decoder"))
    document[part] = rng.choice(
        (
            None,
            {"type": "Precompiled", "precompiled_charsmap": "AAAA" * rng.randint(0, 20)},
            {"type": "Prepend", "prepend": "x" * 10**6},
            {"type": "FixedLength", "length": 0},
            {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": True},
            {
                "type": "ByteLevel",
                "add_prefix_space": True,
                "trim_offsets": True,
                "use_regex": True,
            },
            {"type": "BertProcessing", "sep": ["none", 2**31], "cls": ["[CLS]", 10**6]},
            {
                "type": "TemplateProcessing",
                "single": [{"Sequence": {"id": "B", "type_id": 2**31}}] * rng.choice((1, 1000)),
                "pair": [],
                "special_tokens": {},
            },
        )
    )


COMPONENTS = (without_unknown, many_added, other_model, growing, slow_pattern, other_parts)


def loosen(rng: random.Random, data: dict[str, Any]) -> None:
    """Half the time let any answer pass as the golden one, so that texts are read too."""
    if rng.random() < 0.5:
        data["variants"][0]["golden_tolerance"] = 1e30


CASES: dict[str, Callable[[random.Random, Path, dict[str, Any]], Any]] = {
    "manifest": case_manifest,
    "graph": case_graph,
    "tokenizer": case_tokenizer,
}


def build(kind: str, number: int, folder: Path) -> None:
    """Write the bundle of a case, with hashes that are right."""
    rng = random.Random(f"{kind} {number}")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(TINY / rng.choice(TASKS), folder)
    data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    data = CASES[kind](rng, folder, data)
    if kind != "manifest":
        for file in (data["tokenizer"], data["variants"][0]["model"]):
            content = (folder / file["file"]).read_bytes()
            file |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    if isinstance(data, dict) and isinstance(data.get("manifest_sha256"), str):
        data["manifest_sha256"] = UNHASHED
    text = json.dumps(data)
    digest = hashlib.sha256(text.encode()).hexdigest()
    text = text.replace(f'"manifest_sha256": "{UNHASHED}"', f'"manifest_sha256": "{digest}"')
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def ask(folder: Path) -> None:
    """Open a bundle and label texts with it, in one batch and one by one."""
    predictor = bertedge.load(folder, device="cpu", threads=1)
    texts: list[Any] = [(text, text) for text in TEXTS] if predictor.manifest.model.pair else TEXTS
    predictor.predict(texts)
    for text in texts:
        json.dumps(str(predictor.predict_one(text)))


def main() -> None:
    """Run the cases."""
    folder, results, kind = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    first, count = int(sys.argv[4]), int(sys.argv[5])
    with results.open("a", encoding="utf-8") as out:
        for number in range(first, first + count):
            build(kind, number, folder)
            out.write(json.dumps({"case": number}) + "\n")
            out.flush()
            began = time.process_time()
            found = {"case": number, "error": None, "message": ""}
            try:
                ask(folder)
            except BertedgeError as error:
                found |= {"error": type(error).__name__, "message": str(error)}
            except BaseException as error:
                found |= {"error": f"not ours: {type(error).__name__}", "message": str(error)}
            found |= {"seconds": time.process_time() - began, "peak": memory.peak()}
            out.write(json.dumps(found) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
