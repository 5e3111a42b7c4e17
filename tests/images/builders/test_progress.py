"""What builders print, read as steps."""

from __future__ import annotations

import pytest

from seatrial.images.builders import progress

BUILDAH = """\
[1/2] STEP 1/2: FROM base AS made
[1/2] STEP 2/2: RUN make
making
--> 1b6ac8ba9b9
[2/2] STEP 1/3: FROM base
[2/2] STEP 2/3: COPY a /a
--> Using cache 99e1b6ac8ba9b99e1b6ac8ba9b99e1b6ac8ba9b99e1b6ac8ba9b99e1b6ac8ba9
--> 99e1b6ac8ba
[2/2] STEP 3/3: RUN false
Error: building at STEP "RUN false": while running runtime: exit status 1
"""
BUILDKIT = """\
#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 621B done
#1 DONE 0.0s

#4 [made 1/2] FROM docker.io/library/base
#4 CACHED

#5 [made 2/2] RUN make
#5 sha256:bfd10eb33daf6ec5bf6587055539393a71f8fb425dd2071b0e3e2f28d18bef17
#5 0.294 making

#7 [stage-1 2/3] COPY a /a
#7 CACHED

#5 [made 2/2] RUN make
#5 0.400 made
#5 DONE 2.3s

#8 [stage-1 3/3] RUN false
#8 ERROR: executor failed running [/bin/sh -c false]: exit code: 1
"""
CLASSIC = """\
Step 1/3 : FROM base
 ---> 1b6ac8ba9b99
Step 2/3 : COPY a /a
 ---> Using cache
 ---> 2b6ac8ba9b99
Step 3/3 : RUN false
 ---> Running in 3b6ac8ba9b99
The command '/bin/sh -c false' returned a non-zero code: 1
"""


@pytest.mark.parametrize(
    ("reader", "log", "steps"),
    [
        (
            progress.buildah(),
            BUILDAH,
            [
                "FROM base AS made done",
                "RUN make done",
                "FROM base done",
                "COPY a /a cached",
                "RUN false failed",
            ],
        ),
        (
            progress.buildkit(),
            BUILDKIT,
            ["FROM docker.io/library/base cached", "RUN make done", "COPY a /a cached", "RUN false failed"],
        ),
        (progress.classic(), CLASSIC, ["FROM base done", "COPY a /a cached", "RUN false failed"]),
    ],
    ids=["buildah", "buildkit", "classic"],
)
def test_steps_begin_and_end_as_the_builder_says(reader: progress.Reader, log: str, steps: list[str]) -> None:
    for second, line in enumerate(log.splitlines()):
        reader.line(line, float(second))
    reader.finish(1, 100.0)
    assert [f"{one.instruction} {one.state}" for one in reader.steps] == steps
    made = next((one for one in reader.steps if one.instruction == "RUN make"), None)
    assert made is None or made.seconds > 0
    assert all(one.seconds == 0 for one in reader.steps if one.state == "cached")


def test_what_a_program_says_is_read_without_the_marks_of_buildkit() -> None:
    reader = progress.buildkit()
    said = [reader.line(line, 0.0) for line in BUILDKIT.splitlines()]
    assert "making" in said
    assert not any("sha256:" in line for line in said)
