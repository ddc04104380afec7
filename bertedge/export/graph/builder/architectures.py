"""The architectures that graphs are built of, by the `model_type` of their configs."""

from collections.abc import Mapping
from dataclasses import replace

from bertedge.export.graph.builder.architecture import (
    FIRST,
    POOL,
    Architecture,
    AttentionKind,
    LayerNames,
    Positions,
    Step,
    activation,
    dense,
    norm,
    words,
)
from bertedge.spec import LabelKind

_ACT = activation("{hidden_act}")

Head = tuple[Step, ...]


def _heads(*, classes: Head, choices: Head, vocabulary: Head) -> Mapping[LabelKind, Head]:
    """Return the heads of each task: those of tokens are one product for every architecture."""
    tags = (dense("classifier"),)
    return {
        LabelKind.TAGS: tags,
        LabelKind.INTENT_AND_TAGS: tags,
        LabelKind.SPANS: (dense("qa_outputs"),),
        LabelKind.CLASSES: classes,
        LabelKind.CHOICES: choices,
        LabelKind.VOCABULARY: vocabulary,
    }


def _pooled(pooler: str, act: str = "tanh", output: str = "classifier") -> Head:
    return (FIRST, dense(pooler), activation(act), dense(output))


BERT = Architecture(
    prefix="bert",
    heads=_heads(
        classes=_pooled("bert.pooler.dense"),
        choices=_pooled("bert.pooler.dense"),
        vocabulary=(
            dense("cls.predictions.transform.dense"),
            _ACT,
            norm("cls.predictions.transform.LayerNorm"),
            words("cls.predictions.decoder", "cls.predictions.bias"),
        ),
    ),
)
ROBERTA = Architecture(
    prefix="roberta",
    positions=Positions.AFTER_PADDING,
    defaults={"pad_token_id": 1},
    heads=_heads(
        classes=_pooled("classifier.dense", output="classifier.out_proj"),
        choices=_pooled("roberta.pooler.dense"),
        vocabulary=(
            dense("lm_head.dense"),
            activation("gelu"),
            norm("lm_head.layer_norm"),
            words("lm_head.decoder", "lm_head.bias"),
        ),
    ),
)
DISTILBERT = Architecture(
    prefix="distilbert",
    layer="transformer.layer.{number}",
    names=LayerNames(
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        attention_output="attention.out_lin",
        attention_norm="sa_layer_norm",
        inner="ffn.lin1",
        output="ffn.lin2",
        output_norm="output_layer_norm",
    ),
    token_types=False,
    keys={
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
        "hidden_act": "activation",
    },
    defaults={"num_hidden_layers": 6},
    heads=_heads(
        classes=_pooled("pre_classifier", "relu"),
        choices=_pooled("pre_classifier", "relu"),
        vocabulary=(
            dense("vocab_transform"),
            _ACT,
            norm("vocab_layer_norm"),
            words("vocab_projector", "vocab_projector.bias"),
        ),
    ),
)
ELECTRA = Architecture(
    prefix="electra",
    heads=_heads(
        classes=_pooled("classifier.dense", "gelu", "classifier.out_proj"),
        choices=_pooled("sequence_summary.summary", "{summary_activation}"),
        vocabulary=(
            dense("generator_predictions.dense"),
            activation("gelu"),
            norm("generator_predictions.LayerNorm"),
            words("generator_lm_head", "generator_lm_head.bias"),
        ),
    ),
    defaults={
        "embedding_size": 128,
        "hidden_size": 256,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
        "summary_activation": "linear",
    },
)
MPNET = replace(
    ROBERTA,
    prefix="mpnet",
    attention=AttentionKind.DISTANCE_BIAS,
    keys={"pad_token_id": "(of positions)"},  # 1, whatever the config says
    token_types=False,
    names=replace(
        BERT.names,
        query="attention.attn.q",
        key="attention.attn.k",
        value="attention.attn.v",
        attention_output="attention.attn.o",
        attention_norm="attention.LayerNorm",
    ),
    heads={**ROBERTA.heads, LabelKind.CHOICES: _pooled("mpnet.pooler.dense")},
)
ALBERT = Architecture(
    prefix="albert",
    layer="encoder.albert_layer_groups.{group}.albert_layers.{inner}",
    projection="encoder.embedding_hidden_mapping_in",
    names=LayerNames(
        query="attention.query",
        key="attention.key",
        value="attention.value",
        attention_output="attention.dense",
        attention_norm="attention.LayerNorm",
        inner="ffn",
        output="ffn_output",
        output_norm="full_layer_layer_norm",
    ),
    defaults={
        "embedding_size": 128,
        "hidden_size": 4096,
        "num_attention_heads": 64,
        "intermediate_size": 16384,
        "hidden_act": "gelu_new",
    },
    heads=_heads(
        classes=_pooled("albert.pooler"),
        choices=_pooled("albert.pooler"),
        vocabulary=(
            dense("predictions.dense"),
            _ACT,
            norm("predictions.LayerNorm"),
            words("predictions.decoder", "predictions.bias"),
        ),
    ),
)
DEBERTA = Architecture(
    prefix="deberta",
    attention=AttentionKind.DISENTANGLED,
    names=replace(
        BERT.names,
        query="attention.self.query_proj",
        key="attention.self.key_proj",
        value="attention.self.value_proj",
    ),
    defaults={
        "hidden_size": 1536,
        "num_hidden_layers": 24,
        "num_attention_heads": 24,
        "intermediate_size": 6144,
        "type_vocab_size": 0,
        "layer_norm_eps": 1e-7,
        "pooler_hidden_act": "gelu",
        "max_relative_positions": -1,
        "position_buckets": -1,
    },
    heads=_heads(
        classes=_pooled("pooler.dense", "{pooler_hidden_act}"),
        choices=_pooled("pooler.dense", "{pooler_hidden_act}"),
        vocabulary=BERT.heads[LabelKind.VOCABULARY],
    ),
)
_MODERN = (dense("head.dense", "classifier_bias"), activation("{classifier_activation}"))
_MODERN_TOKENS = (*_MODERN, norm("head.norm"), dense("classifier"))
MODERNBERT = Architecture(
    prefix="model",
    attention=AttentionKind.ROTARY,
    layer="layers.{number}",
    words="embeddings.tok_embeddings",
    embeddings_norm="embeddings.norm",
    token_types=False,
    keys={"hidden_act": "hidden_activation", "layer_norm_eps": "norm_eps"},
    defaults={
        "num_hidden_layers": 22,
        "intermediate_size": 1152,
        "max_position_embeddings": 8192,
        "layer_norm_eps": 1e-5,
        "norm_bias": False,
        "position_biased_input": False,
        "local_attention": 128,
        "global_attn_every_n_layers": 3,
        "global_rope_theta": 160_000.0,
        "local_rope_theta": 10_000.0,
        "classifier_pooling": "cls",
        "classifier_activation": "gelu",
        "classifier_bias": False,
        "decoder_bias": True,
    },
    heads={
        LabelKind.CLASSES: (POOL, *_MODERN_TOKENS),
        LabelKind.CHOICES: (POOL, *_MODERN_TOKENS),
        LabelKind.TAGS: _MODERN_TOKENS,
        LabelKind.INTENT_AND_TAGS: _MODERN_TOKENS,
        LabelKind.SPANS: _MODERN_TOKENS,
        LabelKind.VOCABULARY: (
            *_MODERN,
            norm("head.norm"),
            words("decoder", "decoder.bias", flag="decoder_bias"),
        ),
    },
)
NOMIC_BERT = Architecture(
    prefix="nomic_bert",
    attention=AttentionKind.ROTARY_POST_NORM,
    layer="encoder.layers.{number}",
    embeddings_norm="emb_ln",
    defaults={
        "max_position_embeddings": 2048,
        "hidden_act": "silu",
        "position_biased_input": False,
    },
    heads={
        LabelKind.CLASSES: _pooled("nomic_bert.pooler.dense"),
        LabelKind.TAGS: (dense("classifier"),),
        LabelKind.INTENT_AND_TAGS: (dense("classifier"),),
        LabelKind.VOCABULARY: (
            dense("cls.predictions.transform.dense"),
            _ACT,
            norm("cls.predictions.transform.layer_norm"),
            words("cls.predictions.decoder", "cls.predictions.bias"),
        ),
    },
)

ARCHITECTURES: Mapping[str, Architecture] = {
    "bert": BERT,
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
    "distilbert": DISTILBERT,
    "electra": ELECTRA,
    "mpnet": MPNET,
    "albert": ALBERT,
    "deberta-v2": DEBERTA,
    "modernbert": MODERNBERT,
    "nomic_bert": NOMIC_BERT,
}
