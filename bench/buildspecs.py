"""Check 1,000 buildspecs: real ones from a folder, again and again with changes, in one process.

    python bench/buildspecs.py FOLDER [COUNT]

FOLDER holds buildspecs. Every copy has other variables and commands, so nothing is answered from memory.
The budget is 3 seconds for 1,000, judged by the processor's time: what others do meanwhile does not count.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

from seatrial.builds.rules import check
from seatrial.sources.text import Source

BUDGET_S = 3.0


def main() -> int:
    """Print how long it took; 1 when that is over the budget."""
    if len(sys.argv) < 2:  # noqa: PLR2004
        print(__doc__, file=sys.stderr)
        return 2
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1000  # noqa: PLR2004
    files = sorted(one for one in Path(sys.argv[1]).iterdir() if one.suffix in (".yml", ".yaml"))
    if not files:
        print(f"{sys.argv[1]} holds no buildspec", file=sys.stderr)
        return 2
    texts = [(one.name, one.read_text(encoding="utf-8")) for one in files]
    sources = [_changed(*texts[number % len(texts)], number // len(texts)) for number in range(count)]
    begin, used = time.perf_counter(), time.process_time()
    findings = [found for one in sources for found in check(one)]
    seconds, used = time.perf_counter() - begin, time.process_time() - used
    lines = sum(len(one.starts) for one in sources)
    print(
        f"{count} buildspecs, {lines} lines, {len(findings)} findings: {seconds:.2f} s, {used:.2f} s of them at work"
    )
    return int(used > BUDGET_S * count / 1000)


def _changed(name: str, text: str, turn: int) -> Source:
    """The same file with other words: `echo` and variables are numbered."""
    text = re.sub(r"\becho ", f"echo t{turn} ", text)
    return Source(f"{turn}-{name}", re.sub(r"\$\{(\w+)\}", rf"${{\1_{turn}}}", text))


if __name__ == "__main__":
    sys.exit(main())
