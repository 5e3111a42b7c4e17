"""Look whether a cause that a log suggests holds: in the repository it comes from, and in the account it ran in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.explaining.confirm_verdict import Verdict, joined

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.diagnosis.model import Cause, Explanation


def confirm(explanation: Explanation, *, repo: Path | None = None, session: Any = None) -> Explanation:
    """The same explanation with `confirmed` and `findings` set; causes that do not hold come last.

    `repo` is a folder with the sources. `session` is a boto3 session for the account; with it policies are read
    and named resources are looked up, nothing is changed.

    Raises:
        UsageError: `repo` does not exist or its settings cannot be used.
        AwsError: AWS cannot be asked.
    """
    from seatrial.errors import UsageError

    if repo is not None and not repo.is_dir():
        raise UsageError("there is no such folder", where=str(repo), fix="give the folder of the sources")
    causes = [_looked_at(cause, repo, session) for cause in explanation.causes]
    causes.sort(key=lambda cause: cause.confirmed == "no")
    return msgspec.structs.replace(explanation, causes=tuple(causes))


def _looked_at(cause: Cause, repo: Path | None, session: Any) -> Cause:
    from seatrial.explaining import confirm_access, confirm_account, confirm_files, confirm_rules

    verdict = Verdict()
    if repo is not None:
        verdict = joined(
            confirm_rules.verdict(cause, repo),
            confirm_files.verdict(cause, repo),
            confirm_access.verdict(cause, repo),
        )
    if session is not None:
        asked = confirm_account.verdict(cause, session)
        # What the account says today weighs more than what a file says that may not have been applied.
        said = asked.confirmed if asked.confirmed != "unknown" else verdict.confirmed
        verdict = Verdict(said, (*verdict.findings, *asked.findings))
    return msgspec.structs.replace(
        cause, confirmed=verdict.confirmed, findings=(*cause.findings, *verdict.findings)
    )
