import json

import numpy as np
import pytest

from bertedge.bench.protocol import (
    Export,
    Exported,
    Failed,
    Open,
    Operator,
    Profiled,
    ProfileGraph,
    ProtocolError,
    Ran,
    Ready,
    Run,
    TextWorkload,
    TokenWorkload,
    decode_answer,
    decode_request,
    encode,
)
from bertedge.predictions import (
    Answer,
    Answers,
    Classification,
    Embedding,
    Entities,
    Entity,
    IntentSlots,
    MultiLabelClassification,
    Regression,
)
from bertedge.spec import Task

READY = '{"say": "ready", "warm_up_runs": 1, "stable": true, "run_ms": 1,'
ENTITY = Entity(label="B-x", score=0.5, start=0, end=2, text="ab")
ANSWER = Answer(text="ab", start=0, end=2, score=0.5)


def test_every_request_comes_back_as_it_was_sent(opening: Open):
    graph = ProfileGraph(
        model="m",
        disabled_optimizers=("x",),
        optimized=True,
        threads=1,
        rows=((1, 2),),
        runs=3,
    )
    requests = [
        opening,
        TokenWorkload(name="2x2", batches=(((1, 2), (3, 4)),)),
        TextWorkload(name="t", texts=(("ä\n",), ("a", "b")), at_once=True),
        Run(workload="t", first=4, repeats=2, warm_up_ms=30.0),
        Run(workload="t", first=0, repeats=2, arrivals_s=(0.0, 0.5)),
        Export(checkpoint="c", task=Task.TEXT_CLASSIFICATION, folder="f"),
        graph,
    ]
    for request in requests:
        line = encode(request)
        assert line.count("\n") == 1 and line.isascii()
        assert decode_request(line) == request


def test_every_answer_comes_back_as_it_was_sent():
    outputs = (
        1,
        Classification(label="a", score=0.5, scores={"a": 0.5}),
        MultiLabelClassification(labels=("a",), scores={"a": 0.75}),
        Regression(value=-1.5, truncated=True),
        Entities(entities=(ENTITY,), windows=2),
        Entities(entities=()),
        IntentSlots(intent="on", score=1.0, scores={"on": 1.0}, slots=(ENTITY,)),
        Answers(answer=ANSWER, answers=(ANSWER,), no_answer=0.25),
        Answers(answer=None, answers=(), no_answer=1.0),
    )
    answers = (
        Ready(warm_up_runs=9, stable=False, run_ms=0.5, outputs=outputs),
        Ran(samples_ms=(0.25, 3.0), uncounted_runs=2),
        Exported(exported="a", fused=None, int8=None, problem="int8: no"),
        Profiled(operators=(Operator(name="Add", calls=2, ms=0.5),)),
        Failed(error="no"),
    )
    for answer in answers:
        assert decode_answer(encode(answer)) == answer


def test_an_embedding_comes_back_to_six_digits():
    vector = np.array([0.25, -1e-6, 3.0], np.float32)
    ready = Ready(warm_up_runs=1, stable=True, run_ms=1, outputs=(Embedding(values=vector),))
    answer = decode_answer(encode(ready))
    assert isinstance(answer, Ready)
    (found,) = answer.outputs
    assert isinstance(found, Embedding) and found.values.dtype == np.float32
    assert found.values.tolist() == vector.tolist()


def test_messages_are_named_in_snake_case():
    assert json.loads(encode(TokenWorkload(name="x", batches=())))["say"] == "token_workload"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("Loading weights …\n", "no JSON"),
        ("[1]\n", "no object"),
        ('{"say": 3}\n', "no object"),
        ('{"say": "sing"}\n', "'sing' is no answer"),
        ('{"say": "run", "workload": "t", "first": 0, "repeats": 1}\n', "'run' is no answer"),
        ('{"say": "failed"}\n', "error is missing"),
        ('{"say": "failed", "error": "x", "code": 3}\n', "code is unknown"),
        ('{"say": "ran", "samples_ms": [NaN]}\n', "finite"),
        ('{"say": "ran", "samples_ms": ["1"]}\n', "finite"),
        (f'{READY} "outputs": 3}}', "outputs must be a list"),
        (f'{READY} "outputs": [true]}}', r"outputs\[0\] is no prediction"),
        (f'{READY} "outputs": [1, {{"label": "a"}}]}}', r"outputs\[1\].score is missing"),
        (f'{READY} "outputs": [{{"values": ["a"]}}]}}', "finite"),
        ("[" * 100_000 + "\n", "no JSON"),
    ],
)
def test_a_line_that_is_no_answer_says_why(line: str, why: str):
    with pytest.raises(ProtocolError, match=why):
        decode_answer(line)
