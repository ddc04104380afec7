"""What strangers put into a checkpoint's folder ends in one line, before anything is allocated."""

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from bertedge.checkpoint import TorchEngine, load_model, open_base, open_checkpoint
from bertedge.checkpoint.config import ARCHITECTURES
from bertedge.checkpoint.files import LIMITS
from bertedge.checkpoint.tokenizer import save_tokenizer
from bertedge.errors import CheckpointError
from bertedge.runtime.encoding import Batch
from bertedge.spec import Task

Spoil = Callable[[Path], object]


def change(folder: Path, name: str = "config.json", **values: object) -> None:
    path = folder / name
    data = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(data | values))


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(folder / "model.safetensors")
    return found


def save(folder: Path, weights: dict[str, torch.Tensor], **metadata: str) -> None:
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"} | metadata)


def refused(folder: Path, task: Task | None = None) -> str:
    """The one line by which both ways to a model refuse it."""
    with pytest.raises(CheckpointError) as first:
        open_checkpoint(str(folder), task)
    with pytest.raises(CheckpointError) as second:
        open_base(str(folder))
    for error in (first, second):
        assert len(str(error.value)) <= 300
        assert str(error.value).isprintable()
    return str(first.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_attention_heads": 0}, "num_attention_heads is 0; it must be a whole number of 1 to"),
        ({"num_hidden_layers": -1}, "num_hidden_layers is -1"),
        ({"num_hidden_layers": 100_000}, "num_hidden_layers is 100000"),
        ({"num_hidden_layers": "2"}, "num_hidden_layers is '2'"),
        ({"hidden_size": True}, "hidden_size is True"),
        ({"hidden_size": 33}, "divides a hidden size of 33 by 2 attention heads"),
        ({"num_attention_heads": 3}, "divides a hidden size of 32 by 3 attention heads"),
        ({"vocab_size": 10**9}, "vocab_size is 1000000000"),
        ({"vocab_size": 10**3000}, "vocab_size is 1000"),
        ({"vocab_size": 3_000_000}, "config.json asks for 3000000 by 32"),
        ({"max_position_embeddings": 10**9}, "max_position_embeddings is 1000000000"),
        ({"max_position_embeddings": 999_999}, "config.json asks for 999999 by 32"),
        ({"num_hidden_layers": 3}, "lacks 16 of the encoder's"),
        ({"intermediate_size": 65}, "has the shape 64, and config.json asks for 65"),
        ({"hidden_act": "xielu"}, "hidden_act is 'xielu'; it must be one of gelu"),
        ({"hidden_act": ["gelu"]}, "hidden_act is ['gelu']"),
        ({"hidden_dropout_prob": 7}, "hidden_dropout_prob is 7"),
        ({"layer_norm_eps": None}, "layer_norm_eps is None"),
        ({"pad_token_id": -3}, "pad_token_id is -3"),
        ({"pad_token_id": 10**6}, "pad_token_id is 1000000"),
        ({"position_embedding_type": "rotary"}, "position_embedding_type is 'rotary'"),
        ({"problem_type": "ranking"}, "problem_type is 'ranking'"),
        ({"architectures": "BertModel"}, "architectures is 'BertModel'; it must be a list"),
        ({"id2label": {"0": "a", "2": "b"}}, "but not number 1; found '2'"),
        ({"id2label": {"0": "a", "²": "b"}}, "but not number 1"),
        ({"id2label": {"0": "a", "1": ["b"]}}, "id2label 1 is ['b']"),
        ({"id2label": ["a", "b"]}, "id2label is ['a', 'b']"),
        ({"id2label": {}}, "id2label is {}"),
        ({"num_labels": 10**8, "id2label": None}, "num_labels is 100000000"),
        ({"num_labels": 5}, "num_labels is 5; it must be 3"),
        ({"is_decoder": True}, "is a decoder"),
        ({"quantization_config": {"quant_method": "awq"}}, "is quantized"),
        ({"auto_map": {"AutoConfig": "code.Config"}}, "asks for code of its own (auto_map)"),
        ({"_attn_implementation_internal": "owner/name"}, "own (_attn_implementation_internal)"),
        ({"attn_implementation": "owner/name:f"}, "asks for code of its own (attn_implementation)"),
        ({"model_type": ["bert"]}, "has the architecture ['bert']; supported are"),
        ({"model_type": "x" * 10**5}, "has the architecture 'x"),
        ({"tokenizer_class": 3}, "tokenizer_class is 3"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_config_that_cannot_be_is_one_line(
    checkpoint: Path, values: dict[str, object], message: str
) -> None:
    change(checkpoint, **values)
    assert message in refused(checkpoint)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "training.json"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read: Expecting value"),
        (b"[]", "it holds a list, not an object"),
        (b'{"a": NaN}', "NaN is no number of JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "cannot be read"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'{"a": "\\ud800"}', "a lone surrogate"),
        (b'{"a": "\xff"}', "it is not UTF-8"),
    ],
    ids=["empty", "list", "nan", "digits", "deep", "surrogate", "latin"],
)
def test_json_that_is_none_is_one_line(
    checkpoint: Path, name: str, content: bytes, message: str
) -> None:
    (checkpoint / name).write_bytes(content)
    if name == "training.json" and content == b"[]":
        message = "is damaged (the document must be a table, found list)"
    with pytest.raises(CheckpointError, match=r"^\S+ ") as error:
        open_checkpoint(str(checkpoint))
    assert message in str(error.value)
    assert len(str(error.value)) <= 300


@pytest.mark.parametrize("name", [*LIMITS, "model.safetensors"])
def test_a_pipe_a_device_and_a_broken_link_are_never_opened(checkpoint: Path, name: str) -> None:
    path = checkpoint / name
    for make in (os.mkfifo, lambda p: p.symlink_to("/dev/zero"), lambda p: p.symlink_to(p)):
        path.unlink(missing_ok=True)
        make(path)
        if name == "model.safetensors.index.json":
            (checkpoint / "model.safetensors").unlink(missing_ok=True)
        assert checkpoint.name in refused(checkpoint)


@pytest.mark.parametrize("name", LIMITS)
def test_a_file_larger_than_any_real_one_is_not_read(checkpoint: Path, name: str) -> None:
    with (checkpoint / name).open("ab") as file:
        file.truncate(2**40)  # a hole, which takes no room
    assert "bytes; at most" in refused(checkpoint)


def test_links_to_regular_files_are_followed_as_the_hubs_cache_has_them(checkpoint: Path) -> None:
    for path in list(checkpoint.iterdir()):
        blob = checkpoint.with_name(f"blob-{path.name}")
        path.rename(blob)
        path.symlink_to(blob)
    assert load_model(open_checkpoint(str(checkpoint))).config.num_labels == 3


@pytest.mark.parametrize(
    ("number", "name"),
    [(float("nan"), "classifier.weight"), (float("inf"), "bert.embeddings.LayerNorm.weight")],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_that_are_no_numbers_are_one_line(
    checkpoint: Path, number: float, name: str, dtype: torch.dtype
) -> None:
    weights = {key: tensor.to(dtype) for key, tensor in tensors(checkpoint).items()}
    save(checkpoint, weights)
    open_checkpoint(str(checkpoint))
    weights[name].view(-1)[-1] = number
    save(checkpoint, weights)
    assert f"has NaN or infinity in {name}" in refused(checkpoint)


def no_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


def long_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:])


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def other_shape(folder: Path) -> None:
    weights = tensors(folder)
    weights["bert.embeddings.position_embeddings.weight"] = torch.zeros(64, 32)
    save(folder, weights)


def no_layer(folder: Path) -> None:
    save(folder, {k: v for k, v in tensors(folder).items() if ".layer.1." not in k})


def from_flax(folder: Path) -> None:
    save(folder, tensors(folder), format="flax")


def in_eight_bits(folder: Path) -> None:
    save(folder, {k: v.to(torch.float8_e4m3fn) for k, v in tensors(folder).items()})


def elsewhere(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.with_name("other.safetensors"))
    index = {"weight_map": {"classifier.weight": "../other.safetensors"}}
    change(folder, "model.safetensors.index.json", **index)


def shard_gone(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"classifier.weight": "model-1.safetensors"}}
    change(folder, "model.safetensors.index.json", **index)


def no_map(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    change(folder, "model.safetensors.index.json", weight_map=["model-1.safetensors"])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_header, "model.safetensors is damaged"),
        (long_header, "its header would have 18,446,744,073,709,551,615 bytes"),
        (cut, "model.safetensors is damaged"),
        (other_shape, "has the shape 64 by 32, and config.json asks for 32 by 32"),
        (no_layer, "lacks 16 of the encoder's"),
        (from_flax, "was saved from 'flax', not from PyTorch"),
        (in_eight_bits, "has the type F8_E4M3; save the model in fp32"),
        (elsewhere, "which is not a file beside it"),
        (shard_gone, "model-1.safetensors is missing"),
        (no_map, "has no weight_map of names"),
    ],
)
def test_weights_that_do_not_fit_are_one_line(checkpoint: Path, spoil: Spoil, message: str) -> None:
    spoil(checkpoint)
    assert message in refused(checkpoint)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"auto_map": {"AutoTokenizer": ["code.Slow", None]}}, "asks for code of its own"),
        ({"tokenizer_class": "Trainer"}, "transformers has none for 'Trainer'"),
        ({"tokenizer_class": "os.system"}, "tokenizer_class is 'os.system'"),
        ({"tokenizer_class": 7}, "tokenizer_class is 7"),
        ({"fast_tokenizer_files": ["tokenizer.4.0.0.json"]}, "sets fast_tokenizer_files"),
        ({"gguf_file": "x.gguf"}, "sets gguf_file"),
        ({"init_inputs": ["/etc/passwd"]}, "sets init_inputs"),
        ({"model_max_length": "long"}, "model_max_length is 'long'"),
        ({"model_max_length": -5}, "model_max_length is -5"),
        ({"model_max_length": 2}, "reads 2 tokens at most"),
        ({"added_tokens_decoder": {"1": 3}}, "has no tokenizer that can be loaded"),
        ({"added_tokens_decoder": {str(i): {} for i in range(10_001)}}, "adds 10,001 tokens"),
        ({"pad_token": None}, "needs a tokenizer with a pad token"),
        ({"pad_token": [1, 2]}, "has no tokenizer that can be loaded"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_tokenizer_config_that_cannot_be_is_one_line(
    checkpoint: Path, values: dict[str, object], message: str
) -> None:
    (checkpoint / "special_tokens_map.json").unlink(missing_ok=True)  # transformers 5 writes none
    change(checkpoint, "tokenizer_config.json", **values)
    assert message in refused(checkpoint)


def test_the_paths_in_a_tokenizer_config_are_not_followed(checkpoint: Path) -> None:
    paths = dict.fromkeys(("tokenizer_file", "vocab_file", "special_tokens_map_file"), "/dev/zero")
    change(checkpoint, "tokenizer_config.json", **paths, tokenizer_class="BertTokenizer")
    assert open_checkpoint(str(checkpoint)).model.labels == ("bad", "fair", "good")


def test_names_of_chat_templates_are_no_paths_to_write_to(checkpoint: Path, tmp_path: Path) -> None:
    templates = [{"name": name, "template": "x"} for name in ("default", "../../../evil")]
    change(checkpoint, "tokenizer_config.json", chat_template=templates)
    saved = tmp_path / "a" / "b" / "saved"
    (saved / "additional_chat_templates").mkdir(parents=True)
    save_tokenizer(open_base(str(checkpoint)).tokenizer, saved)
    assert not list(tmp_path.rglob("evil*"))
    assert "chat_template" not in json.loads((saved / "tokenizer_config.json").read_text())


def json_of(folder: Path, edit: Callable[[Any], object]) -> None:
    path = folder / "tokenizer.json"
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))


def test_a_tokenizer_of_another_model_is_one_line(checkpoint: Path) -> None:
    json_of(checkpoint, lambda data: data["model"]["vocab"].update({"foreign": 5000}))
    assert "ids up to 5,000, and a model of" in refused(checkpoint)


def test_ids_that_only_the_frame_has_are_found(checkpoint: Path) -> None:
    def far(data: Any) -> None:
        data["post_processor"]["special_tokens"]["[CLS]"]["ids"] = [10**6]

    json_of(checkpoint, far)
    assert "ids up to 1,000,000" in refused(checkpoint)


def test_the_vocabulary_alone_makes_a_tokenizer(checkpoint: Path) -> None:
    vocabulary = json.loads((checkpoint / "tokenizer.json").read_text())["model"]["vocab"]
    before = open_checkpoint(str(checkpoint))
    for path in checkpoint.glob("*token*"):
        path.unlink()
    (checkpoint / "vocab.txt").write_text("".join(f"{word}\n" for word in vocabulary))
    after = open_checkpoint(str(checkpoint))
    assert after.model.pad_token_id == before.model.pad_token_id
    assert json.loads(after.tokenizer_json)["model"]["vocab"] == vocabulary


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("adapter_config.json", "adapter_model.safetensors"), "merge_and_unload()"),
        (("config.json", "tf_model.h5"), "for TensorFlow or Flax (tf_model.h5)"),
        (("config.json", "flax_model.msgpack"), "for TensorFlow or Flax (flax_model.msgpack)"),
        (("config.json", "pytorch_model.bin"), "as a pickle (pytorch_model.bin)"),
        (("bge-q8.gguf",), "as GGUF (bge-q8.gguf)"),
        (("config.json", "model.onnx"), "as an ONNX graph (model.onnx)"),
        (("bertedge.json", "tokenizer.json"), "is a bundle; give the checkpoint"),
        (("tokenizer.json",), "is no checkpoint: it has no config.json"),
        (("config.json",), "has no weights: model.safetensors is missing"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_folder_of_another_kind_says_what_to_do(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    for name in names:
        (tmp_path / name).write_text("{}")
    assert message in refused(tmp_path)


def test_a_folder_of_several_checkpoints_names_one(checkpoint: Path) -> None:
    assert f"did you mean {checkpoint}?" in refused(checkpoint.parent)


def test_a_head_that_does_not_fit_is_made_new_for_training_alone(checkpoint: Path) -> None:
    weights = tensors(checkpoint)
    weights["classifier.weight"], weights["classifier.bias"] = torch.zeros(9, 32), torch.zeros(9)
    save(checkpoint, weights)
    assert open_base(str(checkpoint)).longest == 32
    with pytest.raises(CheckpointError, match="has the shape 9"):
        open_checkpoint(str(checkpoint))


def test_two_labels_of_one_name_are_one_line(checkpoint: Path) -> None:
    change(checkpoint, id2label={"0": "a", "1": "b", "2": "a"})
    with pytest.raises(CheckpointError, match="the label 'a' is there twice; fix its id2label"):
        open_checkpoint(str(checkpoint))


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({}, "is no list of modules"),
        ([{"type": "a.Transformer"}], "is no list of modules"),
        ([{"type": "a.Pooling", "path": "../x"}], "which is not a folder beside it"),
        ([{"type": "a.Dense", "path": "2_Dense"}], "2_Dense/config.json cannot be read"),
        ([{"type": "a.Dense", "path": "../x"}], "which is not a folder beside it"),
        ([{"type": "a.LSTM", "path": "2_LSTM"}], "puts LSTM behind the encoder"),
        ([{"type": "a.Pooling", "path": "1_Pooling"}], "1_Pooling/config.json cannot be read"),
    ],
)
def test_modules_that_cannot_be_are_one_line(
    checkpoint: Path, modules: object, message: str
) -> None:
    (checkpoint / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(str(checkpoint), Task.FEATURE_EXTRACTION)
    assert message in str(error.value)


@pytest.mark.parametrize("length", [0, -1, "long", True, 1.5, [3]])
def test_a_length_of_texts_that_cannot_be_is_one_line(checkpoint: Path, length: object) -> None:
    change(checkpoint, "sentence_bert_config.json", max_seq_length=length)
    with pytest.raises(CheckpointError, match="max_seq_length is"):
        open_checkpoint(str(checkpoint), Task.FEATURE_EXTRACTION)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_passes_the_checks_with_legacy_names_too(
    checkpoint: Path, kind: str
) -> None:
    sizes = {"vocab_size": 80, "max_position_embeddings": 40, "pad_token_id": 0}
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    wide = {"intermediate_size": 64, "embedding_size": 32}
    if kind == "distilbert":
        small = {"dim": 32, "n_layers": 2, "n_heads": 2, "sinusoidal_pos_embds": True}
        wide = {"hidden_dim": 64}
    config = transformers.AutoConfig.for_model(kind, **sizes, **small, **wide)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    model.save_pretrained(checkpoint)
    if kind == "bert":
        old = {
            name.replace("LayerNorm.weight", "LayerNorm.gamma"): tensor
            for name, tensor in tensors(checkpoint).items()
        }
        save(checkpoint, old)
    opened = open_checkpoint(str(checkpoint))
    loaded = load_model(opened).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in model.state_dict().items())


def test_logits_that_are_no_numbers_are_one_line(checkpoint: Path) -> None:
    weights = tensors(checkpoint)
    weights["bert.embeddings.LayerNorm.weight"][:] = 3e38  # numbers, but none of their sums are
    save(checkpoint, weights)
    engine = TorchEngine(load_model(open_checkpoint(str(checkpoint))))
    ids = np.array([[2, 5, 6, 3]])
    batch = Batch(input_ids=ids, attention_mask=np.ones_like(ids), token_type_ids=ids * 0)
    with pytest.raises(CheckpointError, match="gives NaN or infinity for a text"):
        engine.logits(batch)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_in_the_folder_is_never_run_whatever_standard_input_answers(
    checkpoint: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = checkpoint.with_name("ran")
    (checkpoint / "code.py").write_text(f"open({str(marker)!r}, 'w')\nclass Own: pass\n")
    own = {"AutoConfig": "code.Own", "AutoModel": "code.Own", "AutoTokenizer": ["code.Own"] * 2}
    change(checkpoint, file, auto_map=own, tokenizer_class="Own")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))
    assert "asks for code of its own (auto_map), which bertedge never runs" in refused(checkpoint)
    assert not marker.exists()
    assert len(sys.stdin.read()) == 18  # nothing was asked
