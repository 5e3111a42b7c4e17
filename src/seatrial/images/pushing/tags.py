"""From strategies to tags for an image in a folder: asks git and the environment, then decides."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from seatrial.images.pushing.checkout import read_checkout
from seatrial.images.pushing.surroundings import read_surroundings
from seatrial.images.pushing.tagging import Decision, Strategy, Wish, decide

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def choose_tags(
    strategies: Sequence[Strategy],
    folder: Path,
    digest: str,
    wish: Wish = Wish(),  # noqa: B008 - an immutable tuple
    *,
    without: Sequence[Path] = (),
    env: Mapping[str, str] | None = None,
) -> Decision:
    """The tags of the image `digest` that was made from `folder`; files below `without` are not looked at.

    Raises:
        UsageError: a strategy cannot say a tag here.
        MissingToolError: git is needed and not installed.
        SeatrialError: git cannot read the repository.
    """
    variables = os.environ if env is None else env
    if set(strategies) == {"latest"}:
        return decide(strategies, None, read_surroundings(variables), digest, wish)
    history = bool({"auto", "semantic"}.intersection(strategies))
    checkout = read_checkout(folder, without=without, history=history, env=variables)
    return decide(strategies, checkout, read_surroundings(variables), digest, wish)
