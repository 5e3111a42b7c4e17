"""The image configuration: how a container of it starts. Source: OCI image-spec v1.1, config.md."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.images.assemble.accounts import Account
    from seatrial.images.assemble.spec import ImageSpec
    from seatrial.images.bases import Base

_BASE_NAME = "org.opencontainers.image.base.name"
_BASE_DIGEST = "org.opencontainers.image.base.digest"


def image_config(
    spec: ImageSpec,
    base_config: dict[str, Any],
    user: Account,
    base: Base,
    base_layers: int,
    added: Sequence[tuple[str, str]],
    created: int,
) -> dict[str, Any]:
    """The base's configuration with what the specification changes; `added` are (what, diff_id) of new layers.

    Raises:
        SeatrialError: the base is for another platform, or its configuration does not fit its layers.
    """
    platform = f"{base_config.get('os', 'linux')}/{base_config.get('architecture', '')}"
    if platform != base.platform:
        raise SeatrialError(
            f"the base is for {platform}, not for {base.platform}", where=base.name, fix="choose another base"
        )
    diff_ids = list((base_config.get("rootfs") or {}).get("diff_ids") or ())
    if len(diff_ids) != base_layers:
        raise SeatrialError(
            f"the base's configuration names {len(diff_ids)} layers, its manifest {base_layers}", where=base.name,
            fix="pull the base again",
        )  # fmt: skip
    moment = datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    history = list(base_config.get("history") or ())
    if sum(not entry.get("empty_layer") for entry in history) != base_layers:
        history = [{"created": moment, "created_by": "base"}] * base_layers
    history += [{"created": moment, "created_by": f"seatrial image assemble: {what}"} for what, _ in added]
    return {
        "architecture": base_config["architecture"],
        "config": run_config(spec, base_config.get("config") or {}, user, base),
        "created": moment,
        "history": history,
        "os": base_config.get("os", "linux"),
        "rootfs": {"type": "layers", "diff_ids": [*diff_ids, *(diff_id for _, diff_id in added)]},
        **({"variant": base_config["variant"]} if base_config.get("variant") else {}),
    }


def run_config(spec: ImageSpec, inherited: dict[str, Any], user: Account, base: Base) -> dict[str, Any]:
    """User, environment, program, ports and labels of a container."""
    env = dict(item.partition("=")[::2] for item in inherited.get("Env") or ()) | spec.env
    config: dict[str, Any] = {**inherited, "User": f"{user.uid}:{user.gid}", "WorkingDir": spec.workdir}
    config["Env"] = [f"{name}={value}" for name, value in env.items()]
    if spec.entrypoint:
        config["Entrypoint"], config["Cmd"] = list(spec.entrypoint), list(spec.command)
    elif spec.command:
        config["Cmd"] = list(spec.command)
    ports = set(inherited.get("ExposedPorts") or {}) | {f"{port}/tcp" for port in spec.ports}
    config["ExposedPorts"] = {port: {} for port in sorted(ports)}
    labels = {**(inherited.get("Labels") or {}), _BASE_DIGEST: base.origin or base.digest}
    labels.pop(_BASE_NAME, None)
    if not base.name.startswith((".", "/", "~")):  # the name of a folder says nothing elsewhere
        labels[_BASE_NAME] = base.name
    config["Labels"] = dict(sorted({**labels, **spec.labels}.items()))
    return {key: value for key, value in sorted(config.items()) if value not in (None, [], {}, "")}
