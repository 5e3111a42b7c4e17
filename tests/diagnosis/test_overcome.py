"""What a program got over is no cause, what it did not get over is one, and a lost exit status is told."""

from __future__ import annotations

import pytest

from seatrial.diagnosis.explain import explain

REFUSED = "dial tcp 127.0.0.1:5432: connect: connection refused"
MISSING = "ModuleNotFoundError: No module named 'cupy'"


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (f"=== RUN   TestA\n    a_test.go:3: {REFUSED}\n--- PASS: TestA (0.00s)\nPASS\n", []),
        (
            f"=== RUN   TestA\n    a_test.go:3: {REFUSED}\n--- FAIL: TestA (0.00s)\nFAIL\n",
            ["connection-refused"],
        ),
        (
            f"=== RUN   TestA\n--- PASS: TestA (0.00s)\n=== RUN   TestB\n{REFUSED}\n--- FAIL: TestB (0.00s)\n",
            ["connection-refused"],
        ),
        ("test_e.py::test_told[No space left on device] PASSED  [ 57%]\nexit status 3\n", []),
        ("test_e.py::test_told[No space left on device] FAILED  [ 57%]\n", ["no-space-left"]),
        ("  \u2713 says connect ECONNREFUSED 127.0.0.1:80 (3 ms)\nexit status 3\n", []),
        ("test_x (t.T) No space left on device ... ok\nexit status 3\n", []),
        (f'level=info msg="skip loading plugin" error="{REFUSED}"\nexit status 3\n', []),
        (f'level=error msg="no database" error="{REFUSED}"\nexit status 3\n', ["connection-refused"]),
        (f"DEBUG first try: {REFUSED}\nexit status 3\n", []),
        (f"{MISSING}\nfalling back to the CPU\ndone\n", []),
        (f"{MISSING}\nwarm\nlukewarm\ncold\nfalling back to the CPU\n", ["python-module-missing"]),
        (f"{MISSING}\nthe image was built\n", []),
        (f"{MISSING}\nthe image was not built\n", ["python-module-missing"]),
        (f"{MISSING}\nwaiting for it to be ready\n", ["python-module-missing"]),
        (f"{MISSING}\ntrying again\n{MISSING}\n", ["python-module-missing"]),
        ("checkpoint saved; CUDA out of memory events: 0\n", []),
        ("CUDA out of memory events: 3\n", ["cuda-out-of-memory"]),
    ],
)
def test_only_what_was_not_got_over_is_a_cause(log: str, expected: list[str]) -> None:
    assert [one.id for one in explain(log).causes] == expected


def test_a_failure_after_the_last_phase_that_is_told_of_is_explained() -> None:
    log = f"Phase complete: PRE_BUILD State: SUCCEEDED\n{MISSING}\nCommand did not exit successfully python a.py exit status 1\n"

    found = explain(log)

    assert (found.outcome, found.causes[0].id) == ("failed", "python-module-missing")


@pytest.mark.parametrize(
    ("last", "expected"),
    [("3 failed, 10 passed in 2.00s", ["exit-status-masked"]), ("13 passed in 2.00s", [])],
)
def test_a_phase_that_succeeded_on_a_failed_command_is_told_with_doubt(
    last: str, expected: list[str]
) -> None:
    log = f"Entering phase BUILD\n{last}\nPhase complete: BUILD State: SUCCEEDED\n"

    causes = explain(log).causes

    assert [one.id for one in causes] == expected
    assert {one.confidence for one in causes} <= {"low"}


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (
            "Exit code: 137\nReason: OutOfMemoryError: Container killed due to memory usage\n",
            "ecs-out-of-memory",
        ),
        ("Exit code: 137\n", "oom-killed"),
        (
            "Invalid action configuration\nThe AWS ECS container web does not exist\n",
            "pipeline-artifact-unreadable",
        ),
    ],
)
def test_a_heading_right_above_its_cause_is_no_cause(log: str, expected: str) -> None:
    assert [one.id for one in explain(log).causes] == [expected]
