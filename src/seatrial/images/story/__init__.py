"""What a Dockerfile and its dependency files install, in order, stage by stage."""

from __future__ import annotations

from seatrial.images.story.model import Story
from seatrial.images.story.reading import from_sources, is_dockerfile, leftover, read, read_all

__all__ = ["Story", "from_sources", "is_dockerfile", "leftover", "read", "read_all"]
