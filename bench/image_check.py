"""How long checking images takes without resolving, against its budget: 151 Dockerfiles in 3 s in one process.

The Dockerfiles of the folder that SEATRIAL_CASES names, else as many made of a few real shapes. What the rules cost is
shown by reading alone beside reading and judging, in turn, as a ratio.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.checking.run import check, image_options
from seatrial.images.story.reading import read_all

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
COUNT = 151
SHAPES = (
    ("FROM nvidia/cuda:12.4.1-devel-ubuntu22.04\n"
    "RUN apt-get update && apt-get install -y python3 python3-pip git && rm -rf /var/lib/apt/lists/*\n"
    "ARG TORCH=2.5.1\n"
    "RUN pip install torch==${TORCH} torchvision==0.20.1 --index-url https://download.pytorch.org/whl/cu124\n"
    "COPY requirements.txt .\nRUN pip install -r requirements.txt && pip install flash-attn --no-build-isolation\n"),
    ("FROM python:3.11-slim AS build\nWORKDIR /app\nCOPY requirements.txt .\n"
    "RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir -r requirements.txt\n"
    'FROM python:3.11-slim\nCOPY --from=build /venv /venv\nENV PATH=/venv/bin:$PATH\nCMD ["python", "serve.py"]\n'),
    "FROM pytorch/pytorch:2.4.0-cuda12.1-cudnn9-runtime\nRUN pip install transformers==4.44.0 accelerate numpy\\<2\n",
)  # fmt: skip
REQUIREMENTS = "transformers==4.46.1\ndatasets>=2.19\naccelerate\nnumpy<2\nfastapi\nuvicorn[standard]\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folders = _real() or _made(Path(scratch))
        check([folders[0]], image_options({}, offline=True))
        reading, judging = [], []
        for _ in range(ROUNDS):
            reading.append(_timed(lambda: [read_all(one) for one in folders]))
            judging.append(_timed(lambda: [check([one], image_options({}, offline=True)) for one in folders]))
        ratio = statistics.median(b / a for a, b in zip(reading, judging, strict=True))
        print(f"{len(folders)} folders, median of {ROUNDS}")
        print(f"  read          {statistics.median(reading):5.2f} s")
        print(f"  read, judged  {statistics.median(judging):5.2f} s   {ratio:.1f} x reading   budget 3 s")


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _real() -> list[Path]:
    cases = os.environ.get("SEATRIAL_CASES")
    root = Path(cases) / "dockerfiles" if cases else None
    return sorted(root.iterdir()) if root is not None and root.is_dir() else []


def _made(scratch: Path) -> list[Path]:
    folders = []
    for number in range(COUNT):
        folder = scratch / f"{number:03}"
        folder.mkdir()
        (folder / "Dockerfile").write_text(SHAPES[number % len(SHAPES)], encoding="utf-8")
        (folder / "requirements.txt").write_text(REQUIREMENTS, encoding="utf-8")
        folders.append(folder)
    return folders


if __name__ == "__main__":
    main()
