"""What a bench gives the engines: the workloads, and texts whose labels are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bertedge.bench import workloads
from bertedge.bench.config import Settings
from bertedge.bench.labelled import LabelledTexts, draw_labelled
from bertedge.bench.logs import Workload
from bertedge.bench.messages import TextWorkload
from bertedge.bundle import Bundle
from bertedge.data import BadRows, Columns, open_examples
from bertedge.errors import DataError
from bertedge.progress import Progress
from bertedge.spec import ProblemType

if TYPE_CHECKING:
    from bertedge.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """All that the engines are given."""

    workloads: tuple[Workload, ...]
    labelled: LabelledTexts | None
    tokens: tuple[int, ...]
    """Ids that stand for text."""
    max_length: int

    @property
    def texts(self) -> tuple[tuple[str, ...], ...]:
        """The real texts; none without data."""
        found = (item.texts for item in self.workloads if isinstance(item, TextWorkload))
        return next(found, ())

    @property
    def arriving(self) -> Workload | None:
        """The workload whose inputs arrive at random times: real texts, or else single rows."""
        singles = [item for item in self.workloads if _one_by_one(item)]
        texts = (item for item in singles if isinstance(item, TextWorkload))
        return next(texts, next(iter(singles), None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the user asked for."""

    grid: str | None
    data: Path | None
    columns: Columns
    label_map: Mapping[str, str] = field(default_factory=dict)
    """What labels of `data` are called in the model."""


def make_inputs(
    asked: Asked, bundle: Bundle, checkpoint: "Checkpoint", settings: Settings, progress: Progress
) -> Inputs:
    """Draw texts and random tokens that both models read."""
    manifest = bundle.manifest
    longest = min(manifest.model.max_length, checkpoint.model.max_length)
    vocabulary = min(checkpoint.source.vocabulary, manifest.source.vocabulary)
    tokens = workloads.plain_tokens(bundle.tokenizer_json(), vocabulary)
    cells = (
        workloads.parse_grid(asked.grid, longest)
        if asked.grid is not None
        else workloads.default_grid(longest)
    )
    grid = [workloads.token_workload(cell, tokens, seed=settings.seed) for cell in cells]
    return Inputs(
        workloads=(*grid, *_texts(asked, bundle, settings, progress)),
        labelled=_labelled(asked, bundle, settings, progress),
        tokens=tuple(tokens),
        max_length=longest,
    )


def _texts(
    asked: Asked, bundle: Bundle, settings: Settings, progress: Progress
) -> Sequence[Workload]:
    if asked.data is None:
        return ()
    if asked.columns.bad_rows is BadRows.SKIP:
        task, pair = bundle.manifest.model.task, bundle.manifest.model.pair
        columns = replace(asked.columns, label=None, intent=None)
        found = open_examples(asked.data, task, columns, labelled=False, pair=pair).findings
        progress.say(f"{asked.data.name}: {found or 'no bad rows'}")
    texts = workloads.draw_texts(
        asked.data,
        bundle.manifest.model.task,
        asked.columns,
        pair=bundle.manifest.model.pair,
        count=settings.texts,
        seed=settings.seed,
        trained=bundle.manifest.columns or Columns(),
    )
    return workloads.text_workloads(texts)


def _labelled(
    asked: Asked, bundle: Bundle, settings: Settings, progress: Progress
) -> LabelledTexts | None:
    if asked.data is None:
        return None
    decision = bundle.manifest.model.rule
    if bundle.manifest.model.pooling is not None:
        progress.say("embeddings are compared, not scored on values: for that use evaluate")
        return None
    if decision.problem_type is not ProblemType.SINGLE_LABEL or decision.out_of_scope:
        progress.say("nothing is scored on labels: bench scores one label a text; use evaluate")
        return None
    try:
        return draw_labelled(
            asked.data,
            bundle.manifest.model.task,
            asked.columns,
            bundle.manifest.model.labels,
            count=settings.labelled,
            seed=settings.seed,
            trained=bundle.manifest.columns or Columns(),
            label_map=asked.label_map,
        )
    except DataError as error:
        progress.say(f"nothing is scored on labels: {error}")
        return None


def _one_by_one(item: Workload) -> bool:
    return not item.at_once if isinstance(item, TextWorkload) else len(item.batches[0]) == 1
