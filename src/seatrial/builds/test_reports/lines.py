"""The lines of one source file, collected from wherever a report tells of them."""

from __future__ import annotations

from seatrial.builds.test_reports.model import FileCoverage


class Lines:
    """Line numbers with hits and branches; what is told twice counts once, with the better of both."""

    def __init__(self) -> None:
        self.hits: dict[int, int] = {}
        self.branches: dict[int, tuple[int, int]] = {}

    def add(self, number: int, hits: int, branches: int = 0, branches_covered: int = 0) -> None:
        """One line; `branches` are all ways that leave it."""
        self.hits[number] = max(hits, self.hits.get(number, 0))
        if branches:
            old = self.branches.get(number, (0, 0))
            self.branches[number] = (max(branches, old[0]), max(branches_covered, old[1]))

    def file(self, path: str) -> FileCoverage:
        """The sums."""
        return FileCoverage(
            path=path,
            lines=len(self.hits),
            lines_covered=sum(hits > 0 for hits in self.hits.values()),
            branches=sum(of for of, _ in self.branches.values()),
            branches_covered=sum(have for _, have in self.branches.values()),
        )
