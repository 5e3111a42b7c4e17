"""How long `seatrial check` takes, against its budgets.

A repository of 50 files of the usual kinds, and 1,000 generated buildspecs, each checked by the command as a
person runs it. What reading YAML costs is compared within one process: the same buildspecs by libyaml and by
PyYAML's own parser, in turn, as a ratio.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from seatrial.sources import yaml
from seatrial.sources.text import Source

ROUNDS = 9
PROGRAM = Path(sys.executable).with_name("seatrial")

BUILDSPEC = """\
version: 0.2
env:
  variables:
    NAME: service-{number}
    MODE: 0644
  parameter-store:
    TOKEN: /service/{number}/token
phases:
  install:
    runtime-versions:
      python: 3.11
    commands:
      - python -m pip install -r requirements.txt
      - echo "installed in $CODEBUILD_SRC_DIR"
  pre_build:
    commands:
      - aws ecr get-login-password | docker login --username AWS --password-stdin $REGISTRY
      - export TAG=$(echo $CODEBUILD_RESOLVED_SOURCE_VERSION | cut -c 1-7)
  build:
    commands:
      - docker build -t $REGISTRY/service-{number}:$TAG .
      - |
        for attempt in 1 2 3; do
          docker push $REGISTRY/service-{number}:$TAG && break
        done
  post_build:
    commands:
      - printf '[{{"name":"service","imageUri":"%s"}}]' $REGISTRY/service-{number}:$TAG > image.json
reports:
  unit:
    files: ["**/*.xml"]
    base-directory: reports
artifacts:
  files: [image.json, appspec.yml]
cache:
  paths: ["/root/.cache/**/*"]
"""

MIXED = {
    "service{number}/buildspec.yml": BUILDSPEC,
    "service{number}/appspec.yml": "version: 0.0\nos: linux\nfiles:\n  - source: /\n    destination: /srv\n",
    "service{number}/Dockerfile": "FROM python:3.11-slim\nCOPY . .\nRUN pip install -r requirements.txt\n",
    "service{number}/requirements.txt": "fastapi==0.115.6\nonnxruntime==1.17.3\nnumpy==1.26.4\ntorch==2.2.2\n",
    "service{number}/deploy.yaml": "apiVersion: v1\nkind: Service\nmetadata:\n  name: s{number}\n",
    "service{number}/main.py": "print({number})\n",
    "service{number}/pyproject.toml": '[project]\nname = "s{number}"\ndependencies = ["flask"]\n',
    "service{number}/job.yaml": "apiVersion: kubeflow.org/v1\nkind: PyTorchJob\nmetadata:\n  name: j\n",
    "service{number}/site.yml": "- hosts: all\n  tasks:\n    - name: x\n      ping:\n",
    "service{number}/main.tf": 'resource "aws_s3_bucket" "b{number}" {{}}\n',
}


def write(root: Path, path: str, text: str, number: int) -> None:
    file = root / path.format(number=number)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text.format(number=number))


def seconds(folder: Path, *arguments: str) -> float:
    """Wall time of one run of the command."""
    start = time.perf_counter()
    done = subprocess.run([str(PROGRAM), *arguments], cwd=folder, capture_output=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr.decode())
    return time.perf_counter() - start


def reading(sources: list[Source]) -> float:
    start = time.perf_counter()
    for source in sources:
        yaml.read(source)
    return time.perf_counter() - start


def compare_readers(sources: list[Source]) -> tuple[float, float]:
    """Medians of reading everything with libyaml and without, taken in turn."""
    import yaml as pyyaml

    fast = getattr(pyyaml, "CSafeLoader", None)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(3):
        times[0].append(reading(sources))
        if fast is None:
            return times[0][0], times[0][0]
        del vars(pyyaml)["CSafeLoader"]
        times[1].append(reading(sources[: len(sources) // 10]) * 10)
        vars(pyyaml)["CSafeLoader"] = fast
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        mixed, many = Path(folder, "mixed"), Path(folder, "many")
        for number in range(5):
            for path, text in MIXED.items():
                write(mixed, path, text, number)
        for number in range(1000):
            write(many, "{number}/buildspec.yml", BUILDSPEC, number)
        (mixed / ".gitignore").write_text("*.log\nbuild/\n!keep.log\n")
        cases = {
            "check: one empty folder": (mixed / "none", 0.4),
            "check: 50 files": (mixed, 0.4),
            "check: 1,000 buildspecs": (many, 3.0),
        }
        (mixed / "none").mkdir()
        missed = False
        print(f"{'what':<26} {'median':>9} {'fastest':>9} {'budget':>9}")
        for name, (place, budget) in cases.items():
            seconds(place, "check", "--json")  # bytecode and page cache
            times = [seconds(place, "check", "--json") for _ in range(ROUNDS)]
            median = statistics.median(times)
            missed |= median > budget
            print(f"{name:<26} {median * 1000:6.0f} ms {min(times) * 1000:6.0f} ms {budget * 1000:6.0f} ms")
        sources = [Source("buildspec.yml", BUILDSPEC.format(number=number)) for number in range(1000)]
        with_libyaml, without = compare_readers(sources)
        print(
            f"reading 1,000 buildspecs: {with_libyaml * 1000:.0f} ms with libyaml, {without * 1000:.0f} ms without: "
            f"{without / with_libyaml:.1f} times"
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
