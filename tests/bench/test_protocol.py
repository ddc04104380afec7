import json

import pytest

from bertedge.bench.protocol import (
    Failed,
    Open,
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


def test_every_request_comes_back_as_it_was_sent(opening: Open):
    requests = [
        opening,
        TokenWorkload(name="2x2", batches=(((1, 2), (3, 4)),)),
        TextWorkload(name="t", texts=(("ä\n",), ("a", "b")), at_once=True, token_budget=9),
        Run(workload="t", first=4, repeats=2, warm_up_ms=30.0),
    ]
    for request in requests:
        line = encode(request)
        assert line.count("\n") == 1 and line.isascii()
        assert decode_request(line) == request


def test_every_answer_comes_back_as_it_was_sent():
    ready = Ready(warm_up_runs=9, stable=False, run_ms=0.5, labels=(1,), peak_memory_bytes=None)
    for answer in (ready, Ran(samples_ms=(0.25, 3.0), peak_memory_bytes=7), Failed(error="no")):
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
