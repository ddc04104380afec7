"""What `--help` shows: the common options on one screen, and all of them where asked."""

import re
import subprocess
import sys
from dataclasses import fields

import click
import pytest
from click.testing import CliRunner

from bertedge.cli import VERBS, main
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.settings.data import DataConfig
from bertedge.finetune.settings.distillation import DistillationConfig
from bertedge.finetune.settings.optimization import OptimizationConfig
from bertedge.finetune.settings.regularization import RegularizationConfig
from bertedge.finetune.settings.search import SearchConfig
from bertedge.finetune.settings.trained import TrainedParametersConfig
from bertedge.pretrain.config import PretrainConfig
from bertedge.training.config import TrainingConfig

LINES, COLUMNS = 40, 80
SECTIONED = ("pretrain", "finetune", "export", "evaluate", "report", "predict", "bench")


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(main, list(arguments), terminal_width=COLUMNS)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def options_of(verb: str) -> list[click.Option]:
    command = main.get_command(click.Context(main), verb)
    assert command is not None
    options = [each for each in command.params if isinstance(each, click.Option)]
    return [each for each in options if not each.hidden]


def names_in(text: str) -> set[str]:
    return set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, flags=re.MULTILINE))


@pytest.mark.parametrize("verb", VERBS)
def test_help_fits_one_screen(verb: str):
    lines = shown(verb, "--help").splitlines()
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= COLUMNS


@pytest.mark.parametrize("verb", SECTIONED)
def test_every_option_is_shown_where_all_are_asked_for(verb: str):
    short, full = shown(verb, "--help"), shown(verb, "--help-all")
    every = {each.opts[0] for each in options_of(verb)}
    assert names_in(full) == every | {"--help"}
    assert {"--help-all", "--help"} <= names_in(short) < names_in(full)
    assert {"--output", "--json"} & names_in(short)
    for text in (short, full):
        listed = re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, flags=re.MULTILINE)
        assert len(listed) == len(set(listed))
        assert text.count("\nOutput:\n") == text.count("\nMore:\n") == 1


@pytest.mark.parametrize(
    ("heading", "group"),
    [
        ("Data", DataConfig),
        ("Optimization", OptimizationConfig),
        ("Trained parameters", TrainedParametersConfig),
        ("Regularization", RegularizationConfig),
        ("Search", SearchConfig),
        ("Distillation", DistillationConfig),
        ("Training", TrainingConfig),
    ],
)
def test_all_options_stand_under_the_heading_of_their_group(heading: str, group: type):
    short, full = shown("finetune", "--help"), shown("finetune", "--help-all")
    headings = re.findall(r"^(\w[\w ]*):$", full, flags=re.MULTILINE)
    assert headings[-2:] == ["Output", "More"] and len(headings) == len(set(headings))
    (section,) = re.findall(rf"^{heading}:\n((?:  .*\n)+)", full, flags=re.MULTILINE)
    own = {f"--{each.name.replace('_', '-')}" for each in fields(group)}
    assert own - names_in(section) <= names_in(short) - {"--help"}
    assert names_in(section) & own


def test_more_holds_few_options():
    """A setting of `finetune` belongs into a group; what has no heading is lost in a heap."""
    assert shown("finetune", "--help-all").partition("\nMore:\n")[2].count("\n  -") <= 6


def test_help_all_wins_over_what_is_missing():
    assert "--tolerance" in shown("export", "--help-all")
    assert CliRunner().invoke(main, ["export"]).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (("export",), "CHECKPOINT and --output are missing"),
        (("evaluate",), "BUNDLE|CHECKPOINT and --data are missing"),
        (("evaluate", "m"), "Missing option '--data'"),
        (("export", "--output", "b"), "Missing argument 'CHECKPOINT'"),
        (("finetune",), "--train, --output and --model are missing"),
        (("finetune", "--teacher", "t", "--train", "a.csv"), "--output"),
        (("pretrain",), "--text and --output are missing"),
    ],
)
def test_all_that_is_missing_is_named_at_once(arguments: tuple[str, ...], missing: str):
    result = CliRunner().invoke(main, list(arguments))
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and missing in errors[0]
    assert result.exit_code in {1, 2} and result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("exprot",), "did you mean 'export'?"),
        (("evalute", "m"), "did you mean 'evaluate'?"),
        (("deploy",), "there are pretrain, finetune, export"),
        (("export", "--outptu", "x"), "--output"),
        (("predict", "b", "--topk", "3"), "--top-k"),
    ],
)
def test_what_was_meant_is_named(arguments: tuple[str, ...], meant: str):
    result = CliRunner().invoke(main, list(arguments))
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert result.exit_code == 2 and meant in line


@pytest.mark.parametrize(
    ("verb", "config"), [("finetune", FinetuneConfig), ("pretrain", PretrainConfig)]
)
def test_every_key_of_a_config_is_a_flag_and_every_flag_a_key(verb: str, config: type):
    keys = {each.name for each in fields(config)}
    flags = {each.name for each in options_of(verb)}
    assert flags - keys == {"config", "overwrite", "resume", "as_json", "help_all"}
    assert keys <= flags


def test_help_of_all_needs_no_extra():
    program = (
        "import sys\nfrom bertedge.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'numpy', 'torch', 'transformers', 'onnxruntime', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("verb", "old", "new"),
    [
        ("finetune", "--clip", "--max-grad-norm"),
        ("finetune", "--recipe", "--config"),
        ("finetune", "--soft", "--distillation-alpha"),
        ("pretrain", "--accumulate", "--gradient-accumulation-steps"),
        ("pretrain", "--steps", "--max-steps"),
        ("pretrain", "--vocabulary-size", "--vocab-size"),
    ],
)
def test_a_flag_of_the_first_version_is_answered_with_its_name_of_today(
    verb: str, old: str, new: str
):
    result = CliRunner().invoke(main, [verb, old, "3"])
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert result.exit_code == 2 and line == f"Error: no such option: {old} is now called {new}"


@pytest.mark.parametrize("config", [FinetuneConfig, PretrainConfig])
def test_defaults_of_a_config_are_shown(config: type):
    verb = config.__name__.removesuffix("Config").lower()
    text = " ".join(shown(verb, "--help-all").split())
    for each in fields(config):
        if isinstance(each.default, int | float) and not isinstance(each.default, bool):
            flag = f"--{each.name.replace('_', '-')} "
            row = text[text.index(flag) : text.index("]", text.index(flag)) + 1]
            assert float(row[row.index("[") + 1 : -1]) == each.default, flag
