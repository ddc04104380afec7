import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from bertedge.bundle import open_bundle
from bertedge.cli import main


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *map(chr, range(ord("a"), ord("z") + 1))]
    pieces += [f"##{piece}" for piece in pieces[4:]]
    backend = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=32, **names).save_pretrained(
        folder
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.3,
        id2label={0: "off", 1: "on"},
        label2id={"off": 0, "on": 1},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.tsv"
    path.write_text("light on\ton\nlight off\toff\nall on\ton\nnothing\toff\n")
    return path


def test_a_summary_is_printed_and_nothing_else_is_on_stdout(
    checkpoint: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "bundle"
    command = ["-m", "bertedge", "export", str(checkpoint), "--output", str(output)]
    flags = ["--quantize", "--keep-fp32", "--eval-data", str(data), "--no-header"]
    flags += ["--text-column", "0", "--label-column", "1", "--max-drop", "100"]
    flags += ["--min-agreement", "0"]
    done = subprocess.run(
        [sys.executable, *command, *flags], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0].split("  ")[0] == "variant"
    assert [line.split()[0] for line in lines[1:3]] == ["cpu-int8", "cpu-fp32"]
    assert "100.00%" in lines[2]
    assert "(+0.00 points)" in lines[2]
    assert lines[4].split()[:5] == ["recipe", "time/fp32", "max.", "logit", "difference"]
    assert lines[5].split()[0] == "static"
    assert lines[5].endswith("passes")
    assert re.match("int8: static, for (x86-vnni|x86-avx2|arm64); calibrated on 4 texts", lines[7])
    assert "attention-fusion 1" in done.stdout
    assert "cpu-int8: answers do not depend on the batch: logits move by up to" in done.stdout
    shown = CliRunner().invoke(main, ["inspect", str(output)]).stdout
    assert shown.count("batching   answers do not depend on the batch") == 2
    assert "data.tsv, 4 rows" in done.stdout
    assert lines[-1].startswith(f"bundle: {output}")
    assert [variant.name for variant in open_bundle(output).manifest.variants] == [
        "cpu-int8",
        "cpu-fp32",
    ]
    ours = (
        "tiny: ",
        str(data),
        "recorded",
        "evaluating",
        "the checkpoint's",
        "exported",
        "optimized",
    )
    ours += ("int8", "static passes", "cpu-")
    assert [line for line in done.stderr.splitlines() if not line.startswith(ours)] == []


def test_json_is_one_object_with_the_manifest(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "bundle"
    done = CliRunner().invoke(main, ["export", str(checkpoint), "--output", str(output), "--json"])
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["output"] == str(output)
    assert [each["name"] for each in found["manifest"]["variants"]] == ["cpu-fp32"]
    assert found["manifest"]["variants"][0]["accuracy"] is None
    assert "accuracy was not measured" in found["data_note"]
    assert "accuracy was not measured" in done.stderr


def test_a_cuda_variant_says_what_it_was_measured_on(
    checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "bundle"
    main(["export", str(checkpoint), "--output", str(output), "--gpu"], standalone_mode=False)
    done = capfd.readouterr()
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["cpu-fp32", "cuda-fp16"]
    checked_on = open_bundle(output).manifest.variants[1].checked_on
    said = f"cuda-fp16: measured on {checked_on}, for lack of CUDA"
    assert (said in lines) == (checked_on != "CUDAExecutionProvider")
    ours = ("tiny: ", "this checkpoint", "recorded", "exported", "optimized", "cpu-", "cuda-")
    assert [line for line in done.err.splitlines() if not line.startswith(ours)] == []
    shown = CliRunner().invoke(main, ["inspect", str(output)]).stdout
    assert f"checked on {checked_on}" in shown


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--eval-data", "none.csv"], "none.csv"),
        (["--task", "translation"], "task is 'translation'; choose one of"),
        (["--task", "token-classification"], "not for token-classification"),
        (["--opset", "12"], "opset is 12; choose one of 17, 18"),
        (["--text-column", "a"], "--eval-data"),
        (["--quantize", "--target", "sparc"], "target is 'sparc'; choose one of x86-vnni"),
        (["--quantize", "--recipe-int8", "best"], "recipe is 'best'; choose one of static"),
        (
            ["--quantize", "--min-agreement", "99"],
            "min_agreement is 99.0; it must be at",
        ),
        (["--batch-effects", "refuse"], "add --quantize"),
        (
            ["--quantize", "--batch-effects", "refuse", "--recipe-int8", "dynamic"],
            "refuse excludes --recipe-int8 dynamic",
        ),
        (["--tolerance", "1e-12"], "1e-12 is tolerated"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    flags: list[str], words: str, checkpoint: Path, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    arguments = ["export", str(checkpoint), "--output", str(place / "bundle"), *flags]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert words in errors[0]
    assert done.stderr.endswith(errors[0] + "\n")
    assert done.stdout == ""
    assert list(place.iterdir()) == []


def test_help_needs_no_extra() -> None:
    program = (
        "import sys\nfrom bertedge.cli import main\n"
        "try:\n    main(['export', '--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'onnx', 'optimum', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "--max-drop" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
