"""Compare an image's settings with what was declared of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial.config.patterns import compiled
from seatrial.images.testing.declared.model import MetadataTest, Named, Problem, Value, answer, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from seatrial.images.testing.model import Check


def check(settings: Mapping[str, Any], test: MetadataTest) -> Check:
    """One answer about all settings; each difference is a problem of its own."""
    return answer(test.id, "the image's settings are as expected", _problems(settings, test))


def _problems(settings: Mapping[str, Any], test: MetadataTest) -> Iterator[Problem]:
    env = dict(str(item).partition("=")[::2] for item in settings.get("Env") or [])
    labels = {str(name): str(value) for name, value in (settings.get("Labels") or {}).items()}
    ports = [str(port).partition("/")[0] for port in settings.get("ExposedPorts") or {}]
    yield from _values("variable", test.env, env)
    yield from _listed("the variable {}", test.no_env, list(env))
    yield from _values("label", test.labels, labels)
    for name, key in (("command", "Cmd"), ("entrypoint", "Entrypoint")):
        wanted = getattr(test, name)
        found = [str(word) for word in settings.get(key) or []]
        if wanted is not None and list(wanted) != found:
            yield f"expected {key} {list(wanted)}, got {found}", test.places.get(name, test.where)
    for name, key in (("workdir", "WorkingDir"), ("user", "User")):
        wanted, got = getattr(test, name), str(settings.get(key) or "")
        if wanted and wanted != got:
            yield f"expected {key} {wanted!r}, got {got!r}", test.places.get(name, test.where)
    yield from _listed("port {}", test.ports, ports)
    yield from _listed("the volume {}", test.volumes, [str(path) for path in settings.get("Volumes") or {}])


def _values(what: str, wanted: Sequence[Value], found: Mapping[str, str]) -> Iterator[Problem]:
    for one in wanted:
        got = found.get(one.name)
        if got is None:
            yield f"expected the {what} {one.name}, and there is none", one.where
        elif one.pattern and compiled(one.value).search(got) is None:
            yield f"expected the {what} {one.name} to match {one.value!r}, got {shown(got)}", one.where
        elif not one.pattern and got != one.value:
            yield f"expected the {what} {one.name} to be {one.value!r}, got {shown(got)}", one.where


def _listed(what: str, wanted: Sequence[Named], found: Sequence[str]) -> Iterator[Problem]:
    for one in wanted:
        if one.listed and one.name not in found:
            yield f"expected {what.format(one.name)}, got {', '.join(found) or 'none'}", one.where
        elif not one.listed and one.name in found:
            yield f"there must not be {what.format(one.name)}", one.where
