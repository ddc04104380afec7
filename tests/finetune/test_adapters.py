"""Few parameters are trained, and the checkpoint holds them as weights of a plain model."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from click.testing import CliRunner
from safetensors.numpy import load_file

from bertedge.checkpoint.config import ARCHITECTURES
from bertedge.cli import main
from bertedge.errors import MissingExtraError, SettingError
from bertedge.finetune import adapters
from bertedge.finetune.adapters import adapt
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.run import finetune
from bertedge.finetune.trained_parameters import select_parameters
from bertedge.finetune.virtual_tokens import draw_rows
from bertedge.progress import Silent
from bertedge.spec import Task

pytest.importorskip("peft", reason="needs the peft extra")

LAYERS, HIDDEN, WIDTH, VOCABULARY, RANK, UNITS, TOKENS = 3, 8, 16, 30, 2, 5, 4
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"lora_rank": RANK},
    "lora, all linear": {"lora_rank": RANK, "lora_target_modules": "all-linear"},
    "dora": {"lora_rank": RANK},
    "ia3": {},
    "adapter": {"adapter_size": UNITS},
    "prompt": {"num_virtual_tokens": TOKENS},
    "p-tuning": {"num_virtual_tokens": TOKENS},
}
ATTENTION = 2 * RANK * HIDDEN
"""Parameters of the update of a matrix whose inputs are as many as its outputs: A and B."""
PERCEPTRON = 3 * (HIDDEN * HIDDEN + HIDDEN)
PARAMETERS = {
    "lora": LAYERS * 2 * ATTENTION,
    "lora, all linear": LAYERS * (4 * ATTENTION + 2 * RANK * (HIDDEN + WIDTH)),
    "dora": LAYERS * 2 * (ATTENTION + HIDDEN),
    "ia3": LAYERS * (HIDDEN + HIDDEN + WIDTH),
    "adapter": LAYERS * (2 * UNITS * HIDDEN + UNITS),
    "prompt": TOKENS * HIDDEN,
    "p-tuning": TOKENS * HIDDEN + PERCEPTRON,
}
"""Beside the head's."""
GATED = {
    "lora": LAYERS * 2 * ATTENTION,
    "lora, all linear": LAYERS * RANK * (4 * HIDDEN + 2 * HIDDEN + 2 * HIDDEN + 3 * WIDTH),
    "dora": LAYERS * (2 * ATTENTION + 3 * HIDDEN),
    "ia3": LAYERS * (3 * HIDDEN + WIDTH),
    "adapter": LAYERS * 3 * UNITS * HIDDEN,
}
"""Of ModernBERT: one matrix for queries, keys and values, a gate, and no biases."""
KINDS = pytest.mark.parametrize("kind", ARCHITECTURES)


def model_of(kind: str) -> transformers.PreTrainedModel:
    sizes = {"vocab_size": VOCABULARY, "max_position_embeddings": 40, "num_labels": 3}
    if kind == "distilbert":
        sizes |= {"dim": HIDDEN, "hidden_dim": WIDTH, "n_layers": LAYERS, "n_heads": 2}
    else:
        sizes |= {"hidden_size": HIDDEN, "intermediate_size": WIDTH, "num_attention_heads": 2}
        sizes |= {"num_hidden_layers": LAYERS}
    sizes |= {"embedding_size": HIDDEN} if kind in ("electra", "albert") else {}
    sizes |= {"pad_token_id": 0, "local_attention": 4} if kind == "modernbert" else {}
    sizes |= {"relative_attention": True, "share_att_key": True} if kind == "deberta-v2" else {}
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **sizes)
    return transformers.AutoModelForSequenceClassification.from_config(config)


def config_of(method: str, **changes: object) -> FinetuneConfig:
    plain = {"task": Task.TEXT_CLASSIFICATION, "train": "t", "output": "o", "model": "m"}
    options = {"peft": method.partition(",")[0], **METHODS.get(method, {})}
    return FinetuneConfig(**{**plain, **options, **changes})  # type: ignore[arg-type]


class Grown:
    """As long as a tokenizer that virtual tokens were added to."""

    def __len__(self) -> int:
        return VOCABULARY + TOKENS


def adapted(
    kind: str, method: str, **changes: Any
) -> tuple[transformers.PreTrainedModel, adapters.Merge]:
    model, config = model_of(kind), config_of(method, **changes)
    if config.num_virtual_tokens is not None:
        draw_rows(model, Grown(), TOKENS)  # type: ignore[arg-type]
    select_parameters(model, config)
    merge = adapt(model, Grown(), config)  # type: ignore[arg-type]
    return model.eval(), merge


def trained_of(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    return {name: each for name, each in model.named_parameters() if each.requires_grad}


def head_of(kind: str) -> set[str]:
    names = {name for name, _ in model_of(kind).named_parameters()}
    encoder = (".embeddings", ".encoder.", ".transformer.", "model.layers.")
    return {name for name in names if not any(part in name for part in encoder)}


def parameters_of(kind: str, method: str) -> int:
    """Return how many the paper counts; ALBERT has one layer, which it runs again and again."""
    if kind == "modernbert":
        return GATED.get(method, PARAMETERS[method])
    shared = kind == "albert" and not config_of(method).num_virtual_tokens
    return PARAMETERS[method] // (LAYERS if shared else 1)


@KINDS
@pytest.mark.parametrize("method", METHODS)
def test_the_head_and_as_many_parameters_as_the_paper_counts_are_trained(
    kind: str, method: str
) -> None:
    before = model_of(kind).eval()
    model, _ = adapted(kind, method)
    trained = trained_of(model)
    head = head_of(kind)
    assert head < set(trained)
    assert sum(trained[name].numel() for name in set(trained) - head) == parameters_of(kind, method)
    ids = torch.tensor([[2, 7, 8, 9, 3]])
    assert torch.allclose(model(ids).logits, before(ids).logits, atol=1e-6)  # it starts as it was


@KINDS
@pytest.mark.parametrize("method", METHODS)
def test_the_merged_checkpoint_has_the_logits_of_the_trained_model(
    kind: str, method: str, tmp_path: Path
) -> None:
    model, merge = adapted(kind, method)
    virtual = [*range(VOCABULARY, VOCABULARY + TOKENS)] if "p" in (method[0], method[-1]) else []
    ids = torch.tensor([[2, *virtual, 7, 8, 3], [2, *virtual, 9, 3, 1]])
    mask = (ids != 1).long()
    before = model(ids, attention_mask=mask).logits.detach()
    for each in trained_of(model).values():
        torch.nn.init.normal_(each, mean=0.5)
    logits = model(ids, attention_mask=mask).logits.detach()
    assert (logits - before).abs().max() > 0.1
    merge()
    model.save_pretrained(tmp_path)
    loaded, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(info.values())
    assert type(loaded) is type(model_of(kind))
    found = loaded.eval()(ids, attention_mask=mask).logits
    assert torch.allclose(found, logits, atol=1e-5)


@pytest.mark.parametrize("method", ["lora", "ia3", "adapter"])
@pytest.mark.parametrize("lowest", [{"freeze": 2}, {"train_layers": 1}])
def test_frozen_layers_are_not_adapted(method: str, lowest: dict[str, int]) -> None:
    whole, _ = adapted("bert", method)
    model, merge = adapted("bert", method, **lowest)
    lower = {name for name in trained_of(whole) if ".layer.0." in name or ".layer.1." in name}
    assert lower and set(trained_of(model)) == set(trained_of(whole)) - lower
    ids = torch.tensor([[2, 7, 8, 9, 3]])
    logits = model(ids).logits
    merge()
    assert torch.allclose(model(ids).logits, logits, atol=1e-6)
    with pytest.raises(SettingError, match="leave out what freezes them"):
        adapted("bert", method, train_layers=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft": "prefix"}, "peft is 'prefix', which adds keys and values for each layer, .*; ta"),
        ({"peft": "houlsby"}, "peft is 'houlsby', which adds modules after .*; take adapter"),
        ({"peft": "qlora"}, "peft is 'qlora'; choose one of lora, dora, ia3, adapter, prompt, p-t"),
        ({"peft": None, "lora_rank": 8}, "lora_rank is for --peft lora or dora; peft is not set"),
        ({"peft": "ia3", "lora_alpha": 8}, "lora_alpha is for --peft lora or dora; peft is ia3"),
        ({"num_virtual_tokens": 8}, "num_virtual_tokens is for --peft prompt or p-tuning; peft is"),
        ({"adapter_size": 8}, "adapter_size is for --peft adapter; peft is lora"),
        ({"lora_rank": 0}, "lora_rank is 0; it must be at least 1 and at most 4096"),
        ({"lora_alpha": 0.0}, "lora_alpha is 0.0; it must be above 0"),
        ({"lora_dropout": 0.95}, "lora_dropout is 0.95; it must be at least 0 and at most 0.9"),
        ({"lora_target_modules": "all"}, "choose one of query-value, all-linear"),
        ({"peft": "adapter", "adapter_size": 0}, "adapter_size is 0; it must be at least 1"),
        ({"peft": "prompt", "num_virtual_tokens": 999}, "num_virtual_tokens is 999; it must be"),
        ({"peft": "prompt", "freeze": 1}, "--num-virtual-tokens and --freeze cannot be combined"),
        ({"peft": "prompt", "augment": ("masked-lm",)}, "--augment masked-lm and --peft prompt"),
        ({"bitfit": True}, "--peft and --bitfit cannot be combined"),
        ({"gradual_unfreezing": 0.5}, "--peft and --gradual-unfreezing cannot be combined"),
        (
            {"peft": "prompt", "teacher": "t", "model": None},
            "--num-virtual-tokens and --teacher cannot be combined: .*; take --peft lora",
        ),
    ],
)
def test_a_wrong_setting_is_one_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message) as caught:
        config_of("lora", **{"lora_rank": None, **changes})
    assert "\n" not in str(caught.value) and len(str(caught.value)) <= 300


def test_the_methods_own_defaults_are_in_the_config() -> None:
    config = config_of("lora", lora_rank=None)
    assert (config.lora_rank, config.lora_alpha, config.lora_dropout) == (8, 16.0, 0.1)
    assert (config.adapter_size, config.num_virtual_tokens) == (None, None)


def test_without_the_library_the_extra_is_named(
    base: Path, texts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'bertedge\[peft\]'"):
        run(base, texts, tmp_path / "run", "lora")
    assert not (tmp_path / ".run.partial").exists()
    model, _ = adapted("bert", "adapter")  # which is none of the library's
    assert trained_of(model)


class Lines(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)


def run(
    base: Path,
    texts: dict[str, Path],
    output: Path,
    method: str,
    progress: Silent | None = None,
    **changes: object,
) -> dict[str, np.ndarray]:
    """Train on 32 texts; give the weights."""
    files = {}
    for split in ("train", "dev"):
        files[split] = output.with_name(f"{output.name}-{split}.csv")
        files[split].write_text("\n".join(texts[split].read_text().splitlines()[:33]) + "\n")
    settings: dict[str, object] = {"model": str(base), "output": output, "epochs": 2, **files}
    settings["pooling"] = "cls"  # the head of transformers itself
    settings |= {"batch_size": 8, "learning_rate": 1e-2, "weight_decay": 0.0, **changes}
    finetune(config_of(method, **settings), progress or Silent())
    return load_file(output / "model.safetensors")


def changed(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The changes of the encoder's weights, by the names of the base."""
    encoder = {name: after[f"bert.{name}"] - before[name] for name in before}
    return {name: each for name, each in encoder.items() if np.any(each) and "pooler" not in name}


@pytest.mark.parametrize(("rank", "targets"), [(1, "query-value"), (3, "all-linear")])
def test_lora_changes_its_matrices_alone_and_by_its_rank(
    base: Path, texts: dict[str, Path], tmp_path: Path, rank: int, targets: str
) -> None:
    before = load_file(base / "model.safetensors")
    options = {"lora_rank": rank, "lora_target_modules": targets}
    differences = changed(before, run(base, texts, tmp_path / "run", "lora", **options))
    matrices = [n for n in before if ".layer." in n and n.endswith("weight") and "Norm" not in n]
    if targets == "query-value":
        matrices = [name for name in matrices if "query" in name or "value" in name]
    assert set(differences) == set(matrices)
    ranks = {np.linalg.matrix_rank(each, tol=1e-5) for each in differences.values()}
    assert ranks == {rank}


def test_an_adapter_leaves_the_encoder_as_it_is_and_widens_it(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    before = load_file(base / "model.safetensors")
    after = run(base, texts, tmp_path / "run", "adapter")
    width = len(before["encoder.layer.0.intermediate.dense.bias"])
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["intermediate_size"] == width + UNITS
    for name, weight in before.items():
        if "pooler" not in name:
            own = after[f"bert.{name}"][tuple(slice(size) for size in weight.shape)]
            assert np.array_equal(own, weight), name
    assert np.any(after["bert.encoder.layer.1.output.dense.weight"][:, width:])


@pytest.mark.parametrize("method", ["lora", "adapter", "prompt"])
def test_what_is_merged_is_of_the_best_epoch(
    base: Path, texts: dict[str, Path], tmp_path: Path, method: str
) -> None:
    """At a rate that goes up and down."""
    lines = Lines()
    run(base, texts, tmp_path / "run", method, lines, epochs=4, learning_rate=0.2)
    said = [re.search(r"dev accuracy ([\d.]+)", line) for line in lines.said]
    scores = [float(found[1]) for found in said if found]
    record = json.loads((tmp_path / "run" / "training.json").read_text())
    assert len(scores) == 4
    assert record["dev_scores"]["value"] == pytest.approx(max(scores), abs=1e-4)


def test_a_student_differs_from_its_teacher_where_it_is_adapted(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    files = {"model": None, "teacher": (str(tmp_path / "teacher"),)}
    before = run(base, texts, tmp_path / "teacher", "adapter")
    after = run(base, texts, tmp_path / "student", "lora", lora_rank=1, **files)
    matrices = {name for name in before if "query.weight" in name or "value.weight" in name}
    differ = {name for name in before if not np.array_equal(before[name], after[name])}
    assert differ == matrices | {name for name in before if "pooler" in name or "class" in name}


ROWS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "token-classification": (
        "prompt",
        {"tokens": ["see", "red", "oslo"], "tags": ["O", "B-COLOR", "B-PLACE"]},
        {},
    ),
    "intent-slots": (
        "p-tuning",
        {"tokens": ["see", "oslo", "lima"], "tags": ["O", "B-PLACE", "I-PLACE"], "intent": "go"},
        {"tokens": ["take", "oslo", "lima"], "intent": "buy"},
    ),
    "question-answering": (
        "prompt",
        {"question": "old", "context": "take " * 30 + "red", "answers": [{"text": "red"}]},
        {"question": "new", "answers": [{"text": "take"}]},
    ),
    "multiple-choice": (
        "ia3",
        {"context": "old", "endings": ["red", "pear"], "label": 0},
        {"endings": ["pear", "red", "plum"], "label": 1},
    ),
}
"""For each task a method, a row, and what is not the same in another row."""


@pytest.mark.parametrize("task", ROWS)
def test_every_task_is_scored_from_the_checkpoint_as_after_training(
    base: Path, tmp_path: Path, task: str
) -> None:
    """A context of 31 words is read in windows that have the virtual tokens each."""
    method, row, other = ROWS[task]
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(json.dumps(each) for each in [row, row | other] * 4))
    files = {"train": data, "dev": data, "output": tmp_path / "run", "model": str(base)}
    settings = {"task": task, "epochs": 2, "batch_size": 4, "learning_rate": 1e-2, **files}
    finished = finetune(config_of(method, **settings), Silent())
    assert finished is not None and finished.dev is not None
    arguments = ["evaluate", str(tmp_path / "run"), "--data", str(data), "--json"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["scores"]["value"] == finished.dev.scores.value


ISOLATED = """
import sys
sys.modules["peft"] = None
import torch, transformers
folder, text = sys.argv[1:]
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
print(model(**tokenizer(text, return_tensors="pt")).logits.tolist())
"""


def test_the_checkpoint_is_opened_where_the_library_is_not_and_exported(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    """A prompt's, which changes the tokenizer too, trained on from an adapter's, of other width."""
    import bertedge
    from bertedge.export import ExportConfig, export

    run(base, texts, tmp_path / "adapter", "adapter")
    run(tmp_path / "adapter", texts, tmp_path / "run", "prompt")
    text = "take one red apple"
    arguments = [sys.executable, "-c", ISOLATED, tmp_path / "run", text]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wanted = torch.tensor(json.loads(done.stdout)).softmax(-1).max()
    loose = {"quantize": True, "keep_fp32": True, "max_drop": 100.0, "min_agreement": 0.0}
    export(
        ExportConfig(checkpoint=str(tmp_path / "run"), output=tmp_path / "bundle", **loose)  # type: ignore[arg-type]
    )
    for variant, error in (("cpu-fp32", 1e-4), ("cpu-int8", 0.2)):
        (prediction,) = bertedge.load(tmp_path / "bundle", variant=variant).predict([text])
        assert prediction.score == pytest.approx(float(wanted), abs=error)
