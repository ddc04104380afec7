from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers

from bertedge.checkpoint import load_model, open_checkpoint
from bertedge.errors import CheckpointError, SettingError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.data import read_config
from bertedge.finetune.distill import kept_layers, make_student
from bertedge.finetune.layers import attention_period
from bertedge.finetune.losses import hidden_loss, mean_logits, soft_loss
from bertedge.finetune.run import finetune
from bertedge.progress import Silent
from bertedge.spec import ProblemType, Task


class Said(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def config(files: dict[str, Path], output: Path, **changes: object) -> FinetuneConfig:
    plain: dict[str, object] = {
        "task": Task.TEXT_CLASSIFICATION,
        "train": files["train"],
        "dev": files["dev"],
        "output": output,
        "epochs": 4,
        "learning_rate": 2e-3,
        "batch_size": 16,
    }
    return FinetuneConfig(**{**plain, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def teacher(base: Path, texts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "teacher"
    finetune(config(texts, output, model=str(base)), Silent())
    return output


@pytest.mark.parametrize(
    ("teacher_layers", "student_layers", "kept"),
    [(6, 3, [1, 3, 5]), (12, 4, [2, 5, 8, 11]), (6, 4, [0, 2, 3, 5]), (6, 6, [*range(6)])],
)
def test_kept_layers_are_spread_evenly_and_end_with_the_last(
    teacher_layers: int, student_layers: int, kept: list[int]
) -> None:
    assert kept_layers(teacher_layers, student_layers) == kept


def test_a_student_starts_with_its_teachers_weights(teacher: Path) -> None:
    model = load_model(open_checkpoint(str(teacher)))
    student = make_student(model, 1)
    assert student.config.num_hidden_layers == 1 and len(student.bert.encoder.layer) == 1
    before, after = model.state_dict(), student.state_dict()
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name.replace("layer.0.", "layer.1.")]), name


def test_distilbert_has_students_too() -> None:
    config = transformers.DistilBertConfig(
        vocab_size=30, dim=16, n_layers=4, n_heads=2, hidden_dim=32
    )
    model = transformers.DistilBertForSequenceClassification(config)
    student = make_student(model, 2)
    assert len(student.distilbert.transformer.layer) == 2
    name = "distilbert.transformer.layer.{}.ffn.lin1.weight"
    assert torch.equal(student.state_dict()[name.format(0)], model.state_dict()[name.format(1)])


@pytest.mark.parametrize(
    ("teacher_layers", "student_layers", "period", "kept"),
    [
        (4, 2, 2, [0, 3]),
        (22, 11, 3, [0, 4, 5, 6, 10, 11, 12, 16, 17, 18, 19]),
        (22, 22, 3, [*range(22)]),
        (3, 2, 3, [0, 1]),
        (22, 1, 3, [0]),
    ],
)
def test_layers_of_several_kinds_of_attention_are_kept_in_their_pattern(
    teacher_layers: int, student_layers: int, period: int, kept: list[int]
) -> None:
    assert kept_layers(teacher_layers, student_layers, period) == kept


def test_a_modernbert_has_students_with_layers_of_their_kind() -> None:
    sizes = {"vocab_size": 30, "hidden_size": 16, "num_attention_heads": 2, "pad_token_id": 0}
    config = transformers.ModernBertConfig(
        **sizes, num_hidden_layers=5, global_attn_every_n_layers=2, intermediate_size=16
    )
    model = transformers.ModernBertForSequenceClassification(config)
    student = make_student(model, 3)
    assert attention_period(student.config) == attention_period(config) == 2
    own, kept = student.state_dict(), [0, 1, 4]  # of 1 and 3, as near to 2, the lower
    for name, tensor in model.state_dict().items():
        for to, layer in enumerate(kept):
            if f"layers.{layer}." in name:
                assert torch.equal(own[name.replace(f".{layer}.", f".{to}.", 1)], tensor), name
        if "layers." not in name:
            assert torch.equal(own[name], tensor), name
    assert student(torch.tensor([[2, 7, 8]])).logits.shape == (1, 2)


def test_an_alberts_student_runs_the_one_layer_less_often() -> None:
    sizes = {"vocab_size": 30, "hidden_size": 16, "num_attention_heads": 2, "embedding_size": 8}
    config = transformers.AlbertConfig(**sizes, num_hidden_layers=4, intermediate_size=16)
    model = transformers.AlbertForSequenceClassification(config).eval()
    student = make_student(model, 2).eval()
    ids = torch.tensor([[2, 7, 8]])
    wanted, found = (
        each(ids, output_hidden_states=True).hidden_states for each in (model, student)
    )
    assert len(wanted) == 5 and len(found) == 3
    assert torch.equal(found[2], wanted[2])


def test_soft_labels_of_one_label_are_hintons() -> None:
    one, other = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    p, q = (other / 2).softmax(-1), (one / 2).softmax(-1)
    expected = 4 * (p * (p / q).log()).sum()
    found = soft_loss(one, other, temperature=2.0, problem_type=ProblemType.SINGLE_LABEL)
    assert found == pytest.approx(float(expected), abs=1e-6)
    same = soft_loss(other, other, temperature=2.0, problem_type=ProblemType.SINGLE_LABEL)
    assert same == pytest.approx(0, abs=1e-6)


def test_soft_labels_of_several_labels_are_taken_one_by_one() -> None:
    one, other = torch.tensor([[2.0, -1.0]]), torch.tensor([[1.0, 0.5]])
    p, q = other.sigmoid(), one.sigmoid()
    divergence = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    found = soft_loss(one, other, temperature=1.0, problem_type=ProblemType.MULTI_LABEL)
    assert found == pytest.approx(float(divergence.mean()), abs=1e-6)


def test_soft_values_are_compared_as_values() -> None:
    one, other = torch.tensor([[2.0], [1.0]]), torch.tensor([[1.0], [1.0]])
    assert soft_loss(one, other, temperature=9.0, problem_type=ProblemType.REGRESSION) == 0.5


def test_padding_counts_nothing_in_hidden_states() -> None:
    student = tuple(torch.zeros(1, 3, 4) for _ in range(2))
    far = torch.tensor([[[0.0] * 4, [2.0] * 4, [100.0] * 4]])
    teacher = (torch.zeros(1, 3, 4), torch.full((1, 3, 4), 9.0), far)
    mask = torch.tensor([[1, 1, 0]])
    # The embeddings are alike; the layer is held against the teacher's last: (0 + 4) / 2.
    assert hidden_loss(student, teacher, mask) == pytest.approx((0 + 2) / 2)


def test_a_student_of_fewer_layers_learns_its_teachers_task(
    teacher: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    changes = {"teacher": str(teacher), "layers": 1}
    finished = finetune(config(texts, tmp_path / "student", **changes), Silent())
    assert finished is not None and finished.dev is not None
    assert finished.dev.scores.value >= 0.95
    checkpoint = open_checkpoint(str(tmp_path / "student"))
    assert checkpoint.source.layers == 1 and checkpoint.model.max_length == 32
    record = checkpoint.training
    assert record is not None and record.base == "teacher"
    assert record.settings["teacher"] == ("teacher",)
    assert record.settings["layers"] == 1 and record.settings["distillation_temperature"] == 2.0


def test_a_student_of_fewer_layers_has_a_higher_learning_rate(
    teacher: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    rates = []
    for layers in (1, 2):
        output = tmp_path / str(layers)
        asked = config(texts, output, teacher=str(teacher), layers=layers, learning_rate=None)
        done = finetune(replace(asked, epochs=0.1, batch_size=1), Silent())
        assert done is not None
        rates.append(float(done.training.settings["learning_rate"]))
    assert rates[0] > rates[1]  # twice as high, or the highest that there is


def test_soft_labels_alone_teach_in_spite_of_wrong_labels(
    base: Path, teacher: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.csv"
    swap = {"color": "fruit", "fruit": "color", "label": "label"}
    lines = [line.rpartition(",") for line in texts["train"].read_text().splitlines()]
    wrong.write_text("".join(f"{text},{swap[label]}\n" for text, _, label in lines))
    files = {"train": wrong, "dev": texts["dev"]}
    changes = {"teacher": str(teacher), "layers": 1, "distillation_alpha": 1.0}
    finished = finetune(config(files, tmp_path / "out", **changes), Silent())
    assert finished is not None and finished.dev is not None
    assert finished.dev.scores.value >= 0.9


def test_token_labels_are_distilled_too(base: Path, tags: dict[str, Path], tmp_path: Path) -> None:
    task = {"task": Task.TOKEN_CLASSIFICATION}
    finetune(config(tags, tmp_path / "teacher", model=str(base), **task), Silent())
    changes = {"teacher": str(tmp_path / "teacher"), "layers": 1, **task}
    finished = finetune(config(tags, tmp_path / "student", **changes), Silent())
    assert finished is not None and finished.dev is not None
    assert finished.dev.scores.value >= 0.9


def test_hidden_states_draw_the_student_to_its_teacher(
    teacher: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    batch = {"input_ids": torch.arange(2, 18)[None], "attention_mask": torch.ones(1, 16)}
    batch["attention_mask"] = batch["attention_mask"].long()

    def states(folder: Path) -> tuple[torch.Tensor, ...]:
        model = load_model(open_checkpoint(str(folder)))
        with torch.inference_mode():
            return tuple(model(**batch, output_hidden_states=True).hidden_states)

    distances = []
    for weight in (0.0, 100.0):
        changes = {
            "teacher": str(teacher),
            "layers": 1,
            "distillation_hidden_weight": weight,
            "epochs": 2,
        }
        finetune(config(texts, tmp_path / str(weight), **changes), Silent())
        found = hidden_loss(states(tmp_path / str(weight)), states(teacher), torch.ones(1, 16))
        distances.append(float(found))
    assert distances[1] < 0.8 * distances[0]


def test_a_teacher_of_other_labels_is_refused(
    teacher: Path, pairs: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="its 2 labels are not the 2 of"):
        finetune(config(pairs, tmp_path / "out", teacher=str(teacher)), Silent())


def test_more_layers_than_the_teacher_has_are_refused(
    teacher: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match="layers is 3, but the teacher has 2"):
        finetune(config(texts, tmp_path / "out", teacher=str(teacher), layers=3), Silent())


def test_several_teachers_teach_the_mean_of_their_probabilities() -> None:
    one, other = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([[-3.0, 1.0, 0.5]])
    both, kinds = (one, other), ProblemType
    found = mean_logits(both, temperature=2.0, problem_type=kinds.SINGLE_LABEL) / 2
    mean = ((one / 2).softmax(-1) + (other / 2).softmax(-1)) / 2
    assert torch.allclose(found.softmax(-1), mean)
    found = mean_logits(both, temperature=2.0, problem_type=kinds.MULTI_LABEL) / 2
    assert torch.allclose(found.sigmoid(), ((one / 2).sigmoid() + (other / 2).sigmoid()) / 2)
    found = mean_logits(both, temperature=2.0, problem_type=kinds.REGRESSION)
    assert torch.allclose(found, (one + other) / 2)


def test_a_student_may_start_from_another_base_of_another_width(
    base: Path, teacher: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    narrow = transformers.BertConfig.from_pretrained(base, hidden_size=16, intermediate_size=32)
    transformers.BertModel(narrow).save_pretrained(tmp_path / "narrow")
    transformers.AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "narrow")
    said = Said()
    changes: dict[str, object] = {"model": str(tmp_path / "narrow"), "teacher": str(teacher)}
    changes |= {"layers": 1, "epochs": 10}
    finished = finetune(config(texts, tmp_path / "out", **changes), said)
    assert finished is not None and finished.dev is not None
    assert finished.dev.scores.value >= 0.9
    source = open_checkpoint(str(tmp_path / "out")).source
    assert (source.hidden_size, source.layers) == (16, 1)
    assert any("hidden states are not compared" in line for line in said.lines)
    assert finished.training.base == "narrow"


def test_a_base_whose_words_have_other_numbers_is_refused(
    base: Path, teacher: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    other = transformers.AutoTokenizer.from_pretrained(base)
    other.add_tokens(["cherry"])
    model = transformers.BertModel.from_pretrained(base)
    model.resize_token_embeddings(len(other))
    model.save_pretrained(tmp_path / "other")
    other.save_pretrained(tmp_path / "other")
    changes = {"model": str(tmp_path / "other"), "teacher": str(teacher)}
    with pytest.raises(CheckpointError, match="their vocabularies differ"):
        finetune(config(texts, tmp_path / "out", **changes), Silent())


def test_teachers_are_flags_or_a_list_of_a_config_file(tmp_path: Path) -> None:
    plain = {"task": "text-classification", "train": "t.csv", "output": "o"}
    file = tmp_path / "c.toml"
    for written, read in (
        ('"one"', ("one",)),
        ('["./one", "org/two"]', (str(tmp_path / "one"), "org/two")),
    ):
        file.write_text(f"teacher = {written}\n")
        assert read_config(file, plain | {"teacher": ()}).teacher == read
        assert read_config(file, plain | {"teacher": ("a", "b")}).teacher == ("a", "b")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"model": "m", "layers": 3}, "--layers is for a student; give --teacher"),
        ({}, "--model is missing"),
        (
            {"teacher": "t", "distillation_temperature": 0},
            "distillation_temperature is 0.0; it must be above 0",
        ),
        (
            {"teacher": "t", "distillation_alpha": 1.5},
            "distillation_alpha is 1.5; it must be at least 0 and at most 1",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    flags: dict[str, object], message: str
) -> None:
    plain = {"task": "text-classification", "train": "t.csv", "output": "o"}
    with pytest.raises(SettingError) as error:
        read_config(None, plain | flags)
    assert message in str(error.value)
