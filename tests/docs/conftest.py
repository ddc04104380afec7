"""A folder with what the documents' commands read: small files, a tiny base, a bench record."""

import csv
import json
import random
import shutil
import string
from collections.abc import Iterable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ROOMS = ("hall", "kitchen", "bedroom", "attic", "garden")
MUSIC = ("jazz", "rock", "opera", "folk")
DOORS = ("back", "front", "side")
INTENTS = ("lights_off", "music_play", "device_status")
SHOWN = (
    ("turn the hall lights off", "lights_off"),
    ("play some jazz", "music_play"),
    ("is the back door locked", "device_status"),
)
TAGGED = (
    ("play jazz in the living room", "O O O O B-room I-room", "music_play"),
    ("turn the hall lights off", "O O B-room B-device O", "lights_off"),
)
JOINT = (TAGGED[1], ("play some jazz", "O O O", "music_play"))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that each page's own is a copy of."""
    folder = tmp_path_factory.mktemp("documents") / "prepared"
    folder.mkdir()
    rng = random.Random(0)
    for name, rows in (("train", 150), ("dev", 60), ("test", 60)):
        write_csv(folder / f"{name}.csv", "text,label", [*SHOWN, *classified(rng, rows - 3)])
    (folder / "lines.txt").write_text("".join(f"{text}\n" for text, _ in SHOWN))
    write_csv(folder / "several.csv", "text,labels", several(rng))
    write_csv(folder / "values.csv", "text,label", values(rng))
    (folder / "corpus.txt").write_text(
        "".join(f"{text}\n" for text in corpus(rng)), encoding="utf-8"
    )
    write_json_lines(folder / "tags.jsonl", tagged(rng, TAGGED, ("tokens", "tags")))
    write_json_lines(folder / "joint.jsonl", tagged(rng, JOINT, ("tokens", "tags", "intent")))
    write_json_lines(folder / "questions.jsonl", questions(rng))
    write_json_lines(folder / "choices.jsonl", choices(rng))
    record = REPOSITORY / "benchmarks" / "bench_home_intents.json"
    shutil.copyfile(record, folder / record.name)
    base = folder / "bert-base-uncased"
    make_base(base, (folder / "corpus.txt").read_text())
    inference = ("contradiction", "entailment", "neutral")
    make_classifier(folder / "cross-encoder" / "nli-deberta-v3-small", base, inference)
    reranker = folder / "cross-encoder" / "ms-marco-MiniLM-L6-v2"
    make_classifier(reranker, base, ("LABEL_0",))
    (reranker / "config_sentence_transformers.json").write_text(
        '{"model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.linear.Identity"}'
    )
    make_setfit(folder / "setfit-model", base)
    return folder


def classified(rng: random.Random, rows: int) -> Iterable[tuple[str, str]]:
    for i in range(rows):
        intent = INTENTS[i % 3]
        yield sentence(rng, intent)[0], intent


def sentence(rng: random.Random, intent: str) -> tuple[str, str]:
    """A text of an intent, and the tags of its words."""
    room, polite = rng.choice(ROOMS), rng.random() < 0.5
    match intent:
        case "lights_off":
            text, tags = f"turn the {room} lights off", "O O B-room B-device O"
        case "music_play":
            text, tags = f"play some {rng.choice(MUSIC)}", "O O O"
            if polite:
                text, tags = f"{text} in the living room", f"{tags} O O B-room I-room"
        case _:
            text, tags = f"is the {rng.choice(DOORS)} door locked", "O O O B-device O"
    return (f"{text} please", f"{tags} O") if polite else (text, tags)


def several(rng: random.Random) -> Iterable[tuple[str, str]]:
    yield "turn the hall lights off and play some jazz", "lights_off,music_play"
    yield "play some jazz", "music_play"
    yield "hello", ""
    for i in range(450):
        one, other = INTENTS[i % 3], INTENTS[(i + 1) % 3]
        if i % 2:
            yield sentence(rng, one)[0], one
        else:
            both = f"{sentence(rng, one)[0]} and {sentence(rng, other)[0]}"
            yield both, ",".join(sorted((one, other)))


def values(rng: random.Random) -> Iterable[tuple[str, str]]:
    yield "play some jazz", "0.5"
    yield "turn the hall lights off", "2.25"
    for text, intent in classified(rng, 120):
        yield text, str({"music_play": 0.5, "lights_off": 2.25}.get(intent, 1.5))


def tagged(
    rng: random.Random, shown: Iterable[tuple[str, str, str]], keys: tuple[str, ...]
) -> Iterable[dict[str, object]]:
    made = ((*sentence(rng, INTENTS[i % 2]), INTENTS[i % 2]) for i in range(150))
    for text, tags, intent in (*shown, *made):
        row = {"tokens": text.split(), "tags": tags.split(), "intent": intent}
        yield {key: row[key] for key in keys}


def questions(rng: random.Random) -> Iterable[dict[str, object]]:
    rooms = ["hall", "kitchen", *(rng.choice(ROOMS) for _ in range(120))]
    for i, room in enumerate(rooms):
        asked, context = (
            ("where do the lights go off", f"the lights go off in the {room}"),
            ("where does the jazz play", f"the jazz plays in the {room}"),
        )[i % 2]
        answers = {"text": [room], "answer_start": [context.index(room)]}
        yield {"question": asked, "context": context, "answers": answers}


def choices(rng: random.Random) -> Iterable[dict[str, object]]:
    yield {
        "context": "it is dark in the hall",
        "endings": ["turn the hall lights on", "play some jazz"],
        "label": 0,
    }
    for _ in range(200):
        room = rng.choice(ROOMS)
        endings = [f"turn the {room} lights on", f"play some {rng.choice(MUSIC)}"]
        rng.shuffle(endings)
        label = next(i for i, each in enumerate(endings) if "lights" in each)
        yield {"context": f"it is dark in the {room}", "endings": endings, "label": label}


def corpus(rng: random.Random) -> Iterable[str]:
    yield from ("play some jazz in the kitchen", SHOWN[0][0], SHOWN[2][0])
    yield "hello and where do the lights go off where does the jazz play the jazz plays in the hall"
    yield "it is dark in the hall"
    yield from (sentence(rng, INTENTS[i % 3])[0] for i in range(300))


def write_csv(path: Path, head: str, rows: Iterable[tuple[str, str]]) -> None:
    with path.open("w", newline="") as file:
        file.write(f"{head}\n")
        csv.writer(file, lineterminator="\n").writerows(rows)


def write_json_lines(path: Path, rows: Iterable[dict[str, object]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def make_base(folder: Path, corpus: str) -> None:
    """A BERT of two layers with random weights, under the name that the documents give."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir()
    letters = string.ascii_lowercase + string.digits
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    pieces += [*(f"##{letter}" for letter in letters), *sorted(set(corpus.split()))]
    words = folder / "vocab.txt"
    words.write_text("\n".join(dict.fromkeys(pieces)) + "\n")
    config = BertConfig(
        vocab_size=len(dict.fromkeys(pieces)),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,  # from wide weights it learns in a few epochs, whatever the seed
    )
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    BertTokenizerFast(str(words), model_max_length=64).save_pretrained(folder)


def make_classifier(folder: Path, base: Path, labels: tuple[str, ...]) -> None:
    """The base with a head of random weights."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    named = dict(enumerate(labels))
    numbers = {label: i for i, label in named.items()}
    torch.manual_seed(0)
    config = BertConfig.from_pretrained(base, id2label=named, label2id=numbers)
    BertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)


def make_setfit(folder: Path, base: Path) -> None:
    """The base with a linear head that knows nothing, as SetFit and its page save it."""
    import numpy as np
    from safetensors.numpy import save_file

    shutil.copytree(base, folder)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    rows = [
        {"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in modules
    ]
    (folder / "modules.json").write_text(json.dumps(rows))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean"}')
    settings = {"normalize_embeddings": False, "labels": list(INTENTS)}
    (folder / "config_setfit.json").write_text(json.dumps(settings))
    rng = np.random.default_rng(0)
    head = {"coef": rng.normal(size=(3, 32)), "intercept": rng.normal(size=3)}
    save_file(head, folder / "model_head.safetensors")
