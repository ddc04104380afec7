"""Engines of other makes give the predictions that ours gives, on the same checkpoint."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="needs the export extra")

import torch
import transformers

from bertedge.bench.backends import Backend
from bertedge.bench.backends import bertedge as ours
from bertedge.bench.backends import onnxruntime as plain
from bertedge.bench.backends import pipeline as pipelines
from bertedge.bench.backends.optimum_export import export
from bertedge.bench.protocol import Export, Open, Output, TextWorkload, TokenWorkload
from bertedge.bench.scoring import compare
from bertedge.checkpoint import model_class, open_checkpoint
from bertedge.errors import SettingError
from bertedge.libraries import has_optimum, has_transformers_4
from bertedge.predictions import Answers, Classification, Entities, IntentSlots
from bertedge.spec import PoolingMode, ProblemType, Task

LONG = "please play a quiet song in the living room " * 20
TEXTS = tuple(
    (text,)
    for text in ("turn the hall lights off", "play a song", "is it warm?", "x", "ä lamp") * 8
)
CONTEXT = "turn the hall lights off please and play a quiet song in the living room at seven "
PAIRS = (
    *(("light", "turn the hall lights off"), ("room", CONTEXT)),
    *(("song", CONTEXT * 6), ("time", "x")),
)
CELL = TokenWorkload(name="2x3", batches=(((9, 10, 11), (12, 13, 14)),))
TINY = Path(__file__).parents[3] / "models" / "tiny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A checkpoint, and what is predicted with it."""

    kind: str
    request: Open
    texts: tuple[tuple[str, ...], ...]
    bundle: Path | None
    """Of the same weights."""

    def whole(self, *, at_once: bool = True) -> TextWorkload:
        return TextWorkload(name="t", texts=self.texts, at_once=at_once)


def another_head(tiny: Path, folder: Path, kind: str) -> Path:
    """Write the tiny classifier with another kind of head."""
    torch.manual_seed(1)
    config = transformers.BertConfig.from_pretrained(tiny)
    if kind == "spans":
        config.num_labels = 2
        transformers.BertForQuestionAnswering(config).save_pretrained(folder)
    elif kind == "means":
        config = transformers.AutoConfig.from_pretrained(tiny)
        torch.manual_seed(0)
        pooled = model_class(Task.TEXT_CLASSIFICATION, config, PoolingMode.MEAN)
        pooled.from_pretrained(tiny, config=config).save_pretrained(folder)
    else:
        model = transformers.BertForSequenceClassification.from_pretrained(tiny)
        model.config.problem_type = ProblemType.MULTI_LABEL.value
        if kind == "values":
            model.config.problem_type = ProblemType.REGRESSION.value
            model.config.id2label, model.config.label2id = {0: "warmth"}, {"warmth": 0}
            model.classifier = torch.nn.Linear(model.config.hidden_size, 1)
        model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(tiny).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def make(
    checkpoints: Path, tmp_path_factory: pytest.TempPathFactory, opened: Callable[..., Open]
) -> Callable[[str], Subject]:
    def make(kind: str) -> Subject:
        tasks = {"tags": Task.TOKEN_CLASSIFICATION, "intents": Task.INTENT_SLOTS}
        task = tasks.get(kind, Task.TEXT_CLASSIFICATION)
        tiny = folder = checkpoints / task.value
        if kind in ("several", "values", "means", "spans"):
            folder = another_head(tiny, tmp_path_factory.mktemp("heads") / kind, kind)
        model = open_checkpoint(str(folder)).model
        request = replace(opened(), path=str(folder), variant=None, engine="torch", model=model)
        return Subject(
            kind=kind,
            request=request,
            texts=PAIRS if kind == "spans" else TEXTS,
            bundle=TINY / task.value if folder == tiny else None,
        )

    return make


@pytest.fixture(scope="module", params=["classes", "tags", "several", "values", "means", "spans"])
def subject(request: pytest.FixtureRequest, make: Callable[[str], Subject]) -> Subject:
    return make(request.param)


@pytest.fixture(scope="module")
def graph(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The exported graph, as Optimum's users have it; None where it cannot run."""
    if not has_optimum():
        return None
    request, folder = subject.request, tmp_path_factory.mktemp("exports")
    made = export(Export(checkpoint=request.path, task=request.model.task, folder=str(folder)))
    assert made.problem is None
    for path in (made.exported, made.int8, made.fused):
        assert path and Path(path).stat().st_size > 1000
    return Path(made.exported or "")


@pytest.fixture(scope="module")
def backends(subject: Subject, graph: Path | None) -> dict[str, Backend]:
    """The first is PyTorch."""
    request = subject.request
    found = {"torch": ours.load_torch(request)}
    if subject.kind != "spans" or has_transformers_4():
        found["pipeline"] = pipelines.load_transformers(request)
    if graph is not None:
        optimum = replace(request, path=str(graph.parent), variant=graph.name)
        found["optimum"] = pipelines.load_optimum(optimum)
    if graph is not None and subject.kind != "spans":
        found["onnxruntime"] = plain.load(replace(request, path=str(graph)))
    if subject.bundle:
        bundle = replace(request, path=str(subject.bundle), variant="cpu-fp32")
        found["bundle"] = ours.load_bundle(bundle)
    return found


def outputs_of(backend: Backend, workload: TextWorkload) -> list[Output]:
    prepared = backend.texts(workload)
    assert prepared.inputs == (1 if workload.at_once else len(workload.texts))
    return [each for i in range(prepared.inputs) for each in prepared.outputs(i)]


def details(output: Output) -> Iterator[object]:
    """What of two predictions must be the same beyond their labels."""
    if isinstance(output, Entities):
        yield from ((each.start, each.end, each.label) for each in output.entities)
    elif isinstance(output, Classification):
        yield pytest.approx(output.score, abs=1e-5)


def test_all_engines_give_the_same_predictions(subject: Subject, backends: dict[str, Backend]):
    for at_once in (False, True):
        workload = subject.whole(at_once=at_once)
        found = {name: outputs_of(backend, workload) for name, backend in backends.items()}
        expected = found["torch"]
        assert len(expected) == len(subject.texts)
        for name, outputs in found.items():
            same = compare(outputs, expected, subject.texts).agreement()
            if subject.kind == "values":  # they are timed, not compared
                assert same is None and len(outputs) == len(expected)
                continue
            assert same and same.share == 1 and same.texts in (None, 1), name
            assert subject.kind == "tags" or same.labels == len(subject.texts)
            # Of several labels, others than ours give the best one, by softmax.
            pairs = () if subject.kind == "several" else zip(outputs, expected, strict=True)
            for one, other in pairs:
                assert list(details(one)) == list(details(other))
        if subject.kind == "spans":
            for (_, context), answers in zip(PAIRS, expected, strict=True):
                assert isinstance(answers, Answers)
                best = answers.answers[0]
                assert best.text == context[best.start : best.end] != ""


def test_all_engines_run_batches_of_tokens_alike(subject: Subject, backends: dict[str, Backend]):
    expected = backends["torch"].tokens(CELL).outputs(0)
    assert len(expected) == (6 if subject.kind in ("tags", "spans") else 2)
    for name in backends.keys() - {"torch", "pipeline"}:
        assert backends[name].tokens(CELL).outputs(0) == expected, name
    if "pipeline" in backends:
        with pytest.raises(SettingError, match="takes texts alone"):
            backends["pipeline"].tokens(CELL)


def test_pytorch_measures_its_own_token_budget(subject: Subject, backends: dict[str, Backend]):
    batching = backends["torch"].texts(subject.whole()).batching
    assert batching in [
        f"{budget:,} tokens a batch, measured, sorted by length" for budget in ours.BUDGETS
    ]


def test_what_a_pipeline_cuts_off_has_no_entities(subject: Subject, backends: dict[str, Backend]):
    long = TextWorkload(name="t", texts=((LONG,),), at_once=False)
    if subject.kind == "classes":
        (whole,) = outputs_of(backends["torch"], long)
        assert isinstance(whole, Classification) and whole.truncated
    if subject.kind != "tags":
        return
    found = {name: outputs_of(backend, long)[0] for name, backend in backends.items()}
    whole, cut = found["torch"], found["pipeline"]
    assert isinstance(whole, Entities) and isinstance(cut, Entities)
    if has_optimum():
        other = found["onnxruntime"]
        assert isinstance(other, Entities)
        assert [each.start for each in cut.entities] == [each.start for each in other.entities]
    assert cut.entities[-1].end < whole.entities[-1].start
    assert whole.windows > 1 and whole.entities[-1].start > len(LONG) / 2
    same = compare([cut], [whole], [(LONG,)]).agreement()
    assert same and same.share < 1 and same.texts == 0


def test_intents_with_slots_are_found_alike_in_all_windows(make: Callable[[str], Subject]):
    subject = make("intents")
    request = replace(subject.request, path=str(subject.bundle), variant="cpu-fp32")
    backends = ours.load_torch(subject.request), ours.load_bundle(request)
    texts = tuple((text,) for text in ("turn the hall lights off", "", LONG, "is it warm", "x"))
    whole = TextWorkload(name="t", texts=texts, at_once=True)
    torch_all, bundle_all = (outputs_of(each, whole) for each in backends)
    alone = outputs_of(backends[1], replace(whole, at_once=False))
    words = sum(len(text.split()) for (text,) in texts)
    for found in (bundle_all, alone):
        same = compare(found, torch_all, texts).agreement()
        assert same and (same.share, same.texts, same.labels) == (1, 1, len(texts) + words)
    long = alone[2]
    assert isinstance(long, IntentSlots) and long.windows > 1
    numbers = [each.tokens(CELL).outputs(0) for each in backends]
    assert numbers[0] == numbers[1] and len(numbers[0]) == 6
