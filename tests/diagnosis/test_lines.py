"""What a line says, without what its way into the log has put before it."""

from __future__ import annotations

import pytest

from seatrial.diagnosis.lines import clean


@pytest.mark.parametrize(
    ("raw", "source", "text"),
    [
        (b"[Container] 2024/05/05 10:00:00.123456 Running command ls", "", "Running command ls"),
        (b"\x1b[1;31mERROR\x1b[0m: no", "", "ERROR: no"),
        (b"\x1b]8;;https://x\x07link\x1b]8;;\x07 here", "", "link here"),
        (
            b"2024-05-05T10:00:00.1234567Z ##[error]Process completed with exit code 1.",
            "",
            "Process completed with exit code 1.",
        ),
        (b"2024-05-05 10:00:00,123 ERROR boom", "", "ERROR boom"),
        (b"[2024-05-05 10:00:00] boom", "", "boom"),
        (b"web-1  | KeyError: 'x'", "web-1", "KeyError: 'x'"),
        (b"[rank3]: torch.OutOfMemoryError: CUDA", "rank3", "torch.OutOfMemoryError: CUDA"),
        (b"[default0]:Traceback (most recent call last):", "default0", "Traceback (most recent call last):"),
        (b"3: srun says", "3", "srun says"),
        (b"[1,2]<stderr>:boom", "1,2", "boom"),
        (b"[pod/train-0/main] 2024-05-05T10:00:00Z boom", "pod/train-0/main", "boom"),
        (b"#12 3.456 fatal: not a git repository", "#12", "fatal: not a git repository"),
        (b"#12 ERROR: process did not complete", "#12", "ERROR: process did not complete"),
        (b"build\tInstall\t2024-05-05T10:00:00.1Z error: x", "build", "error: x"),
        (b"2024-05-05T10:00:00.1Z stderr F panic: x", "", "panic: x"),
        (b'{"log":"a \\"b\\" \\u00e9\\n","stream":"stderr","time":"x"}', "", 'a "b" \u00e9'),
        (b"May  5 10:00:00 node1 kernel[1]: Out of memory", "kernel[1]", "Out of memory"),
        (b"[  123.456789] Out of memory", "", "Out of memory"),
        (b"    qemu.box: E: broken", "qemu.box", "E: broken"),
        ("│ Error: Invalid".encode(), "", "Error: Invalid"),
        (b"bad \xff\xfe bytes", "", "bad \ufffd\ufffd bytes"),
        (b"2024-05-05T10:00:00Z", "", "2024-05-05T10:00:00Z"),
        (b"", "", ""),
        (b"plain text: 3 | 4", "", "plain text: 3 | 4"),
        (b"[stderr]bash: ./x: Permission denied", "", "bash: ./x: Permission denied"),
        (b"[2024-05-05 10:00:00.123] [d-1A2B3C4D5] [stdout]ready", "d-1A2B3C4D5", "ready"),
    ],
)
def test_a_line_is_cleaned(raw: bytes, source: str, text: str) -> None:
    assert tuple(clean(raw)) == (source, text)
