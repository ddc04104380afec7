"""A head on the mean of hidden states, and the linear model that it starts from."""

from pathlib import Path

import numpy as np
import pytest
import transformers
from sklearn.linear_model import LogisticRegression

import bertedge
from bertedge.checkpoint import load_model, open_checkpoint
from bertedge.errors import SettingError
from bertedge.export import ExportConfig, export
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.linear_probe import STRENGTHS, TAKEN, Linear, choose_strength, fit
from bertedge.finetune.run import finetune
from bertedge.spec import PoolingMode, ProblemType, Task

RNG = np.random.default_rng(0)
CENTERS = RNG.normal(size=(4, 6)) * 3


def config(output: Path = Path("none"), **changes: object) -> FinetuneConfig:
    plain: dict[str, object] = {
        "task": Task.TEXT_CLASSIFICATION,
        "train": Path("train.csv"),
        "model": "base",
        "output": output,
        "batch_size": 16,
    }
    return FinetuneConfig(**{**plain, **changes})  # type: ignore[arg-type]


def logits(model: Linear, vectors: np.ndarray) -> np.ndarray:
    return vectors @ model.weight.T + model.bias


@pytest.mark.parametrize("classes", [2, 4])
def test_classes_have_the_probabilities_of_logistic_regression(classes: int) -> None:
    labels = np.arange(80) % classes
    vectors = CENTERS[labels] + RNG.normal(size=(80, 6))
    found = logits(fit(vectors, labels, classes, config(), 1.0), vectors)
    scaled = (vectors - vectors.mean(axis=0)) / vectors.std()
    wanted = LogisticRegression(max_iter=300).fit(scaled, labels).predict_proba(scaled)
    shares = np.exp(found) / np.exp(found).sum(axis=1, keepdims=True)
    assert np.allclose(shares, wanted, atol=1e-6)


@pytest.mark.parametrize("strength", [0.01, 0.1])
def test_the_strength_is_that_of_the_penalty(strength: float) -> None:
    labels = np.arange(80) % 4
    vectors = CENTERS[labels] + RNG.normal(size=(80, 6))
    found = fit(vectors, labels, 4, config(), strength)
    scale = vectors.std()
    wanted = LogisticRegression(C=strength, max_iter=300).fit(vectors / scale, labels).coef_
    assert np.allclose(found.weight * scale, wanted, atol=1e-3)


def test_labels_that_the_vectors_do_not_tell_get_the_strongest_penalty() -> None:
    noise, labels = RNG.normal(size=(120, 60)), np.arange(120) % 2
    assert choose_strength(noise, labels, 2, config()) == min(STRENGTHS)
    clear = noise + 5 * np.outer(labels, np.eye(60)[0])
    assert choose_strength(clear, labels, 2, config()) > min(STRENGTHS)
    values = noise @ RNG.normal(size=60)
    regression = config(problem_type=ProblemType.REGRESSION)
    assert choose_strength(noise, values, 1, regression) == max(STRENGTHS)
    several = np.stack([labels, RNG.permutation(labels)], axis=1)
    multi_label = config(problem_type=ProblemType.MULTI_LABEL)
    assert choose_strength(clear, several, 2, multi_label) in STRENGTHS


def test_rows_too_few_to_cross_validate_get_a_strength_too() -> None:
    assert fit(RNG.normal(size=(2, 6)), np.array([0, 1]), 2, config()).weight.any()


def test_a_class_without_rows_is_never_the_likeliest() -> None:
    labels = np.array([0, 2] * 20)
    vectors = CENTERS[labels] + RNG.normal(size=(40, 6))
    found = logits(fit(vectors, labels, 3, config()), vectors)
    assert (found.argmax(axis=1) == labels).mean() > 0.9
    assert not (found.argmax(axis=1) == 1).any()


def test_several_labels_each_have_a_model_and_one_that_all_have_is_given() -> None:
    labels = np.array([[i % 2, i // 2 % 2, 0, 1] for i in range(80)])
    vectors = labels[:, :1] * CENTERS[0] + labels[:, 1:2] * CENTERS[1] + RNG.normal(size=(80, 6))
    asked = config(problem_type=ProblemType.MULTI_LABEL)
    found = logits(fit(vectors, labels, 4, asked), vectors) > 0
    assert (found == labels).mean() > 0.9
    assert not found[:, 2].any() and found[:, 3].all()


def test_values_are_those_of_a_line() -> None:
    vectors = RNG.normal(size=(200, 6))
    values = vectors @ CENTERS[0] + 2.5
    asked = config(problem_type=ProblemType.REGRESSION)
    found = logits(fit(vectors, values, 1, asked), vectors)[:, 0]
    assert np.corrcoef(found, values)[0, 1] > 0.99
    assert found.mean() == pytest.approx(values.mean())


@pytest.mark.parametrize(
    ("kind", "changes", "taken"),
    [
        (ProblemType.SINGLE_LABEL, {}, TAKEN),
        (ProblemType.SINGLE_LABEL, {"train_layers": 1}, TAKEN),
        (ProblemType.SINGLE_LABEL, {"peft": "lora"}, 1.0),
        (ProblemType.MULTI_LABEL, {}, 1.0),
    ],
)
def test_the_head_is_less_sure_than_the_linear_model_where_the_encoder_learns_labels_too(
    base: Path,
    texts: dict[str, Path],
    tmp_path: Path,
    kind: ProblemType,
    changes: dict[str, object],
    taken: float,
) -> None:
    def head(name: str, **own: object) -> np.ndarray:
        asked = config(
            tmp_path / name,
            train=texts["train"],
            dev=texts["dev"],
            model=str(base),
            problem_type=kind,
            pooling="mean",
            epochs=1,
            learning_rate=1e-9,
            **own,
        )
        finetune(asked)
        model = load_model(open_checkpoint(str(tmp_path / name)))
        return model.mean_classifier.weight.detach().numpy()

    assert np.allclose(head("own", **changes), taken * head("alone", train_layers=0), atol=1e-4)


def test_the_head_knows_the_labels_before_the_first_step(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    asked = config(
        tmp_path / "run",
        train=texts["train"],
        dev=texts["dev"],
        model=str(base),
        pooling="mean",
        epochs=1,
        learning_rate=1e-9,
    )
    finished = finetune(asked)
    assert finished is not None and finished.dev is not None and finished.dev.scores is not None
    assert finished.dev.scores.value > 0.9
    assert finished.training.model.classifier_pooling is PoolingMode.MEAN
    checkpoint = open_checkpoint(str(tmp_path / "run"))
    assert checkpoint.model == finished.training.model
    assert transformers.AutoModel.from_pretrained(tmp_path / "run").config.num_hidden_layers == 2

    # Trained on, it keeps its head, which a learning rate of almost nothing does not move.
    again = config(
        tmp_path / "again",
        train=texts["train"],
        dev=texts["dev"],
        model=str(tmp_path / "run"),
        epochs=1,
        learning_rate=1e-9,
    )
    continued = finetune(again)
    assert continued is not None and continued.dev is not None
    assert continued.dev.scores == finished.dev.scores
    assert continued.training.model.classifier_pooling is PoolingMode.MEAN

    report = export(
        ExportConfig(checkpoint=str(tmp_path / "run"), output=tmp_path / "bundle", quantize=True)
    )
    assert report.manifest.model == checkpoint.model
    predictor = bertedge.load(tmp_path / "bundle", task="text-classification")
    rows = [line.split(",") for line in texts["dev"].read_text().splitlines()[1:]]
    given = predictor.predict([text for text, _ in rows])
    right = [each.label == label for each, (_, label) in zip(given, rows, strict=True)]
    assert np.mean(right) > 0.9


def test_the_head_of_a_classifier_of_other_labels_knows_the_new_ones_before_the_first_step(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    asked = {"pooling": "mean", "epochs": 1, "learning_rate": 1e-9}
    finetune(config(tmp_path / "old", train=texts["train"], dev_share=0, model=str(base), **asked))
    train = tmp_path / "train.csv"
    train.write_text(texts["train"].read_text() + "go to paris,place\n" * 20)
    again = {"train": train, "dev": texts["dev"], "model": str(tmp_path / "old")}
    finished = finetune(config(tmp_path / "new", **again, **asked))
    assert finished is not None and finished.dev is not None and finished.dev.scores is not None
    assert len(finished.training.model.labels) == 3 and finished.dev.scores.value > 0.9


def test_a_head_whose_labels_have_other_names_is_made_anew(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    asked = {"pooling": "mean", "epochs": 1, "learning_rate": 1e-9}
    finetune(config(tmp_path / "old", train=texts["train"], dev_share=0, model=str(base), **asked))
    files = {}  # sorted, the new names stand in the other order
    for name in ("train", "dev"):
        files[name] = tmp_path / f"{name}.csv"
        text = texts[name].read_text()
        files[name].write_text(text.replace(",color\n", ",x\n").replace(",fruit\n", ",a\n"))
    again = config(tmp_path / "new", **files, model=str(tmp_path / "old"), **asked)
    finished = finetune(again)
    assert finished is not None and finished.dev is not None and finished.dev.scores is not None
    assert finished.training.model.labels == ("a", "x")
    assert finished.dev.scores.value > 0.9


def test_a_student_of_it_has_its_head(base: Path, texts: dict[str, Path], tmp_path: Path) -> None:
    common = {"train": texts["train"], "dev": texts["dev"], "epochs": 1, "learning_rate": 1e-3}
    finetune(config(tmp_path / "teacher", model=str(base), pooling="mean", **common))
    teacher = (str(tmp_path / "teacher"),)
    student = config(tmp_path / "student", model=None, teacher=teacher, layers=1, **common)
    finished = finetune(student)
    assert finished is not None and finished.dev is not None and finished.dev.scores is not None
    assert finished.training.model.classifier_pooling is PoolingMode.MEAN
    assert finished.dev.scores.value > 0.9
    with pytest.raises(SettingError, match="pooling is cls, but the student has the head of"):
        finetune(
            config(
                tmp_path / "other",
                model=None,
                teacher=teacher,
                layers=1,
                pooling="cls",
                **common,
            )
        )


def test_a_base_of_sentence_embeddings_is_read_as_it_was_trained(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "sentences"
    model = transformers.AutoModel.from_pretrained(base)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((base / name).read_bytes())
    (folder / "modules.json").write_text(
        '[{"type": "sentence_transformers.models.Transformer", "path": ""}, '
        '{"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}]'
    )
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    common = {"train": texts["train"], "dev": texts["dev"], "epochs": 1}
    for start, asked, wanted in (
        (folder, None, PoolingMode.MEAN),
        (folder, "cls", None),
    ):
        finished = finetune(
            config(tmp_path / f"{start.name}-{asked}", model=str(start), pooling=asked, **common)
        )
        assert finished is not None
        assert finished.training.model.classifier_pooling is wanted


def test_tags_have_no_pooling() -> None:
    with pytest.raises(SettingError, match="pooling is for text-classification"):
        config(task=Task.TOKEN_CLASSIFICATION, pooling="mean")
