"""Random checkpoints of every supported architecture, small enough to export in seconds."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import onnx_ir as ir
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PretrainedConfig, PreTrainedTokenizerFast

from bertedge.checkpoint import TorchEngine, load_model, model_class, open_checkpoint
from bertedge.export import ExportConfig, ExportReport, export, latency
from bertedge.export.graph.fusion import CPU_DISABLED_OPTIMIZERS, fuse, infer_shapes
from bertedge.export.graph.torch_export import export_graph
from bertedge.export.graph.values import to_proto
from bertedge.export.parity_inputs import parity_batches
from bertedge.export.verify import ReferenceLogits, difference, record_logits
from bertedge.joint_labels import intent_label
from bertedge.runtime.providers import CPU
from bertedge.runtime.session import Session, open_native
from bertedge.spec import CHOICE_LABELS, SPAN_LABELS, Task

POSITIONS = 64
CLASSES = ("bad", "fair", "good")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
LABELS = {
    Task.TEXT_CLASSIFICATION: CLASSES,
    Task.TOKEN_CLASSIFICATION: TAGS,
    Task.QUESTION_ANSWERING: SPAN_LABELS,
    Task.MULTIPLE_CHOICE: CHOICE_LABELS,
    Task.INTENT_SLOTS: (intent_label("ask"), intent_label("go"), *TAGS),
    Task.FILL_MASK: CLASSES,  # whose head knows words, and the next none: neither has labels
    Task.FEATURE_EXTRACTION: CLASSES,
}
WORDS = ("the", "in", "not", "good", "bad", "very", "berlin", "paris", "anna", "met", "hotel", "no")

Checkpoints = Callable[..., Path]


@dataclass(frozen=True, kw_only=True)
class Fused:
    """A fused graph, and what it has to answer."""

    model: ir.Model
    architecture: PretrainedConfig
    attention: str
    probe: ReferenceLogits

    def copy(self) -> ir.Model:
        return self.model.clone()

    def off_by(self, model: ir.Model) -> float:
        return difference(self.probe, open_session(model))


def open_session(model: ir.Model) -> Session:
    native = open_native(
        to_proto(model, shapes=False).SerializeToString(),
        device=CPU,
        threads=1,
        disabled_optimizers=CPU_DISABLED_OPTIMIZERS,
    )
    return Session(native, "test.onnx")


@pytest.fixture(scope="session")
def open_graph() -> Callable[[ir.Model], Session]:
    """Give what opens a graph in memory (a test cannot import this file)."""
    return open_session


def wordpiece() -> PreTrainedTokenizerFast:
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters]
    pieces += [f"##{letter}" for letter in letters]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=POSITIONS,
    )


def byte_level() -> PreTrainedTokenizerFast:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), add_prefix_space=False
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        unk_token="<unk>",
        cls_token="<s>",
        sep_token="</s>",
        model_max_length=POSITIONS,
    )


def unigram() -> PreTrainedTokenizerFast:
    """SentencePiece's kind of tokenizer: XLM-RoBERTa, CamemBERT, ALBERT, DeBERTa-v3."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("<mask>", 0.0)]
    pieces += [(f"▁{word}", -4.0) for word in WORDS]
    pieces += [(piece, -8.0) for piece in ("▁", *letters, *".,!?'")]
    backend = Tokenizer(models.Unigram(pieces, unk_id=3))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        unk_token="<unk>",
        cls_token="<s>",
        sep_token="</s>",
        mask_token="<mask>",
        model_max_length=POSITIONS,
    )


TOKENIZERS = {"roberta": byte_level, "mpnet": wordpiece} | dict.fromkeys(
    ("xlm-roberta", "camembert", "albert", "deberta-v2"), unigram
)


def configure(kind: str, vocabulary: int, **changes: object) -> PretrainedConfig:
    # Ten times the usual spread of weights: every layer's part shows in the logits.
    common = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": POSITIONS,
        "initializer_range": 0.2,
    }
    match kind:
        case "bert":
            return transformers.BertConfig(**common | changes)
        case "electra":
            return transformers.ElectraConfig(**common | {"embedding_size": 16} | changes)
        case "roberta":
            special = {"pad_token_id": 1, "type_vocab_size": 1, "bos_token_id": 0}
            longer = {"max_position_embeddings": POSITIONS + 2, "eos_token_id": 2}
            return transformers.RobertaConfig(**common | special | longer | changes)
        case "xlm-roberta" | "camembert" | "mpnet":
            padded = common | {"pad_token_id": 1, "max_position_embeddings": POSITIONS + 2}
            return transformers.CONFIG_MAPPING[kind](**padded | changes)
        case "albert":
            shared = {"embedding_size": 16, "num_hidden_groups": 1, "pad_token_id": 1}
            return transformers.AlbertConfig(**common | shared | changes)
        case "deberta-v2":
            relative = {"relative_attention": True, "position_biased_input": False}
            shared = {
                "share_att_key": True,
                "pos_att_type": "p2c|c2p",
                "norm_rel_ebd": "layer_norm",
            }
            near = {"position_buckets": 8, "max_relative_positions": -1, "type_vocab_size": 0}
            hidden = {"pooler_hidden_size": 32}
            return transformers.DebertaV2Config(
                **common | relative | shared | near | hidden | {"pad_token_id": 1} | changes
            )
        case "modernbert":
            special = dict.fromkeys(("bos_token_id", "cls_token_id"), 2)
            ends = {"eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
            near = {"local_attention": 8, "global_attn_every_n_layers": 2}
            return transformers.ModernBertConfig(
                **common | special | ends | near | {"reference_compile": False} | changes
            )
        case "nomic_bert":
            angles = {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}
            return transformers.CONFIG_MAPPING[kind](**common | angles | changes)
        case "distilbert":
            common["hidden_dim"] = common.pop("intermediate_size")
            return transformers.DistilBertConfig(**common | changes)
    raise AssertionError(kind)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small only lose by threads, all the more on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def brief_timings() -> Iterator[None]:
    """How long a graph takes beside another is asked of no test: one round a block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency, "BLOCK_SECONDS", 0.0)
        yield


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    """Make (once) the checkpoint of an architecture and task, with changes to its config."""
    numbers = itertools.count()

    @cache
    def make(kind: str, task: Task = Task.TEXT_CLASSIFICATION, **changes: object) -> Path:
        folder = tmp_path_factory.mktemp("checkpoints") / f"{kind}-{next(numbers)}"
        tokenizer = TOKENIZERS.get(kind, wordpiece)()
        labels = LABELS[task]
        config = configure(kind, len(tokenizer), **changes)
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: i for i, label in enumerate(labels)}
        torch.manual_seed(1)
        model_class(task, config).from_config(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def fused(
    checkpoints: Checkpoints, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Fused]:
    """Export and fuse (once) the checkpoint of an architecture and task."""

    @cache
    def make(
        kind: str,
        task: Task = Task.TEXT_CLASSIFICATION,
        *,
        attention: str | None = None,
        **changes: object,
    ) -> Fused:
        work = tmp_path_factory.mktemp("fused")
        checkpoint = open_checkpoint(str(checkpoints(kind, task, **changes)))
        model = load_model(checkpoint)
        if attention is not None:
            model = type(model).from_pretrained(checkpoint.folder, attn_implementation=attention)
        probe = record_logits(TorchEngine(model), parity_batches(checkpoint, None, pair=False))
        path = export_graph(model, work / "exported", task=task, opset=17)
        graph = fuse(path, model.config, work / "fused")
        return Fused(
            model=infer_shapes(graph.model, work),
            architecture=model.config,
            attention=model.config._attn_implementation,
            probe=probe,
        )

    return make


@pytest.fixture(scope="session")
def exported(
    checkpoints: Checkpoints, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., ExportReport]:
    """Export (once) a checkpoint with some settings; its bundle must stay as it is."""

    @cache
    def make(kind: str, task: Task = Task.TEXT_CLASSIFICATION, **settings: Any) -> ExportReport:
        output = tmp_path_factory.mktemp("bundles") / "bundle"
        checkpoint = str(checkpoints(kind, task))
        report = export(ExportConfig(checkpoint=checkpoint, output=output, **settings))
        assert [path.name for path in output.parent.iterdir()] == ["bundle"]
        return report

    return make
