"""ONNX graphs of models that are no classes of transformers, by Optimum's exporter."""

from pathlib import Path

import transformers

from bertedge.checkpoint.mean_pooling import MeanPoolingForSequenceClassification
from bertedge.checkpoint.row_models import RowModel
from bertedge.spec import LabelKind, Task


def is_own(model: transformers.PreTrainedModel) -> bool:
    """Return whether `export_own` takes a model, and Optimum's main export does not."""
    return isinstance(model, RowModel | MeanPoolingForSequenceClassification)


def export_own(model: transformers.PreTrainedModel, path: Path, opset: int | None = None) -> None:
    """Write the graph of a class of our own, which Optimum knows by its encoder alone."""
    from optimum.exporters.onnx import export
    from optimum.exporters.tasks import TasksManager

    task = Task.of(LabelKind.CLASSES).value  # what it has the shape of
    configure = TasksManager.get_exporter_config_constructor(
        "onnx", model_type=model.config.model_type, task=task, library_name="transformers"
    )
    path.parent.mkdir()
    export(model, configure(model.config, task=task), path, opset=opset)
