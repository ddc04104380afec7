import random
from pathlib import Path

import pytest

COLORS = ["red", "blue", "green", "white"]
FRUITS = ["apple", "pear", "plum", "grape"]


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents, each about one color and one fruit, which foretell one another."""
    rng = random.Random(0)
    path = tmp_path_factory.mktemp("text") / "fruits.txt"
    with path.open("w") as file:
        for document in range(60):
            kind = document % 4
            for _ in range(rng.choice((6, 12))):
                start = rng.choice(["see the", "take a", "here one"])
                file.write(f"{start} {COLORS[kind]} {FRUITS[kind]}\n")
            file.write("\n")
    return path
