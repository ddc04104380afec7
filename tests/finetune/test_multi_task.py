"""One encoder for several tasks, and an ordinary checkpoint for each."""

import csv
import io
import json
import os
import random
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import transformers
from click.testing import CliRunner
from safetensors.torch import load_file

import bertedge
from bertedge import evaluation
from bertedge.checkpoint import TorchEngine, load_model, open_checkpoint
from bertedge.checkpoint.config import ARCHITECTURES
from bertedge.checkpoint.mean_pooling import mean_pooling_class
from bertedge.cli import main
from bertedge.data import open_examples
from bertedge.errors import OutputError, SettingError, StoppedError
from bertedge.export import ExportConfig, export
from bertedge.finetune import FinetuneConfig, Finetuned, MultiTaskConfig, finetune_tasks
from bertedge.finetune.multi_task_trainer import equivalent_rows
from bertedge.finetune.shared_encoder import SharedEncoder
from bertedge.finetune.task_batches import TaskCollator, TaskSampler, share_steps
from bertedge.finetune.tasks_file import read_tasks
from bertedge.model import TextModel
from bertedge.progress import Silent

SHARED: dict[str, object] = {"epochs": 4, "learning_rate": 3e-3, "batch_size": 16}


@pytest.fixture(scope="module")
def data(
    texts: dict[str, Path], tags: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, object]]:
    """Labels, tags of words, and values of pairs."""
    folder, rng = tmp_path_factory.mktemp("pairs"), random.Random(4)
    found: dict[str, dict[str, object]] = {
        "label": {"task": "text-classification", **texts},
        "tags": {"task": "token-classification", **tags},
        "like": {"task": "text-classification", "problem_type": "regression", "pooling": "mean"},
    }
    for split, rows in (("train", 96), ("dev", 32)):
        lines = ["text,pair,label"]
        for _ in range(rows):
            one, other = rng.choices(("red", "apple"), k=2)
            lines.append(f"the {one},the {other},{(one == 'red') + (other == 'red') / 2}")
        path = found["like"][split] = folder / f"{split}.csv"
        path.write_text("\n".join(lines) + "\n")
    return found


def tasks_of(
    data: Mapping[str, dict[str, object]], base: Path, output: Path, **changes: object
) -> MultiTaskConfig:
    shared = {**SHARED, "model": str(base), "output": output, **changes}
    own = {name: FinetuneConfig(**{**shared, **each}) for name, each in data.items()}  # type: ignore[arg-type]
    return MultiTaskConfig(tasks=own)


@pytest.fixture(scope="module")
def trained(
    data: dict[str, dict[str, object]], base: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Finetuned]:
    return finetune_tasks(tasks_of(data, base, tmp_path_factory.mktemp("runs") / "all"))


def encoder_of(folder: Path) -> dict[str, torch.Tensor]:
    tensors = load_file(folder / "model.safetensors")
    return {
        name: tensor
        for name, tensor in tensors.items()
        if name.startswith("bert.") and "pooler" not in name
    }


def test_all_have_the_very_same_encoder_which_has_learnt(
    trained: dict[str, Finetuned], base: Path
) -> None:
    first, *others = (encoder_of(each.output) for each in trained.values())
    before = load_file(base / "model.safetensors")
    assert len(first) > 30
    for other in others:
        assert other.keys() == first.keys()
        assert all(torch.equal(other[name], tensor) for name, tensor in first.items())
    moved = [name for name in first if not torch.equal(first[name], before[name[5:]])]
    assert {name.split(".")[1] for name in moved} == {"embeddings", "encoder"}
    assert sum("layer." in name for name in moved) > 20


def test_each_head_has_learnt_its_own_task(trained: dict[str, Finetuned]) -> None:
    for name, each in trained.items():
        assert each.dev is not None and each.dev.scores is not None
        assert each.dev.scores.value > (0.7 if name == "like" else 0.9), name
        assert each.dev.baseline is not None
        assert each.dev.scores.value > each.dev.baseline.value + 0.3, name


def test_each_is_an_ordinary_checkpoint_with_a_record_of_all(trained: dict[str, Finetuned]) -> None:
    for name, each in trained.items():
        kinds = {"label": transformers.AutoModelForSequenceClassification}
        kind = kinds.get(name, transformers.AutoModel)
        if name == "tags":
            kind = transformers.AutoModelForTokenClassification
        model, info = kind.from_pretrained(each.output, output_loading_info=True)
        missing = [x for x in info["missing_keys"] if "pooler" not in x]
        assert missing == [] and info["mismatched_keys"] == [], name
        record = open_checkpoint(str(each.output)).training
        assert record is not None and record.train.path.endswith(("train.csv", "train.jsonl"))
        assert record.parameters == sum(p.numel() for p in model.parameters()) or name == "like"
        found = {task.name: (task.metric, task.score) for task in record.tasks}
        assert found == {
            other: (its.dev.scores.metric, its.dev.scores.value)  # type: ignore[union-attr]
            for other, its in trained.items()
        }
    curves = (trained["tags"].output / "training.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(curves)))
    (last,) = (row for row in rows if row["epoch"] == "4.0" and row["dev_mean"])
    of = [float(last[f"dev_{n}"]) for n in ("label_accuracy", "tags_entity_f1", "like_spearman")]
    assert float(last["dev_mean"]) == pytest.approx(sum(of) / 3)


def test_one_of_them_is_exported_as_any_checkpoint(
    trained: dict[str, Finetuned], tmp_path: Path
) -> None:
    export(
        ExportConfig(checkpoint=str(trained["tags"].output), output=tmp_path / "b", quantize=True)
    )
    (found,) = bertedge.load(tmp_path / "b", task="token-classification").predict(["the red one"])
    assert [(entity.label, entity.text) for entity in found.entities] == [("COLOR", "red")]


def test_each_predicts_from_the_disk_as_when_it_was_trained(
    trained: dict[str, Finetuned], data: dict[str, dict[str, object]]
) -> None:
    for name, each in trained.items():
        opened = open_checkpoint(str(each.output))
        engine = TorchEngine(load_model(opened))
        model = TextModel.of(opened.model, opened.tokenizer_json, engine)
        own = {"problem_type": opened.model.rule.problem_type, "pair": opened.model.pair}
        dev = open_examples(Path(str(data[name]["dev"])), opened.model.task, **own)  # type: ignore[arg-type]
        assert evaluation.evaluate(model, dev).scores == each.dev.scores, name  # type: ignore[union-attr]


@pytest.mark.parametrize("method", ["lora", "adapter"])
def test_few_parameters_of_the_common_layers_are_trained_and_merged(
    method: str, data: dict[str, dict[str, object]], base: Path, tmp_path: Path
) -> None:
    pytest.importorskip("peft", reason="needs the peft extra")
    two = {name: data[name] for name in ("label", "tags")}
    config = tasks_of(two, base, tmp_path / method, peft=method, epochs=1, learning_rate=1e-2)
    found = finetune_tasks(config)
    one, other = (encoder_of(each.output) for each in found.values())
    before = load_file(base / "model.safetensors")
    assert all(torch.equal(one[name], other[name]) for name in {*one, *other})
    words = "embeddings.word_embeddings.weight"
    assert torch.equal(one[f"bert.{words}"], before[words])
    query = "encoder.layer.1.attention.self.query.weight"
    assert torch.equal(one[f"bert.{query}"], before[query]) == (method == "adapter")
    for each in found.values():
        model = load_model(open_checkpoint(str(each.output)))
        wide = model.base_model.encoder.layer[0].intermediate.dense.weight.shape[0]
        assert wide == model.config.intermediate_size == (64 if method == "lora" else 128)


def test_a_task_may_have_a_teacher_of_its_own(
    trained: dict[str, Finetuned], data: dict[str, dict[str, object]], base: Path, tmp_path: Path
) -> None:
    """Where the loss is the teacher's alone, wrong labels do no harm."""
    wrong = tmp_path / "wrong.csv"
    lines = Path(str(data["label"]["train"])).read_text().splitlines()
    swap = {"color": "fruit", "fruit": "color"}
    flipped = (f"{text},{swap[label]}" for text, label in (x.split(",") for x in lines[1:]))
    wrong.write_text("\n".join([lines[0], *flipped]) + "\n")
    taught = {
        **data["label"],
        "train": wrong,
        "teacher": (str(trained["label"].output),),
        "distillation_alpha": 1.0,
    }
    two = {"label": taught, "tags": data["tags"]}
    found = finetune_tasks(tasks_of(two, base, tmp_path / "out", epochs=3))
    for each in found.values():
        assert each.dev is not None and each.dev.scores is not None
        assert each.dev.scores.value > 0.9


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_heads_of_all_tasks_share_the_layers_of_each_architecture(kind: str) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    if kind == "distilbert":
        sizes = {"dim": 16, "n_layers": 1, "n_heads": 2}
    if kind in ("electra", "albert"):
        sizes["embedding_size"] = 8
    if kind == "modernbert":
        sizes["pad_token_id"] = 0
    settings = transformers.AutoConfig.for_model(kind, vocab_size=50, **sizes)
    autos = (
        transformers.AutoModelForTokenClassification,
        transformers.AutoModelForSequenceClassification,
        transformers.AutoModelForQuestionAnswering,
        transformers.AutoModelForMultipleChoice,
        mean_pooling_class(type(settings)),
    )
    models = [auto.from_config(settings).eval() for auto in autos]
    joint = SharedEncoder(models).eval()
    ids = torch.randint(5, 50, (2, 3, 6))
    given = {"input_ids": ids[0], "attention_mask": torch.ones_like(ids[0])}
    shared = models[0].get_input_embeddings().weight
    for number, model in enumerate(models):
        own = {name: ids if number == 3 else x for name, x in given.items()}
        own["attention_mask"] = torch.ones_like(own["input_ids"])
        types = torch.zeros_like(own["input_ids"])
        task = torch.full((len(types),), number)
        found = joint(**own, token_type_ids=types, task=task)
        expected = model(**own)
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert model.get_input_embeddings().weight is shared
    names = joint.state_dict()
    assert len({tensor.data_ptr() for tensor in names.values()}) == len(names)
    assert {id(p) for p in joint.parameters()} == {id(p) for m in models for p in m.parameters()}


class Stop(Silent):
    def __init__(self, step: int) -> None:
        self.left = step

    def advance(self, by: int, note: str = "") -> None:
        self.left -= bool(note)
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


WAYS: dict[str, dict[str, object]] = {
    "plain": {"gradient_accumulation_steps": 2},
    "with techniques": {
        **{"ema_decay": 0.7, "adversarial": "fgm", "rdrop_alpha": 1.0, "mixout": 0.3},
        **{"augment": ("deletion",), "freeze": 1, "gradient_checkpointing": True},
    },
}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    way: str, data: dict[str, dict[str, object]], base: Path, tmp_path: Path
) -> None:
    two = {name: data[name] for name in ("label", "tags")}
    short = {"epochs": 1.5, "batch_size": 16, **WAYS[way]}
    finetune_tasks(tasks_of(two, base, tmp_path / "whole", **short))
    with pytest.raises(StoppedError):
        finetune_tasks(tasks_of(two, base, tmp_path / "broken", **short), Stop(24))
    turned = tasks_of(dict(reversed(two.items())), base, tmp_path / "broken", **short)
    with pytest.raises(SettingError, match="the interrupted run had tasks"):
        finetune_tasks(turned, resume=True)
    finetune_tasks(tasks_of(two, base, tmp_path / "broken", **short), resume=True)
    for name in two:
        whole, broken = (tmp_path / x / name / "model.safetensors" for x in ("whole", "broken"))
        assert whole.read_bytes() == broken.read_bytes()


def test_steps_are_shared_by_a_power_of_the_rows() -> None:
    assert share_steps([900, 100], 10, 1.0) == [90, 10]
    assert share_steps([900, 100], 10, 0.5) == [75, 25]
    assert share_steps([900, 100], 10, 0.0) == [50, 50]
    assert share_steps([1000, 1, 1], 100, 1.0) == [9, 1, 1]
    assert share_steps([1, 1], 100, 0.5) == [1, 1]


def test_the_mean_of_several_scores_has_the_standard_error_of_more_rows() -> None:
    assert equivalent_rows([80]) == 80
    assert equivalent_rows([50, 50]) == 100
    assert equivalent_rows([10, 10_000]) == 40  # (1/10 + 1/10000) / 4: the small one's half


def test_a_step_is_of_one_task_and_small_ones_come_again() -> None:
    lengths = [[3] * 90, [5] * 7]
    sampler = TaskSampler(lengths, 8, 0.5)
    torch.manual_seed(0)
    rows, other = list(sampler), list(sampler)
    assert len(sampler) == len(rows) == 8 * sum(sampler.steps) == 8 * 13
    steps = [{row >= 90 for row in rows[i : i + 8]} for i in range(0, len(rows), 8)]
    assert all(len(step) == 1 for step in steps)
    assert [True in step for step in steps].count(True) == sampler.steps[1] == 3
    of_small = [rows.count(row) for row in range(90, 97)]
    assert set(of_small) == {3, 4}
    assert rows != other
    collator = TaskCollator([lambda rows: {"n": torch.tensor(len(rows))}, lambda rows: {}])
    batch = collator([{"task": 0, "x": 1}, {"task": 0, "x": 2}])
    assert (batch["n"], batch["task"].tolist()) == (2, [0, 0])


def write_recipe(
    folder: Path, data: Mapping[str, dict[str, object]], base: Path, more: str
) -> Path:
    lines = [f'model = "{base}"', "epochs = 1", f'output = "{folder / "out"}"', more]
    for name, own in data.items():
        lines += [f"[tasks.{name}]", *(f'{key} = "{value}"' for key, value in own.items())]
    path = folder / "multi.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_command_trains_what_a_config_file_lists(
    data: dict[str, dict[str, object]], base: Path, tmp_path: Path
) -> None:
    blind = {key: value for key, value in data["like"].items() if key != "dev"}
    two = {"label": data["label"], "like": blind}
    recipe = write_recipe(tmp_path, two, base, "task_sampling = 1\ndev_share = 0")
    call = ["finetune", "--config", str(recipe), "--batch-size", "64"]
    run = CliRunner().invoke(main, call)
    assert run.exit_code == 0, run.output
    assert "steps of an epoch: label 5, like 2" in run.stderr
    assert "dev mean" in run.stderr and "like_spearman" not in run.stderr  # the others are scored
    assert f"checkpoint: {tmp_path / 'out' / 'like'}" in run.stdout
    again = CliRunner().invoke(main, call)
    assert again.exit_code == 1 and "exists already" in again.stderr
    replaced = CliRunner().invoke(main, [*call, "--overwrite", "--json"])
    assert replaced.exit_code == 0, replaced.output
    found = json.loads(replaced.stdout)
    assert found.keys() == two.keys() and found["like"]["settings"]["batch_size"] == 64


REFUSED = {
    "tasks = 3": "write [tasks.NAME] for each task",
    "[tasks]\nlabel = 3": "write [tasks.NAME] for each task",
    "[tasks.one]": "found one; one is trained without",
    "[tasks.a]\n[tasks.b]\n[tasks.a]": "cannot be read as TOML",
    "[tasks.a]\ntrain = 'x.csv'\n[tasks.b]": "task b: --train is missing",
    "[tasks.a]\ncolor = 'x.csv'\n[tasks.b]": "color is unknown",
    "task_sampling = 2\n[tasks.a]\n[tasks.b]": "task_sampling is 2; it must be from 0 to 1",
    "[tasks.a]\nepochs = 3\n[tasks.b]": "epochs is 3.0 for the task a and None for b",
    "[tasks.'../a']\n[tasks.b]": "cannot name a task",
    "auto = true\n[tasks.a]\n[tasks.b]": "--auto and several tasks cannot be combined",
    "folds = 3\n[tasks.a]\n[tasks.b]": "--folds and several tasks cannot be combined",
    "freeze = 'auto'\n[tasks.a]\n[tasks.b]": "--freeze auto and several tasks cannot be combined",
    "peft = 'prompt'\nnum_virtual_tokens = 4\n[tasks.a]\n[tasks.b]": "--num-virtual-tokens and",
    "adapt = true\n[tasks.a]\n[tasks.b]": "--adapt and several tasks cannot be combined",
    "unlabelled = 'u'\n[tasks.a]\n[tasks.b]": "--unlabelled and several tasks cannot be combined",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_is_refused_in_a_line(
    text: str, texts: dict[str, Path], tmp_path: Path
) -> None:
    own = f"task = 'text-classification'\ntrain = '{texts['train']}'\n"
    given = REFUSED[text]
    if "train" not in given and "one" not in given.split():
        text = text.replace("[tasks.a]\n", f"[tasks.a]\n{own}").replace(
            "[tasks.b]", f"[tasks.b]\n{own}"
        )
        text = text.replace("[tasks.'../a']\n", f"[tasks.'../a']\n{own}")
    elif "one" in given.split():
        text += "\n" + own
    else:
        text = "task = 'text-classification'\n" + text
    path = tmp_path / "multi.toml"
    path.write_text(f"model = 'm'\noutput = 'out'\n{text}\n")
    with pytest.raises(SettingError) as found:
        read_tasks(path, {})
    line = str(found.value)
    assert given in line and "\n" not in line and len(line) <= 300


def test_a_file_of_one_task_is_no_list_of_tasks(tmp_path: Path) -> None:
    path = tmp_path / "one.toml"
    path.write_text("epochs = 3\n")
    assert read_tasks(path, {}) is None
    assert read_tasks(None, {}) is None


def test_keys_above_hold_for_all_and_flags_before_them(
    texts: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "multi.toml"
    path.write_text(
        "task = 'text-classification'\nmodel = './base'\noutput = 'out'\nlabel_smoothing = 0.1\n"
        "epochs = 2\n[tasks.a]\ntrain = 'a.csv'\n"
        "[tasks.b]\ntrain = 'b.csv'\nlabel_smoothing = 0.2\n"
    )
    found = read_tasks(path, {"epochs": 5.0, "output": tmp_path / "there"})
    assert found is not None
    one, other = found.tasks.values()
    assert (one.train, other.train) == (tmp_path / "a.csv", tmp_path / "b.csv")
    assert (one.label_smoothing, other.label_smoothing) == (0.1, 0.2)
    assert one.epochs == other.epochs == 5
    assert one.model == str(tmp_path / "base")
    assert found.checkpoints["b"].output == tmp_path / "there" / "b"


def test_nothing_is_left_where_the_output_may_not_be(
    data: dict[str, dict[str, object]], base: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("")
    with pytest.raises(OutputError, match="exists already"):
        finetune_tasks(tasks_of(data, base, tmp_path / "mine"))
