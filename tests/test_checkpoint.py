import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from bertedge.checkpoint import TorchEngine, fetch, load_model, open_checkpoint
from bertedge.errors import CheckpointError, DeviceError
from bertedge.runtime.encoding import pad
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import DecisionRule, ProblemType, Task


@pytest.fixture
def checkpoint(base: Path, tmp_path: Path) -> Path:
    """A checkpoint made elsewhere: no training.json."""
    folder = tmp_path / "elsewhere"
    shutil.copytree(base, folder)
    (folder / "model.safetensors").unlink()
    config = transformers.AutoConfig.from_pretrained(
        base, id2label={0: "bad", 1: "fair", 2: "good"}, label2id={"bad": 0, "fair": 1, "good": 2}
    )
    torch.manual_seed(0)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_checkpoint_made_elsewhere_is_read_from_its_config(checkpoint: Path) -> None:
    opened = open_checkpoint(str(checkpoint))
    assert opened.model.task is Task.TEXT_CLASSIFICATION
    assert opened.model.labels == ("bad", "fair", "good")
    assert opened.model.max_length == 32
    assert opened.training is None
    assert (opened.source.architecture, opened.source.layers, opened.source.heads) == ("bert", 2, 2)
    model = load_model(opened)
    assert opened.source.parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("labels", "said", "expected"),
    [
        (3, None, ProblemType.SINGLE_LABEL),
        (3, "multi_label_classification", ProblemType.MULTI_LABEL),
        (1, "multi_label_classification", ProblemType.MULTI_LABEL),
        (1, "regression", ProblemType.REGRESSION),
        (1, None, ProblemType.REGRESSION),
    ],
)
def test_the_problem_type_is_what_transformers_takes_it_for(
    checkpoint: Path, labels: int, said: str | None, expected: ProblemType
) -> None:
    names = {i: f"L{i}" for i in range(labels)}
    ids = {name: i for i, name in names.items()}
    change(checkpoint / "config.json", id2label=names, label2id=ids, problem_type=said)
    config = transformers.AutoConfig.from_pretrained(checkpoint)
    transformers.BertForSequenceClassification(config).save_pretrained(checkpoint)
    assert open_checkpoint(str(checkpoint)).model.rule == DecisionRule(problem_type=expected)


@pytest.mark.parametrize("problem_type", [None, "regression", "multi_label_classification"])
def test_embeddings_and_words_have_no_problem_type_whatever_the_config_says(
    checkpoint: Path, problem_type: str | None
) -> None:
    change(checkpoint / "config.json", id2label={"0": "a"}, problem_type=problem_type)
    opened = open_checkpoint(str(checkpoint), Task.FEATURE_EXTRACTION)
    assert opened.model.rule == DecisionRule()


def test_the_engine_gives_the_logits_of_transformers_on_padded_batches(checkpoint: Path) -> None:
    opened = open_checkpoint(str(checkpoint))
    texts = ["see the red apple", "old", "take one very old grape here and there zebra"]
    encoded = Tokenizer(opened.tokenizer_json, max_length=32).encode(texts)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
    with torch.no_grad():
        expected = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits.numpy()
    batch = pad(encoded, opened.model.pad_token_id)
    logits = TorchEngine(load_model(opened)).logits(batch)
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    halves = TorchEngine(load_model(opened), dtype="bf16").logits(batch)
    assert halves.dtype == np.float32
    np.testing.assert_allclose(halves, expected, atol=0.05)


def test_sharded_weights_are_read(checkpoint: Path) -> None:
    before = open_checkpoint(str(checkpoint))
    model = load_model(before)
    (checkpoint / "model.safetensors").unlink()
    model.save_pretrained(checkpoint, max_shard_size="20KB")
    assert (checkpoint / "model.safetensors.index.json").exists()
    after = open_checkpoint(str(checkpoint))
    assert after.source.parameters == before.source.parameters
    assert load_model(after).num_parameters() == model.num_parameters()


def spoil_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def spoil_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def spoil_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def spoil_kind(folder: Path) -> None:
    change(folder / "config.json", model_type="gpt2")


def spoil_head(folder: Path) -> None:
    change(folder / "config.json", architectures=["BertModel"])


def spoil_lone_label(folder: Path) -> None:
    one = {"id2label": {"0": "score"}, "label2id": {"score": 0}}
    change(folder / "config.json", **one, problem_type="single_label_classification")


def spoil_values(folder: Path) -> None:
    change(folder / "config.json", problem_type="regression")


def spoil_problem(folder: Path) -> None:
    change(folder / "config.json", problem_type="ranking")


def spoil_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)


def spoil_tokenizer_json(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"model": 3}')


def spoil_cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:2000])


def spoil_training(folder: Path) -> None:
    (folder / "training.json").write_text('{"task": "text-classification"}')


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_weights, "has no weights: model.safetensors is missing"),
        (spoil_pickle, "holds its weights as a pickle (pytorch_model.bin)"),
        (spoil_config, "config.json cannot be read"),
        (spoil_kind, "has the architecture 'gpt2'; supported are bert, roberta"),
        (spoil_head, "is a BertModel without a head for a task; fine-tune it first"),
        (spoil_lone_label, "has the one label 'score' for every text; set problem_type"),
        (spoil_values, "gives 3 values to a text; regression to one is supported"),
        (spoil_problem, "config.json: problem_type is 'ranking'; it must be one of single_label"),
        (spoil_tokenizer, "has no tokenizer: vocab.txt and tokenizer.json are missing"),
        (spoil_tokenizer_json, "has no tokenizer that can be loaded"),
        (spoil_cut, "model.safetensors is damaged"),
        (spoil_training, "training.json is damaged"),
    ],
)
def test_a_spoiled_checkpoint_is_one_clear_line(
    checkpoint: Path, spoil: object, message: str
) -> None:
    assert callable(spoil)
    spoil(checkpoint)
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(str(checkpoint))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_pooler_that_embeddings_do_not_need_is_not_missed_aloud(
    checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = checkpoint.with_name("words")
    model = transformers.AutoModelForTokenClassification.from_pretrained(checkpoint)
    model.save_pretrained(folder)
    for path in checkpoint.glob("*token*"):
        (folder / path.name).write_bytes(path.read_bytes())
    transformers.utils.logging.set_verbosity_warning()
    logger = transformers.utils.logging.get_logger()
    logger.addHandler(caplog.handler)
    caplog.clear()
    load_model(open_checkpoint(str(folder), Task.FEATURE_EXTRACTION))
    logger.removeHandler(caplog.handler)
    assert caplog.records == []
    assert transformers.utils.logging.get_verbosity() == transformers.utils.logging.WARNING


def test_missing_tensors_are_an_error_and_not_random_weights(checkpoint: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = checkpoint / "model.safetensors"
    tensors = {k: v for k, v in load_file(path).items() if not k.startswith("classifier")}
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks 2 of its tensors, such as classifier"):
        load_model(open_checkpoint(str(checkpoint)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./nowhere", "does not exist"),
        ("a/b/c", "does not exist"),
        (__file__, "is a file; give the checkpoint's directory"),
    ],
)
def test_a_path_that_is_no_directory_is_one_clear_line(name: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        fetch(name)


def test_a_hub_id_without_a_hub_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="no directory here and is not in the hub's cache"):
        fetch("bertedge-no-such-owner/no-such-model")


def test_another_task_than_the_checkpoint_has_is_an_error(checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match="is a checkpoint for text-classification, not for"):
        open_checkpoint(str(checkpoint), Task.TOKEN_CLASSIFICATION)


def test_cuda_that_is_not_there_is_an_error(checkpoint: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("CUDA is there")
    with pytest.raises(DeviceError, match="PyTorch sees no CUDA device"):
        TorchEngine(load_model(open_checkpoint(str(checkpoint))), device="cuda")
