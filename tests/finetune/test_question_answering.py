"""Questions from a labelled file to a checkpoint: windows, their labels, training, a threshold."""

import dataclasses
import itertools
import json
import random
from pathlib import Path

import pytest
import torch
import transformers
from click.testing import CliRunner

from bertedge import evaluation
from bertedge.checkpoint import TorchEngine, load_model, open_checkpoint
from bertedge.cli import main
from bertedge.data import BadRows, QuestionExample, open_examples
from bertedge.errors import CheckpointError, DataError, SettingError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.data import read_config
from bertedge.finetune.distill import make_student
from bertedge.finetune.features import build
from bertedge.finetune.labels import find_labels
from bertedge.finetune.objectives import span_loss
from bertedge.finetune.run import Finetuned, finetune
from bertedge.metrics import agreement
from bertedge.progress import Silent
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import Task
from bertedge.tasks.question_answering import find_span
from bertedge.training.config import Precision

COLORS = ["red", "blue", "green", "white"]
FRUITS = ["apple", "pear", "plum", "grape"]
FILLERS = ["the", "a", "one", "very", "here", "there", "take", "see"]
MAX_LENGTH = 16


def write(
    path: Path,
    rows: int,
    *,
    seed: int,
    longest: int = 14,
    impossible: float = 0.0,
    kinds: tuple[list[str], list[str]] = (COLORS, FRUITS),
) -> Path:
    """Ask for the color of a context, which has a fruit beside it, or for the first of `kinds`.

    Every kind of question has the same answer, so that the smallest model from random weights
    learns it from any seed: which words of a context answer which question is no matter here.
    """
    dice = random.Random(seed)
    paragraphs = []
    for number in range(rows):
        words = [dice.choice(kind) for kind in kinds]
        asked, answer = dice.choice(["old", "new"]), words[0]
        missing = dice.random() < impossible
        if missing:
            words.remove(answer)
        words += dice.choices(FILLERS, k=dice.randint(3, longest))
        dice.shuffle(words)
        context = " ".join(words)
        answers = [] if missing else [{"text": answer, "answer_start": context.index(answer)}]
        qa = {"id": str(number), "question": asked, "answers": answers, "is_impossible": missing}
        paragraphs.append({"context": context, "qas": [qa]})
    path.write_text(json.dumps({"version": "2.0", "data": [{"paragraphs": paragraphs}]}))
    return path


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("questions")
    splits = {"train": (1200, 0), "dev": (80, 1)}
    return {
        split: write(folder / f"{split}.json", rows, seed=seed, impossible=0.25)
        for split, (rows, seed) in splits.items()
    }


def config(files: dict[str, Path], output: Path, **changes: object) -> FinetuneConfig:
    plain: dict[str, object] = {
        "task": Task.QUESTION_ANSWERING,
        "train": files["train"],
        "dev": files["dev"],
        "output": output,
        "max_length": MAX_LENGTH,
        "epochs": 12,
        "learning_rate": 3e-3,
        "batch_size": 32,
        "precision": Precision.FP32,
    }
    return FinetuneConfig(**{**plain, **changes})  # type: ignore[arg-type]


class Listening(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def listening() -> Listening:
    """What is told of the training of `trained`."""
    return Listening()


@pytest.fixture(scope="module")
def trained(
    base: Path,
    questions: dict[str, Path],
    listening: Listening,
    tmp_path_factory: pytest.TempPathFactory,
) -> Finetuned:
    output = tmp_path_factory.mktemp("runs") / "asked"
    finished = finetune(config(questions, output, model=str(base)), listening)
    assert finished is not None
    return finished


def test_labels_are_the_tokens_of_the_answer_and_cls_in_windows_without_it(
    base: Path, questions: dict[str, Path], tmp_path: Path
) -> None:
    examples = open_examples(questions["train"], Task.QUESTION_ANSWERING)
    assert find_labels(examples) == ("start", "end")
    tokenizer = Tokenizer((base / "tokenizer.json").read_text(), max_length=MAX_LENGTH)
    features = build(examples, ("start", "end"), tokenizer, tmp_path / "cache")
    native = transformers.AutoTokenizer.from_pretrained(base)
    by_question: dict[int, list[str]] = {}
    for row in features.data:
        start, end, number, _ = row["labels"]
        assert len(row["input_ids"]) <= MAX_LENGTH and (start == 0) == (end == 0)
        text = native.decode(row["input_ids"][start : end + 1]) if start else ""
        by_question.setdefault(number, []).append(text)
    windowed = 0
    for number, example in enumerate(examples):
        assert isinstance(example, QuestionExample) and example.answers is not None
        found = by_question[number]
        wanted = example.answers[0].text if example.answers else ""
        assert set(found) - {""} == {wanted} - {""}, found
        windowed += len(found) > 1
    assert features.rows == 1200 and features.windowed == windowed > 50
    assert features.truncated == 0


def test_a_question_longer_than_the_window_is_cut_counted_and_answered(
    base: Path, tmp_path: Path
) -> None:
    path = tmp_path / "long.json"
    context = "see the red plum here " * 8
    answers = [{"text": "plum", "answer_start": context.index("plum")}]
    rows = [("new " * 40, context, answers), ("new", "see the", [])]
    qas = [
        {"context": c, "qas": [{"id": str(i), "question": q, "answers": a}]}
        for i, (q, c, a) in enumerate(rows)
    ]
    path.write_text(json.dumps({"data": [{"paragraphs": qas}]}))
    examples = open_examples(path, Task.QUESTION_ANSWERING)
    tokenizer = Tokenizer((base / "tokenizer.json").read_text(), max_length=24)
    features = build(examples, ("start", "end"), tokenizer, tmp_path / "cache")
    assert (features.rows, features.truncated, features.windowed) == (2, 1, 1)
    assert any(row["labels"][0] > 0 for row in features.data)


def test_the_span_loss_is_that_of_the_model_itself() -> None:
    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    model = transformers.BertForQuestionAnswering(config).eval()
    ids = torch.randint(0, 30, (6, 9))
    labels = torch.tensor([[i, i + 2, i, 0] for i in range(6)])
    own = model(input_ids=ids, start_positions=labels[:, 0], end_positions=labels[:, 1])
    assert float(span_loss(own, labels, labels.numel())) == pytest.approx(float(own.loss), abs=1e-6)
    # Two halves of a step add up to the whole, as Trainer counts the items of both.
    halves = [model(input_ids=ids[half]) for half in (slice(0, 3), slice(3, 6))]
    parts = [span_loss(halves[i], labels[3 * i : 3 * i + 3], labels.numel()) for i in (0, 1)]
    assert float(sum(parts)) == pytest.approx(float(own.loss), abs=1e-6)


def test_a_tiny_model_learns_to_answer_and_when_there_is_no_answer(
    trained: Finetuned, questions: dict[str, Path]
) -> None:
    scores = trained.training.dev_scores
    assert scores is not None and scores.metric == "answer_f1" and scores.value > 0.9
    assert trained.training.model.pair and trained.training.model.labels == ("start", "end")
    assert trained.training.model.rule.threshold is not None
    state = json.loads((trained.output / "config.json").read_text())
    assert state["architectures"] == ["BertForQuestionAnswering"]


def test_the_dev_metric_of_the_best_epoch_is_that_of_the_finished_checkpoint(
    trained: Finetuned, listening: Listening
) -> None:
    told = [float(line.split()[-1]) for line in listening.said if "dev answer_f1" in line]
    assert trained.training.dev_scores is not None
    assert max(told) == pytest.approx(trained.training.dev_scores.value, abs=1e-4)


def test_the_checkpoint_scores_the_same_again(
    trained: Finetuned, questions: dict[str, Path]
) -> None:
    checkpoint = open_checkpoint(str(trained.output))
    engine = TorchEngine(load_model(checkpoint))
    labeller = evaluation.TextModel.of(checkpoint.model, checkpoint.tokenizer_json, engine)
    examples = open_examples(questions["dev"], checkpoint.model.task)
    labelling = evaluation.evaluate(labeller, examples)
    assert labelling.scores == trained.training.dev_scores
    assert agreement(labelling.predicted, labelling.predicted) == 1.0
    none = (labelling.predicted["start"] == -1).mean()
    assert 0.1 < none < 0.4
    never = dataclasses.replace(
        labeller,
        spec=dataclasses.replace(
            labeller.spec, rule=dataclasses.replace(labeller.spec.rule, threshold=None)
        ),
    )
    other = evaluation.evaluate(never, open_examples(questions["dev"], checkpoint.model.task))
    assert agreement(labelling.predicted, other.predicted) == pytest.approx(1 - none)


def test_a_student_of_one_layer_learns_its_teachers_spans_in_spite_of_wrong_labels(
    trained: Finetuned, questions: dict[str, Path], tmp_path: Path
) -> None:
    wrong = write(tmp_path / "wrong.json", 1200, seed=2, impossible=0.25, kinds=(FRUITS, COLORS))
    files = {"train": wrong, "dev": questions["dev"]}
    changes = {
        "teacher": str(trained.output),
        "layers": 1,
        "distillation_alpha": 1.0,
        "distillation_hidden_weight": 0.0,
    }
    finished = finetune(config(files, tmp_path / "student", **changes), Silent())
    assert finished is not None and finished.training.dev_scores is not None
    assert finished.training.dev_scores.value > 0.9
    teacher = load_model(open_checkpoint(str(trained.output)))
    student = load_model(open_checkpoint(str(finished.output)))
    tokenizer = transformers.AutoTokenizer.from_pretrained(trained.output)
    rows = [("old", "see the red plum here"), ("new", "a white grape"), ("old", "a very pear")]
    batch = tokenizer(*zip(*rows, strict=True), padding=True, return_tensors="pt")

    def probabilities(model: torch.nn.Module) -> torch.Tensor:
        with torch.inference_mode():
            return model(**batch).start_logits.softmax(-1)

    taught, untaught = (
        float((probabilities(model) - probabilities(teacher)).abs().max())
        for model in (student, make_student(teacher, 1).eval())
    )
    assert student.config.num_hidden_layers == 1 and taught < 0.5 * untaught


def test_data_without_impossible_questions_needs_no_threshold(base: Path, tmp_path: Path) -> None:
    files = {s: write(tmp_path / f"{s}.json", 40, seed=3) for s in ("train", "dev")}
    finished = finetune(config(files, tmp_path / "run", model=str(base), epochs=1), Silent())
    assert finished is not None
    assert finished.training.model.rule.threshold is None
    assert finished.training.train.columns.format == "squad"


def spoil(path: Path, output: Path, *, every: int) -> Path:
    """Write the questions again, each `every`-th with an answer that no context has."""
    document = json.loads(path.read_text())
    for number, paragraph in enumerate(document["data"][0]["paragraphs"]):
        if number % every == 0:
            paragraph["qas"][0]["answers"] = [{"text": "nowhere", "answer_start": 0}]
    output.write_text(json.dumps(document))
    return output


def test_answers_that_are_not_in_their_context_are_left_out_up_to_one_percent(
    base: Path, tmp_path: Path
) -> None:
    good = write(tmp_path / "good.json", 200, seed=3)
    few = spoil(good, tmp_path / "few.json", every=100)
    many = spoil(good, tmp_path / "many.json", every=50)
    said: list[str] = []
    notes = Silent()
    notes.say = said.append  # type: ignore[method-assign]
    settings = config({"train": few, "dev": many}, tmp_path / "run", model=str(base), epochs=1)
    finished = finetune(settings, notes)
    assert finished is not None and finished.dev is not None
    assert finished.training.train.rows == 198 and finished.dev.rows == 200
    assert "2 answers that do not stand in their context" in said[0]
    assert said[1].startswith("many.json: 4 answers that do not stand in their context")
    with pytest.raises(DataError, match=r"question 0: no answer .* in 4 of 200 .*\(2\.0%\); fix"):
        finetune(dataclasses.replace(settings, train=many, output=tmp_path / "2"), Silent())
    skipped = dataclasses.replace(
        settings, train=many, output=tmp_path / "3", bad_rows=BadRows.SKIP
    )
    finished = finetune(skipped, Silent())
    assert finished is not None and finished.training.train.rows == 196
    assert finished.training.train.columns.bad_rows is BadRows.SKIP


def test_a_file_of_answers_without_places_is_scored(base: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "good.json", 40, seed=3)
    finetune(
        config({"train": path, "dev": path}, tmp_path / "run", model=str(base), epochs=1), Silent()
    )
    document = json.loads(path.read_text())
    for paragraph in document["data"][0]["paragraphs"]:
        paragraph["qas"][0]["answers"] = [paragraph["qas"][0]["answers"][0]["text"]]
    texts = tmp_path / "texts.json"
    texts.write_text(json.dumps(document))
    scores = []
    for data in (path, texts):
        command = ["evaluate", str(tmp_path / "run"), "--data", str(data), "--json"]
        result = CliRunner().invoke(main, [*command, "--device", "cpu"])
        assert result.exit_code == 0, result.stderr
        scores.append(json.loads(result.stdout)["scores"])
    assert scores[0] == scores[1]


def test_mistakes_are_one_clear_line(
    base: Path, questions: dict[str, Path], texts: dict[str, Path], tmp_path: Path
) -> None:
    nothing = write(tmp_path / "nothing.json", 5, seed=0, impossible=1.0)
    with pytest.raises(DataError, match="no question with an answer in its context"):
        finetune(config(questions, tmp_path / "out", model=str(base), train=nothing), Silent())
    with pytest.raises(SettingError, match="questions with answers are read from"):
        finetune(config(texts, tmp_path / "out", model=str(base)), Silent())
    flags = {
        **{"task": "question-answering", "train": "a", "output": "b", "model": "c"},
        "problem_type": "regression",
    }
    with pytest.raises(SettingError, match="which is for text-classification"):
        read_config(None, flags)
    del flags["problem_type"]
    with pytest.raises(SettingError, match="question-answering has no classes"):
        read_config(None, flags | {"class_weights": "balanced"})
    with pytest.raises(CheckpointError, match="without a head for a task"):
        open_checkpoint(str(base), Task.QUESTION_ANSWERING)


def test_the_command_reports_f1_exact_match_and_the_threshold(
    base: Path, questions: dict[str, Path], tmp_path: Path
) -> None:
    arguments = ["finetune", "--task", "question-answering", "--model", base, "--epochs", "1"]
    files = ["--train", questions["train"], "--dev", questions["dev"], "--max-length", "16"]
    result = CliRunner().invoke(
        main, [*map(str, [*arguments, *files]), "--output", str(tmp_path / "run")]
    )
    assert result.exit_code == 0, result.stderr
    assert "answer F1" in result.stdout and "exact match" in result.stdout
    assert "no answer where that scores" in result.stdout


@pytest.mark.shared
@pytest.mark.parametrize("name", ["squad_v1_subset/dev.json.gz", "drcd_zh_hant/dev.json.gz"])
def test_labels_of_real_files_stand_for_their_answers(
    shared_data: Path, base: Path, tmp_path: Path, name: str
) -> None:
    file = open_examples(shared_data / name, Task.QUESTION_ANSWERING)
    rows = [row for row in itertools.islice(file, 200) if isinstance(row, QuestionExample)]
    tokenizer = Tokenizer((base / "tokenizer.json").read_text(), max_length=384)
    seen = set()
    for window in tokenizer.encode_questions([row.input for row in rows]):
        row = rows[window.text]
        assert row.answers is not None
        start, text = row.answers[0].start, row.answers[0].text
        first, last = find_span(window, start, start + len(text))
        if first:
            seen.add(window.text)
            begin, end = window.offsets[first, 0], window.offsets[last, 1]
            # Words that are not in this vocabulary are one token, and wider than the answer.
            assert begin <= start and end >= start + len(text) and end - begin < len(text) + 25
    assert len(seen) == len(rows)
