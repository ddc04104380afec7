"""The Open Inference Protocol: texts go in as BYTES tensors, and a mistake is a 4xx of one line."""

import json
import random
import struct
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bertedge.bundle import open_bundle
from bertedge.errors import DataError
from bertedge.serve import oip
from bertedge.serve.kinds import kind_of
from bertedge.serve.tensors import join_inputs, make_tensor, outputs_of, read_texts
from bertedge.spec import CHOICES, PAIR, SINGLE, ProblemType, Task

from .conftest import INTENTS, TAGS, TEXTS, Server
from .test_tasks import INPUTS, model_of

SENTENCES = ["turn the hall lights off", "", "日本語 🙂 \0 x"]
DTYPES = {"FP32": "<f4", "INT64": "<i8", "BOOL": "?"}


def counted(texts: Sequence[str]) -> bytes:
    raws = [text.encode() for text in texts]
    return b"".join(struct.pack("<I", len(raw)) + raw for raw in raws)


def tensor(texts: Any, **changes: Any) -> dict[str, Any]:
    count = len(texts) if isinstance(texts, list) else 1
    plain = {"name": "text", "datatype": "BYTES", "shape": [count], "data": texts}
    return {key: value for key, value in (plain | changes).items() if value is not None}


def outputs_by_name(data: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each for each in data["outputs"]}


def test_health_and_metadata_are_the_protocols(server: Server) -> None:
    ask = server.client
    assert ask.get("/v2/health/live").json() == {"live": True}
    assert ask.get("/v2/health/ready").json() == {"ready": True}
    found = ask.get("/v2").json()
    assert found["name"] == "bertedge" and found["extensions"] == ["binary_tensor_data"]
    assert ask.get("/v2/").json() == found
    for name, bundle in (("texts", TEXTS), ("tags", TAGS), ("intents", INTENTS)):
        version = open_bundle(bundle).manifest.manifest_sha256[:12]
        model = ask.get(f"/v2/models/{name}").json()
        assert (model["name"], model["versions"]) == (name, [version])
        assert model["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
        assert ask.get(f"/v2/models/{name}/versions/{version}").json() == model
        for place in (name, f"{name}/versions/{version}"):
            ready = ask.get(f"/v2/models/{place}/ready").json()
            assert ready == {"name": name, "ready": True}
        sent = {"inputs": [tensor(SENTENCES)]}
        answer = ask.post(f"/v2/models/{name}/versions/{version}/infer", json=sent).json()
        assert (answer["model_name"], answer["model_version"]) == (name, version)
        for output, told in zip(answer["outputs"], model["outputs"], strict=True):
            assert (output["name"], output["datatype"]) == (told["name"], told["datatype"])
            assert output["shape"][1:] == told["shape"][1:]


def test_outputs_are_what_predict_says(server: Server) -> None:
    for name, written in (("texts", []), ("tags", ["entities"]), ("intents", ["slots"])):
        expected = server.client.post(f"/predict/{name}", json=SENTENCES).json()
        body = {"inputs": [tensor(SENTENCES)], "id": "42"}
        found = server.client.post(f"/v2/models/{name}/infer", json=body)
        assert found.status_code == 200
        assert found.headers["server-timing"] and found.json()["id"] == "42"
        outputs = outputs_by_name(found.json())
        assert outputs.keys() == expected[0].keys() - {"text"}
        for key, output in outputs.items():
            wanted = [row[key] for row in expected]
            if key == "scores":
                wanted = [list(row.values()) for row in wanted]
            assert output["shape"] == list(np.shape(wanted) if key not in written else [3])
            if key in written:
                assert [json.loads(row) for row in output["data"]] == wanted
            elif output["datatype"] == "FP32":
                assert np.allclose(output["data"], np.ravel(wanted), atol=1e-6)
            else:
                assert output["data"] == wanted


@pytest.mark.parametrize("everything", [True, False])
def test_tensors_may_be_bytes_behind_the_json(server: Server, everything: bool) -> None:
    raw = counted(SENTENCES)
    plain = {"inputs": [tensor(SENTENCES)]}
    expected = outputs_by_name(server.client.post("/v2/models/texts/infer", json=plain).json())
    sent: dict[str, Any] = {
        "inputs": [tensor(SENTENCES, data=None, parameters={"binary_data_size": len(raw)})]
    }
    if everything:
        sent["parameters"] = {"binary_data_output": True}
    else:
        sent["outputs"] = [
            {"name": "scores", "parameters": {"binary_data": True}},
            {"name": "label"},
        ]
    head = json.dumps(sent).encode()
    found = server.client.post(
        "/v2/models/texts/infer",
        content=head + raw,
        headers={"Inference-Header-Content-Length": str(len(head))},
    )
    assert found.status_code == 200, found.text
    length = int(found.headers["inference-header-content-length"])
    outputs = json.loads(found.content[:length])["outputs"]
    names = list(expected) if everything else ["scores", "label"]
    assert [each["name"] for each in outputs] == names
    rest = found.content[length:]
    for each in outputs:
        wanted = expected[each["name"]]
        if "data" in each:
            assert not everything and each == wanted
            continue
        size = each["parameters"]["binary_data_size"]
        own, rest = rest[:size], rest[size:]
        assert each["shape"] == wanted["shape"]
        if each["datatype"] == "BYTES":
            assert own == counted(wanted["data"])
        else:
            values = np.frombuffer(own, DTYPES[each["datatype"]])
            assert np.allclose(values, wanted["data"], atol=1e-6)
    assert rest == b""


def test_options_shapes_and_empty_requests_are_taken(server: Server) -> None:
    ask = server.client
    body = {"inputs": [tensor(SENTENCES)], "parameters": {"aggregation": "none", "other": 1}}
    found = outputs_by_name(ask.post("/v2/models/tags/infer", json=body).json())
    native = {"inputs": SENTENCES, "aggregation": "none"}
    expected = ask.post("/predict/tags", json=native).json()
    rows = [json.loads(row) for row in found["entities"]["data"]]
    assert rows == [row["entities"] for row in expected]
    nested = {"inputs": [tensor([["a"], ["b"]], shape=[2, 1])], "id": None, "outputs": None}
    assert ask.post("/v2/models/texts/infer", json=nested).status_code == 200
    none = ask.post("/v2/models/texts/infer", json={"inputs": [tensor([])]}).json()
    labels = ask.get("/v2/models/texts").json()["outputs"][2]["shape"][1]
    assert [each["shape"] for each in none["outputs"]] == [[0], [0], [0, labels], [0]]


WRONG: list[tuple[Any, str]] = [
    (b"", "the body is no JSON"),
    (b"[" * 100_000 + b"]" * 100_000, "more than 20,000 bytes"),
    (b"[" * 9000 + b"]" * 9000, "nested too deeply"),
    (b'{"inputs": [{"name": "text", "data": ["\\ud800"]}]}', "lone surrogate"),
    ([], "the body is no object"),
    ({}, "inputs must be a list of objects with a name"),
    ({"inputs": []}, "input text is missing; this model reads text"),
    ({"inputs": {"name": "text"}}, "inputs must be a list of objects with a name"),
    ({"inputs": ["text"]}, "inputs must be a list of objects with a name"),
    ({"inputs": [tensor("a", name="pair")]}, "no input 'pair'; this model's are text"),
    ({"inputs": [tensor(["a"])] * 2}, "input text is given twice"),
    ({"inputs": [tensor(["a"], datatype="FP32")]}, "has datatype 'FP32'; texts are BYTES"),
    ({"inputs": [tensor(["a"], datatype=[1])]}, "has datatype [1]; texts are BYTES"),
    ({"inputs": [tensor(["a"], shape=[2])]}, "has shape [2], but 1 texts"),
    ({"inputs": [tensor(["a"], shape=[1, 2])]}, "has shape [1, 2]; give [1]"),
    ({"inputs": [tensor(["a"], shape=[-1])]}, "has shape [-1]; give [rows]"),
    ({"inputs": [tensor(["a"], shape=[True])]}, "has shape [True]; give [rows]"),
    ({"inputs": [tensor(["a"], shape=[10**30])]}, "give [rows]"),
    ({"inputs": [tensor(["a"], shape=[1.0])]}, "has shape [1.0]; give [rows]"),
    ({"inputs": [tensor(["a"], shape=[])]}, "has shape []; give [rows]"),
    ({"inputs": [tensor(["a"], shape="1")]}, "has shape '1'; give [rows]"),
    ({"inputs": [tensor(None)]}, "input text has no data"),
    ({"inputs": [tensor("a")]}, "must have a list of strings as its data"),
    ({"inputs": [tensor([1])]}, "must have a list of strings as its data"),
    ({"inputs": [tensor([[["a"]]])]}, "must have a list of strings as its data"),
    ({"inputs": [tensor([["a"], "b"])]}, "must have a list of strings as its data"),
    ({"inputs": [tensor(["a"])], "id": 7}, "id must be a string"),
    ({"inputs": [tensor(["a"])], "parameters": []}, "parameters of the request are no object"),
    ({"inputs": [tensor(["a"])], "parameters": {"top_k": 0}}, "top_k is 0; give 1 to"),
    ({"inputs": [tensor(["a"])], "parameters": {"top_k": 2}}, "neither fills masks nor answers"),
    ({"inputs": [tensor(["a"])], "outputs": "label"}, "outputs must be a list of objects"),
    ({"inputs": [tensor(["a"])], "outputs": [{"name": "logits"}]}, "no output 'logits'; this "),
    ({"inputs": [tensor(["a"])], "outputs": [{"name": "label"}] * 2}, "label is given twice"),
    (
        {
            "inputs": [tensor(["a"])],
            "outputs": [{"name": "scores", "parameters": {"classification": 2}}],
        },
        "have classification, an extension that is not there",
    ),
    (
        {"inputs": [tensor(None, parameters={"binary_data_size": 5})]},
        "binary_data_size of input text is 5; 0 bytes are left",
    ),
    ({"inputs": [tensor(None, parameters={"binary_data_size": "5"})]}, "is '5'; 0 bytes"),
]


@pytest.mark.parametrize(("body", "message"), WRONG)
def test_what_is_wrong_is_a_4xx_of_one_line(server: Server, body: Any, message: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = server.client.post("/v2/models/texts/infer", content=content)
    assert found.status_code == (413 if "20,000" in message else 400), found.text
    assert list(found.json()) == ["error"]
    assert message in found.json()["error"]
    assert "\n" not in found.json()["error"] and len(found.json()["error"]) <= 300


@pytest.mark.parametrize(
    ("raw", "size", "length", "message"),
    [
        (b"\x05\0\0\0ab", 6, None, "input text ends within text 0, by the lengths given"),
        (b"\x01\0\0", 3, None, "input text ends within text 0, by the lengths given"),
        (b"\x01\0\0\0\xff", 5, None, "text 0 of input text is not UTF-8"),
        (b"\x01\0\0\0a\0", 5, None, "1 bytes behind the JSON belong to no input"),
        (b"\x01\0\0\0a", 6, None, "binary_data_size of input text is 6; 5 bytes are left"),
        (b"", 0, None, "has shape [1], but 0 texts"),
        (b"\x01\0\0\0a", 5, "9999", "the body has"),
        (b"\x01\0\0\0a", 5, "9" * 5000, "the body has"),
        (b"\x01\0\0\0a", 5, "-1", "the body has"),
        (b"\x01\0\0\0a", 5, "3", "the body is no JSON"),
    ],
)
def test_wrong_bytes_are_a_400_of_one_line(
    server: Server, raw: bytes, size: int, length: str | None, message: str
) -> None:
    one = tensor(None, parameters={"binary_data_size": size})
    head = json.dumps({"inputs": [one]}).encode()
    headers = {"Inference-Header-Content-Length": length or str(len(head))}
    content = head + raw
    found = server.client.post("/v2/models/texts/infer", content=content, headers=headers)
    assert found.status_code == 400, found.text
    assert message in found.json()["error"] and len(found.json()["error"]) <= 300


@pytest.mark.parametrize("seed", range(3))
def test_no_broken_body_is_a_500(server: Server, seed: int) -> None:
    rng = random.Random(seed)
    raw = counted(SENTENCES)
    one = tensor(None, shape=[3], parameters={"binary_data_size": len(raw)})
    head = json.dumps({"inputs": [one], "outputs": [{"name": "slots"}], "id": "a"}).encode()
    for _ in range(60):
        body = bytearray((head + raw)[: rng.choice((10**6, rng.randint(0, len(head + raw))))])
        for _ in range(rng.randint(0, 3)):
            if body:
                body[rng.randrange(len(body))] = rng.randrange(256)
        length = len(head) + rng.choice((0, 0, 0, -1, 1, -9))
        found = server.client.post(
            "/v2/models/intents/infer",
            content=bytes(body),
            headers={"Inference-Header-Content-Length": str(length)},
        )
        assert found.status_code in (200, 400), bytes(body)


def test_nothing_else_is_there(server: Server) -> None:
    for path, message in (
        ("/v2/models/other", "no model 'other'; there are texts"),
        ("/v2/models/other/ready", "no model 'other'"),
        ("/v2/models/texts/versions/1", "no version '1'; there is "),
        ("/v2/models/texts/versions/1/ready", "no version '1'"),
        ("/v2/nothing", "Not Found"),
    ):
        found = server.client.get(path)
        assert found.status_code == 404
        assert message in found.json()["error"]
    assert server.client.get("/v2/models/texts/infer").status_code == 405
    many = {"inputs": [tensor(["a"] * 41)]}
    assert server.client.post("/v2/models/texts/infer", json=many).status_code == 413


def test_pairs_are_two_inputs_and_choices_a_table() -> None:
    def read(name: str, texts: list[str], shape: list[int], model: Any) -> Any:
        return read_texts(tensor(texts, name=name, shape=shape), None, model)

    pair = [read("text", ["a", "b"], [2], PAIR), read("pair", ["c", "d"], [2, 1], PAIR)]
    assert join_inputs(pair, PAIR) == [("a", "c"), ("b", "d")]
    assert join_inputs([read("text", ["a"], [1], SINGLE)], SINGLE) == ["a"]
    table = [
        read("context", ["a", "b"], [2], CHOICES),
        read("endings", list("cdefgh"), [2, 3], CHOICES),
    ]
    assert join_inputs(table, CHOICES) == [tuple("acde"), tuple("bfgh")]
    with pytest.raises(DataError, match="text and pair have 1, 2 rows"):
        join_inputs([read("text", ["a"], [1], PAIR), pair[1]], PAIR)
    for shape in ([2, 3], [2, 0], [2, 1, 1]):
        with pytest.raises(DataError, match="shape"):
            read("context", ["a"] * 6, shape, CHOICES)
    with pytest.raises(DataError, match=r"give one choice or more"):
        read("endings", [], [2, 0], CHOICES)


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("binary", [True, False])
def test_every_task_has_tensors(task: Task, binary: bool) -> None:
    model = model_of(task)
    inputs = INPUTS[task][1]
    if task is Task.MULTIPLE_CHOICE:  # a tensor has as many choices in each row
        inputs = [each[:3] for each in inputs if len(each) >= 3]
    predictions = model.predict(inputs)
    golden = SimpleNamespace(logits=[[0.0] * len(predictions[0].to_dict().get("values", []))])
    manifest = SimpleNamespace(model=model.spec, golden=golden)
    served: Any = SimpleNamespace(predictor=SimpleNamespace(manifest=manifest))
    assert {type(each) for each in predictions} == {kind_of(served)}
    outputs = outputs_of(served)
    assert {each.name for each in outputs} == predictions[0].to_dict().keys()
    for output in outputs:
        found = make_tensor(output, predictions, binary=binary)
        assert found.shape[0] == len(inputs) and len(found.shape) == 1 + len(output.row)
        assert all(
            size in (-1, told) for size, told in zip(output.row, found.shape[1:], strict=True)
        )
        data = None if binary else json.loads(found.json or b"")
        assert binary == (found.json is None) == bool(found.raw)
        assert data is None or len(data) == np.prod(found.shape)
        assert make_tensor(output, [], binary=binary).shape[0] == 0


@pytest.mark.parametrize("problem", ProblemType)
def test_every_kind_of_labels_has_outputs(problem: ProblemType) -> None:
    spec = model_of(Task.TEXT_CLASSIFICATION).spec
    rule = SimpleNamespace(problem_type=problem)
    manifest = SimpleNamespace(model=SimpleNamespace(task=spec.task, rule=rule, labels=spec.labels))
    served: Any = SimpleNamespace(predictor=SimpleNamespace(manifest=manifest))
    fields = set(kind_of(served).__dataclass_fields__)
    assert {each.name for each in outputs_of(served)} == fields


def test_the_answer_of_another_task_is_not_passed_off() -> None:
    tags, texts = model_of(Task.TOKEN_CLASSIFICATION), model_of(Task.TEXT_CLASSIFICATION)
    manifest = SimpleNamespace(model=texts.spec)
    served: Any = SimpleNamespace(predictor=SimpleNamespace(manifest=manifest))
    asked = oip.read(json.dumps({"inputs": [tensor(["a"])]}).encode(), None, served)
    oip.writer(asked)(texts.predict(["a"]))
    with pytest.raises(DataError, match="replaced by one of another task"):
        oip.writer(asked)(tags.predict(["a"]))
