"""The files of docs/deploy do what they say; scripts/check_deploy.py runs the Dockerfile."""

import base64
import configparser
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from bertedge.cli import main
from bertedge.predictor import Predictor
from bertedge.serve.keys import is_open

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "docs" / "deploy"
BUNDLE = REPOSITORY / "models" / "tiny" / "text-classification"
UNIT = DEPLOY / "bertedge.service"
TEXTS = ["turn the hall lights off", "日本語 🙂"]


def options_of(words: list[str]) -> dict[str, Any]:
    """What `bertedge serve` makes of a command line."""
    assert words[:2] == ["bertedge", "serve"]
    with click.Context(main) as context:
        verb = main.get_command(context, "serve")
        assert verb
        return verb.make_context("serve", words[2:], parent=context).params


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("BUNDLE", str(BUNDLE))
    path = DEPLOY / "lambda_handler.py"
    spec = importlib.util.spec_from_file_location("lambda_handler", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.handler


def event(body: str | None, coded: bool = False) -> dict[str, Any]:
    """What a function URL and an HTTP API send, payload format 2.0."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "abc.lambda-url.on.aws"},
        "requestContext": {
            "accountId": "anonymous",
            "http": {"method": "POST", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "10.0.0.1"},
            "requestId": "5e6b",
            "stage": "$default",
            "timeEpoch": 1583348638390,
        },
        "isBase64Encoded": coded,
    } | ({} if body is None else {"body": body})


def test_the_lambda_handler_answers_as_the_predictor(handler: Any) -> None:
    expected = [each.to_dict() for each in Predictor.open(BUNDLE).predict(TEXTS)]
    body = json.dumps({"inputs": TEXTS})
    for sent in (event(body), event(base64.b64encode(body.encode()).decode(), coded=True)):
        found = handler(sent, None)
        assert found["statusCode"] == 200
        assert json.loads(found["body"]) == expected


@pytest.mark.parametrize(
    ("body", "coded"),
    [
        *((None, False), ("", False), ("{", False), ("7", False), ("[]", False), ("{}", False)),
        *(('{"inputs": "a"}', False), ('{"inputs": [7]}', False), ('{"inputs": null}', False)),
        *(("%%%", True), ("/w==", True)),
    ],
)
def test_the_lambda_handler_refuses_what_is_wrong(handler: Any, body: Any, coded: bool) -> None:
    found = handler(event(body, coded), None)
    assert found["statusCode"] == 400
    assert "\n" not in json.loads(found["body"])["error"]


def test_a_pod_is_asked_where_the_server_is_and_has_time_to_drain() -> None:
    deployment, service = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    template = deployment["spec"]["template"]
    pod = template["spec"]
    (container,) = pod["containers"]
    told = options_of(container["args"])
    (port,) = container["ports"]
    assert port["containerPort"] == told["port"] and told["host"] == "0.0.0.0"
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("liveness", "readiness")}
    assert {name: get["path"] for name, get in probes.items()} == {
        "liveness": "/health/live",
        "readiness": "/health/ready",
    }
    for get in probes.values():
        assert get["port"] == port["name"] and is_open(get["path"])
    waits = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > waits + told["drain"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
    assert container["securityContext"]["readOnlyRootFilesystem"]
    (mount,) = container["volumeMounts"]
    assert told["api_key_file"].is_relative_to(mount["mountPath"])
    labels = template["metadata"]["labels"]
    assert labels == deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]


def test_the_unit_reloads_drains_and_is_not_root() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(UNIT.read_text())
    service = unit["Service"]
    program, *words = service["ExecStart"].split()
    told = options_of([Path(program).name, *words])
    assert float(service["TimeoutStopSec"]) > told["drain"]
    assert service["ExecReload"].split()[1:] == ["-HUP", "$MAINPID"]
    assert service["KillSignal"] == "SIGTERM"
    assert service["User"] not in ("", "root")
    assert service["ProtectSystem"] == "strict" and service["NoNewPrivileges"] == "yes"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_takes_the_unit_and_finds_it_hardened(tmp_path: Path) -> None:
    there = UNIT.read_text().replace("/opt/bertedge/bin/bertedge", sys.executable)
    (tmp_path / UNIT.name).write_text(there)
    for command in (["verify"], ["security", "--offline=true", "--threshold=25"]):
        done = subprocess.run(
            ["systemd-analyze", *command, str(tmp_path / UNIT.name)], capture_output=True, text=True
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        assert not re.search(rf"{UNIT.name}:\d+:", said), said  # what it does not know


def test_the_dockerfile_names_no_root_and_serves_what_is_exposed() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    command = json.loads(re.findall(r"^CMD (.+)$", text, re.MULTILINE)[0])
    told = options_of(command)
    assert re.findall(r"^EXPOSE (\d+)$", text, re.MULTILINE) == [str(told["port"])]
    assert f"127.0.0.1:{told['port']}/health/ready" in text
    assert told["host"] == "0.0.0.0"
    assert int(re.findall(r"^USER (\d+)", text, re.MULTILINE)[0]) > 0
