"""The checkpoint as an ONNX graph, by Optimum's exporter."""

import copy
from pathlib import Path

import torch
from transformers import AutoModelForTokenClassification, PreTrainedModel

from bertedge.checkpoint.onnx_export import export_own, is_own
from bertedge.export.third_party import stage
from bertedge.spec import LabelKind, Task


def export_graph(model: PreTrainedModel, folder: Path, *, task: Task, opset: int) -> Path:
    """Write the graph of `model` (dynamic batch and sequence, one file) to `folder`."""
    from optimum.exporters.onnx import onnx_export_from_model

    if task.labels_are is LabelKind.SPANS:
        model, task = as_token_classifier(model), Task.of(LabelKind.TAGS)
    name = Task.of(LabelKind.TAGS) if task.labels_are is LabelKind.INTENT_AND_TAGS else task
    with stage(f"the export to ONNX (opset {opset})", folder.parent):
        if is_own(model):
            export_own(model, folder / "model.onnx", opset)
            return folder / "model.onnx"
        onnx_export_from_model(
            model,
            folder,
            opset=opset,
            task=name.value,
            monolith=True,
            do_validation=False,  # our own parity check covers padding, lengths and tasks
        )
    return folder / "model.onnx"


def as_token_classifier(model: PreTrainedModel) -> PreTrainedModel:
    """Make of a model that answers questions one whose two labels of tokens are start and end.

    It shares the weights; its graph has the one output `logits`, `(batch, sequence, 2)`.
    """
    config = copy.deepcopy(model.config)
    config.num_labels = model.qa_outputs.out_features
    with torch.device("meta"):  # nothing of it is kept but its way from the encoder to the head
        twin = AutoModelForTokenClassification.from_config(
            config, attn_implementation=model.config._attn_implementation
        )
    setattr(twin, twin.base_model_prefix, model.base_model)
    twin.classifier = model.qa_outputs
    return twin.eval()
