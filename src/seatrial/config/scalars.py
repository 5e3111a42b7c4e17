"""Kinds of single values that settings have."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

# A scalar whose text counts: `1.10` stays `1.10`, `0644` stays `0644`, `yes` stays `yes`.
Text = Annotated[str, Meta(extra={"text": True}, extra_json_schema={"type": ["string", "number", "boolean"]})]
# A file or folder named relative to the folder of seatrial.yaml; a check reports the ones that do not exist.
FileName = Annotated[str, Meta(min_length=1, extra={"exists": "file"})]
FolderName = Annotated[str, Meta(min_length=1, extra={"exists": "folder"})]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$", max_length=100)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=86400)]
