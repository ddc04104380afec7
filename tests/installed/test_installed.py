"""What an installation without extras can do; scripts/check_package runs this in fresh ones.

BERTEDGE_BUNDLES names the folder of the bundles to be run; default: models/tiny.
"""

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import bertedge

TINY = Path(__file__).parents[2] / "models" / "tiny"
BUNDLES = sorted(
    path.parent
    for folder in {TINY, Path(os.environ.get("BERTEDGE_BUNDLES", TINY))}
    for path in folder.glob("*/bertedge.json")
)
QUESTION = ("where are the lights", "the lights are in the hall and the music is in the kitchen")
INPUTS = {
    "question-answering": [QUESTION],
    "fill-mask": ["turn the [MASK] lights on", "[MASK] music [MASK]"],
    "multiple-choice": [("turn the music", "on", "off in the hall")],
}
TEXTS = ["turn the hall lights on please", "music", "", "Ist es kälter als 21°? 🙂"]
EXTRAS = (
    "torch",
    "transformers",
    "accelerate",
    "datasets",
    "safetensors",
    "optimum",
    "onnx",
    "onnx_ir",
    "scipy",
    "sympy",
    "jinja2",
    "markupsafe",
    "starlette",
    "uvicorn",
    "h11",
    "prometheus_client",
    "pyarrow",
    "ray",
    "sklearn",
    "optuna",
    "psutil",
    "vl_convert",
    "python_calamine",
    "peft",
)


def name_of(bundle: Path) -> str:
    return f"{bundle.parent.name}/{bundle.name}"


def task_of(bundle: Path) -> str:
    return json.loads((bundle / "bertedge.json").read_text())["model"]["task"]


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    program = Path(sys.executable).with_name("bertedge")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def test_every_module_is_there_and_lacks_only_what_extras_bring() -> None:
    names = [each.name for each in pkgutil.walk_packages(bertedge.__path__, "bertedge.")]
    assert len(names) > 100
    for name in names:
        if name != "bertedge.__main__":
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                assert error.name and error.name.split(".")[0] in EXTRAS, name


@pytest.mark.parametrize("bundle", BUNDLES, ids=name_of)
def test_a_bundle_answers_as_its_checkpoint_did(bundle: Path) -> None:
    """Loading compares the logits of texts with those that PyTorch computed in the export."""
    predictor = bertedge.load(bundle)
    inputs = INPUTS.get(task_of(bundle), TEXTS)
    one_by_one = [predictor.predict_one(each) for each in inputs]
    for alone, together in zip(one_by_one, predictor.predict(inputs), strict=True):
        assert type(alone) is type(together)


def test_an_altered_answer_would_be_seen(tmp_path: Path) -> None:
    for file in (TINY / "text-classification").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    manifest = json.loads((tmp_path / "bertedge.json").read_text())
    manifest["golden"]["logits"][0][0] += 0.01
    (tmp_path / "bertedge.json").write_text(json.dumps(manifest))
    with pytest.raises(bertedge.errors.BertedgeError):
        bertedge.load(tmp_path)


def test_the_command_labels_texts_of_a_file_as_the_api_does(tmp_path: Path) -> None:
    texts = tmp_path / "texts.csv"
    texts.write_text("id,text\n1,turn the lights on\n2,play music\n")
    bundle = TINY / "text-classification"
    found = run("predict", str(bundle), "--input", str(texts), "--text-column", "text")
    assert found.returncode == 0, found.stderr
    expected = bertedge.load(bundle).predict(["turn the lights on", "play music"])
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    assert [line["label"] for line in lines] == [each.label for each in expected]


def test_a_bundle_is_scored_on_labelled_texts(tmp_path: Path) -> None:
    bundle = TINY / "text-classification"
    texts = ["turn the lights on", "play music", "is it cold"]
    labels = [each.label for each in bertedge.load(bundle).predict(texts)]
    data = tmp_path / "data.jsonl"
    rows = [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = run("evaluate", str(bundle), "--data", str(data), "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["scores"]["accuracy"] == 1.0


def test_help_names_the_verbs() -> None:
    found = run("--help")
    assert found.returncode == 0, found.stderr
    for verb in ("finetune", "export", "evaluate", "predict", "bench", "doctor"):
        assert f"\n  {verb} " in found.stdout


def test_the_doctor_finds_onnxruntime_at_work() -> None:
    found = run("doctor", "--json")
    assert found.returncode == 0, found.stderr
    said = json.loads(found.stdout)
    assert said["bertedge"] == bertedge.__version__
    assert said["extras"]["cpu"] is True
    assert said["providers"][0]["runs"] is True


@pytest.mark.skipif(find_spec("torch") is not None, reason="the extras are installed here")
@pytest.mark.parametrize("verb", ["finetune", "export", "bench"])
def test_a_verb_that_needs_an_extra_says_what_to_install(verb: str, tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("text,label\na,x\nb,y\n")
    arguments = {
        "finetune": ("--model", "x", "--train", str(data), "--output", str(tmp_path / "run")),
        "export": (str(tmp_path), "--output", str(tmp_path / "bundle")),
        "bench": (str(TINY / "text-classification"), "--baseline", str(tmp_path)),
    }
    found = run(verb, *arguments[verb])
    assert found.returncode == 1
    extra = {"finetune": "train"}.get(verb, verb)
    assert found.stderr.startswith("Error: ") and len(found.stderr.splitlines()) == 1
    assert f"pip install 'bertedge[{extra}]'" in found.stderr
