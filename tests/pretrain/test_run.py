import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import transformers
from click.testing import CliRunner
from safetensors.numpy import load_file

from bertedge import serialization
from bertedge.cli import main
from bertedge.errors import SettingError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.run import finetune
from bertedge.pretrain.collator import IGNORED
from bertedge.pretrain.config import PretrainConfig
from bertedge.pretrain.head import MaskedTokenHead, make_model
from bertedge.pretrain.record import Pretraining
from bertedge.pretrain.run import Pretrained, pretrain
from bertedge.progress import Silent
from bertedge.spec import Task
from bertedge.training.config import Precision


def config(text: Path, output: Path, **changes: object) -> PretrainConfig:
    plain: dict[str, object] = {
        "text": (text,),
        "output": output,
        "size": "2x32x2",
        "vocab_size": 120,
        "max_length": 26,  # six lines of four words
        "max_steps": 400,
        "batch_size": 16,
        "learning_rate": 3e-3,
        "dropout": 0.0,
        "held_out": 0.1,
        "checks": 4,
    }
    return PretrainConfig(**{**plain, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def fruits(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    finished = pretrain(config(text, tmp_path_factory.mktemp("bases") / "fruits"), Silent())
    assert finished is not None
    return finished


def test_perplexity_falls_and_the_curve_is_recorded(fruits: Pretrained) -> None:
    written = json.loads((fruits.output / "pretraining.json").read_text())
    record = serialization.from_plain(Pretraining, written)
    assert record == fruits.record
    curve = record.checks
    assert [check.step for check in curve] == [0, 100, 200, 300, 400]
    assert curve[0].perplexity > 60
    assert curve[-1].perplexity < 5 and curve[-1].accuracy > 0.5
    assert record.steps == 400 and record.documents == 60
    assert record.settings["precision"] in ("fp32", "bf16")
    rows = (fruits.output / "training.csv").read_text().splitlines()
    assert rows[0] == "step,epoch,loss,learning_rate,grad_norm,seconds"
    assert [int(row.partition(",")[0]) for row in rows[1:]] == list(range(10, 401, 10))


def test_nothing_but_the_base_is_left(fruits: Pretrained) -> None:
    assert [path.name for path in fruits.output.parent.iterdir()] == ["fruits"]


def test_transformers_fills_masks_with_it(fruits: Pretrained) -> None:
    fill = transformers.pipeline("fill-mask", model=str(fruits.output))
    for color, fruit in (("red", "apple"), ("blue", "pear")):
        said = fill(f"see the {color} [MASK] take a {color} {fruit}", top_k=1)
        assert [each["token_str"] for each in said] == [fruit]


def test_the_last_check_is_the_perplexity_of_the_written_weights(
    text: Path, tmp_path: Path
) -> None:
    changes = {"precision": Precision.FP32, "max_steps": 10}
    first = pretrain(config(text, tmp_path / "a", **changes), Silent())
    more = {"model": str(tmp_path / "a"), "size": None, "max_steps": 1}
    second = pretrain(config(text, tmp_path / "b", **(changes | more)), Silent())
    assert first is not None and second is not None
    # The vocabulary is the same, so are the rows held out and their masks.
    before, after = second.record.checks[0], first.record.checks[-1]
    assert before.perplexity == pytest.approx(after.perplexity, rel=1e-5)
    assert second.record.base == "a" and first.record.base is None


def test_finetune_takes_the_encoder(
    fruits: Pretrained, texts: dict[str, Path], tmp_path: Path
) -> None:
    settings = FinetuneConfig(
        task=Task.TEXT_CLASSIFICATION,
        train=texts["train"],
        model=str(fruits.output),
        output=tmp_path / "out",
        epochs=1,
        freeze=2,
    )
    finished = finetune(settings, Silent())
    assert finished is not None and finished.training.base == "fruits"
    before = load_file(fruits.output / "model.safetensors")
    after = load_file(tmp_path / "out" / "model.safetensors")
    name = "bert.encoder.layer.1.output.dense.weight"
    assert (before[name] == after[name]).all()


def test_a_base_is_continued_with_its_vocabulary(base: Path, text: Path, tmp_path: Path) -> None:
    changes = {"model": str(base), "size": None, "max_steps": 30}
    finished = pretrain(config(text, tmp_path / "out", **changes), Silent())
    assert finished is not None
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["architectures"] == ["BertForMaskedLM"]
    before = json.loads((base / "tokenizer.json").read_text())["model"]["vocab"]
    assert json.loads((tmp_path / "out" / "tokenizer.json").read_text())["model"]["vocab"] == before
    assert finished.record.checks[-1].perplexity < finished.record.checks[0].perplexity


def test_next_sentences_are_learned_in_a_head_of_their_own(text: Path, tmp_path: Path) -> None:
    changes = {"next_sentence": True, "max_steps": 8}
    finished = pretrain(config(text, tmp_path / "out", **changes), Silent())
    assert finished is not None
    assert finished.record.checks[-1].next_sentence_accuracy is not None
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert "cls.seq_relationship.weight" in weights and "bert.pooler.dense.weight" in weights
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["architectures"] == ["BertForPreTraining"]


def test_a_time_limit_ends_the_run_with_its_rate_at_zero(text: Path, tmp_path: Path) -> None:
    changes = {"max_steps": None, "minutes": 0.05}
    finished = pretrain(config(text, tmp_path / "out", **changes), Silent())
    assert finished is not None
    assert finished.record.seconds >= 3
    checks = finished.record.checks
    assert checks[0].step == 0 and checks[-1].step == finished.record.steps > 0
    # Where the machine is busy, one step may take longer than the time between two checks.
    assert 2 <= len(checks) <= 5
    assert all(check.seconds >= 0.75 * i for i, check in enumerate(checks))


def test_dropout_of_the_run_is_not_that_of_the_base(fruits: Pretrained) -> None:
    written = json.loads((fruits.output / "config.json").read_text())
    assert written["hidden_dropout_prob"] == 0.1


ARCHITECTURES = {
    "bert": transformers.BertConfig,
    "roberta": transformers.RobertaConfig,
    "distilbert": transformers.DistilBertConfig,
    "electra": transformers.ElectraConfig,
    "xlm-roberta": transformers.XLMRobertaConfig,
    "camembert": transformers.CamembertConfig,
    "mpnet": transformers.MPNetConfig,
    "albert": transformers.AlbertConfig,
    "deberta-v2": transformers.DebertaV2Config,
    "modernbert": transformers.ModernBertConfig,
}


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_the_loss_is_the_one_transformers_takes_over_all_positions(kind: str) -> None:
    shape: dict[str, int] = {"vocab_size": 50, "max_position_embeddings": 20}
    if kind == "distilbert":
        shape |= {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32}
    else:
        shape |= {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        shape |= {"intermediate_size": 32, "pad_token_id": 0}
    torch.manual_seed(0)
    model = make_model(ARCHITECTURES[kind](**shape), None, next_sentence=False).eval()
    labels = torch.full((2, 9), IGNORED)
    labels[0, 3], labels[1, 5:7] = 7, torch.tensor([8, 9])
    batch = {
        "input_ids": torch.randint(5, 50, (2, 9)),
        "attention_mask": torch.ones(2, 9, dtype=torch.int64),
        "token_type_ids": torch.zeros(2, 9, dtype=torch.int64),
        "labels": labels,
    }
    head = MaskedTokenHead(model)
    losses = head(model, batch)
    head.remove()
    plain = model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels
    )
    assert losses.count == 3
    assert float(losses.words.detach()) == pytest.approx(float(plain.loss.detach()), rel=1e-5)
    assert plain.logits.shape == (2, 9, 50)


def arguments(text: Path, output: Path, *more: str) -> list[str]:
    return [
        *("pretrain", "--text", str(text), "--size", "2x32x2", "--vocab-size", "120"),
        *("--max-length", "26", "--batch-size", "4", "--gradient-accumulation-steps", "2"),
        *("--epochs", "10", "--checks", "20", "--output", str(output), *more),
    ]


def curve(output: Path) -> list[tuple[int, float]]:
    checks = json.loads((output / "pretraining.json").read_text())["checks"]
    return [(check["step"], check["perplexity"]) for check in checks]


@pytest.mark.slow
def test_a_killed_process_is_resumed_to_the_weights_and_the_curve_of_an_unbroken_one(
    text: Path, tmp_path: Path
) -> None:
    """test_resume.py stops a run at each of its steps, by signals that it can hear."""
    broken, unbroken = tmp_path / "broken", tmp_path / "unbroken"
    typed = arguments(text, broken)
    command = [sys.executable, "-m", "bertedge", *typed]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob(".broken.partial/checkpoint-*/sealed.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL and not broken.exists()
    again = CliRunner().invoke(main, typed)
    assert again.exit_code == 1 and "continue it with --resume" in again.stderr
    done = CliRunner().invoke(main, [*typed, "--resume"])
    assert done.exit_code == 0 and "resuming at step" in done.stderr, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"broken"}
    done = CliRunner().invoke(main, arguments(text, unbroken))
    assert done.exit_code == 0, done.stderr
    weights = [(output / "model.safetensors").read_bytes() for output in (unbroken, broken)]
    assert weights[0] == weights[1]
    assert curve(unbroken) == curve(broken)
    assert math.isfinite(curve(broken)[-1][1])


@pytest.mark.slow
def test_a_distributed_launch_trains_one_base_by_the_first_ones_clock(
    text: Path, tmp_path: Path
) -> None:
    plain = arguments(text, tmp_path / "out", "--json", "--minutes", "0.05")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    launch += ["-m", "bertedge", *plain]
    done = subprocess.run(launch, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_more_tokens_than_the_base_reads_are_refused(
    base: Path, text: Path, tmp_path: Path
) -> None:
    changes = {"model": str(base), "size": None, "max_length": 64}
    with pytest.raises(SettingError, match=r"max_length is 64, but .* reads 32 tokens"):
        pretrain(config(text, tmp_path / "out", **changes), Silent())
    assert not list(tmp_path.iterdir())
