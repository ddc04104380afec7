import json

import pytest

from bertedge.bench.messages import (
    Export,
    Exported,
    Failed,
    Label,
    Labels,
    Open,
    Operator,
    Profiled,
    ProfileGraph,
    Ran,
    Ready,
    Run,
    Serve,
    Served,
    TextWorkload,
    TokenWorkload,
)
from bertedge.bench.protocol import ProtocolError, decode_answer, decode_request, encode
from bertedge.spec import Task


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
        Serve(workload="t", first=0, arrivals_s=(0.0, 0.5)),
        Label(texts=(("a",),)),
        Export(checkpoint="c", task=Task.TEXT_CLASSIFICATION, folder="f"),
        graph,
    ]
    for request in requests:
        line = encode(request)
        assert line.count("\n") == 1 and line.isascii()
        assert decode_request(line) == request


def test_every_answer_comes_back_as_it_was_sent():
    ready = Ready(warm_up_runs=9, stable=False, run_ms=0.5, labels=(1,), peak_memory_bytes=None)
    others = (
        Ran(samples_ms=(0.25, 3.0), peak_memory_bytes=7, uncounted_runs=2),
        Served(latencies_ms=(0.5,)),
        Labels(labels=(1, -1)),
        Exported(exported="a", fused=None, int8=None, problem="int8: no"),
        Profiled(operators=(Operator(name="Add", calls=2, ms=0.5),)),
        Failed(error="no"),
    )
    for answer in (ready, *others):
        assert decode_answer(encode(answer)) == answer


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
        ('{"say": "ran", "samples_ms": [NaN], "peak_memory_bytes": null}\n', "finite"),
        ('{"say": "ran", "samples_ms": ["1"], "peak_memory_bytes": null}\n', "finite"),
        ("[" * 100_000 + "\n", "no JSON"),
    ],
)
def test_a_line_that_is_no_answer_says_why(line: str, why: str):
    with pytest.raises(ProtocolError, match=why):
        decode_answer(line)
