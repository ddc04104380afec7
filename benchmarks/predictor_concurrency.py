"""Several threads and several predictors in one process: throughput together, and idle afterwards.

usage: python benchmarks/predictor_concurrency.py BUNDLE DATA [ROUNDS]

Every caller labels the same texts, in rounds, one arrangement at a time; the medians of their rates
together, and of each round's ratio to one caller, are added to benchmarks/predictor.json.
"""

import itertools
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from provenance import provenance

import bertedge
from bertedge.data import Columns, open_examples
from bertedge.predictor import Predictor
from bertedge.runtime import machine
from bertedge.spec import Task

RESULT = Path(__file__).parent / "predictor.json"
TEXTS = 1200
SINGLES = 200


def main(bundle: str, data: str, rounds: str = "5") -> None:
    examples = open_examples(Path(data), Task.TEXT_CLASSIFICATION, Columns())
    texts = [example.text for example in itertools.islice(examples, TEXTS)]
    predictors = [bertedge.load(bundle, device="cpu", threads=machine.cores()) for _ in range(3)]
    for predictor in predictors:
        predictor.predict(texts)
    first = predictors[0]

    def together(users: Sequence[Predictor], work: Callable[[Predictor], object]) -> float:
        """Run the work of each in a thread of its own; give the seconds until the last is done."""
        threads = [threading.Thread(target=work, args=(user,)) for user in users]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - began

    ways = {
        "all at once": (TEXTS, lambda user: user.predict(texts)),
        "one by one": (SINGLES, lambda user: [user.predict_one(text) for text in texts[:SINGLES]]),
    }
    callers = {
        "1 caller": [first],
        "2 callers": [first] * 2,
        "4 callers": [first] * 4,
        "3 predictors": predictors,
    }
    found: dict[str, object] = {}
    for title, (count, work) in ways.items():
        rates = {name: [] for name in callers}
        for _ in range(int(rounds)):
            for name, users in callers.items():
                rates[name].append(len(users) * count / together(users, work))
        alone = rates[next(iter(rates))]
        found[title] = {
            name: {
                "texts_per_second": round(statistics.median(own)),
                "of_one_caller": round(
                    statistics.median(a / b for a, b in zip(own, alone, strict=True)), 3
                ),
            }
            for name, own in rates.items()
        }
    busy = time.process_time()
    time.sleep(2)
    found["idle_cpu"] = round((time.process_time() - busy) / 2, 5)
    record = json.loads(RESULT.read_text()) if RESULT.exists() else {"sets": {}}
    record["concurrency"] = found | provenance(__file__, "onnxruntime", "tokenizers")
    RESULT.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
