"""The plan of `seatrial ship`: a pure function from a project to stages and steps."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial import __version__
from seatrial.engine.plan import Call, Criterion, Key, Plan, Ref, Retry, Service, Stage, Step, Teardown
from seatrial.images.assemble.spec import from_config

if TYPE_CHECKING:
    from seatrial.shipping.project import Project

# What a network or a registry does on a bad day, and not on the next try.
_HICCUP = r"(?i)connection (reset|refused|aborted)|timed? ?out|temporar|\b(429|50[0234])\b|unexpected end"


def plan(project: Project, fingerprint: str) -> Plan:
    """What shipping `project` takes; `fingerprint` says which state of its files is meant."""
    stages = [_check(project), _build(project), _test(project), *_push(project)]
    if project.service is not None:
        stages += [_deploy(project), _verify(project)]
    stages.append(
        Stage(
            name="TEARDOWN",
            always=True,
            steps=(
                Step(
                    name="teardown", action=Teardown(), title="remove everything in the ledger", timeout=300
                ),
            ),
        )
    )
    wanted = msgspec.json.encode([__version__, fingerprint, project], enc_hook=str, order="deterministic")
    return Plan(
        kind="ship",
        name=project.name,
        subject=str(project.directory),
        key=hashlib.sha256(wanted).hexdigest(),
        stages=tuple(stages),
        abandon_after=1800,
    )


def _call(name: str, title: str, function: str, inputs: dict[str, Any], **fields: Any) -> Step:
    return Step(
        name=name, title=title, action=Call(target=f"seatrial.shipping.{function}", inputs=inputs), **fields
    )


def _data(value: Any) -> Any:
    return msgspec.to_builtins(value)


def _check(project: Project) -> Stage:
    wanted = project.wanted
    copied = _call(
        "copy",
        "copy the project, so that nothing of it is changed",
        "checks:copy",
        {"directory": str(project.directory)},
    )
    what = "find what is wrong" + (" and apply safe fixes" if wanted.fix else "")
    found = _call(
        "check",
        what,
        "checks:check",
        {
            "source": Ref("copy", "path"),
            "directory": str(project.directory),
            "fix": wanted.fix,
            "write": wanted.write,
        },
    )
    hint = "; see the findings above" if wanted.fix else "; `--fix` applies the safe fixes shown above"
    return Stage(
        name="CHECK",
        steps=(copied, found),
        gate=(Criterion(Ref("check", "errors"), "==", 0, f"the project has errors{hint}"),),
    )


def _build(project: Project) -> Stage:
    image, timeouts = project.image, project.timeouts
    again = Retry(match=_HICCUP, times=2, delay=1, reason="the network hiccuped")
    common = {"source": Ref("check", "path"), "image": _data(image)}
    fresh = common | {"refresh": project.wanted.refresh}
    return Stage(
        name="BUILD",
        steps=(
            _call(
                "base",
                f"prepare the base {from_config(project.directory, image).base}",
                "building:base",
                fresh,
                timeout=timeouts.assemble,
                retries=(again,),
            ),
            _call(
                "resolve",
                "resolve the requirements for the base",
                "building:resolve",
                fresh,
                timeout=timeouts.resolve,
                retries=(again,),
            ),
            _call(
                "assemble",
                "assemble the image from base, wheels and source",
                "building:assemble",
                common,
                timeout=timeouts.assemble,
                retries=(again,),
            ),
        ),
        gate=(Criterion(Ref("resolve", "errors"), "==", 0, "the resolved packages do not work together"),),
    )


def _test(project: Project) -> Stage:
    inputs = {
        "source": Ref("check", "path"),
        "layout": Ref("assemble", "layout"),
        "digest": Ref("assemble", "here"),
        "lock": Ref("resolve", "versions"),
        "image": _data(project.image),
        "service": _data(project.service),
        "answers": Ref("copy", "answers"),
    }
    key = Key(
        inputs=("digest", "lock", "image", "service", "answers"), code=f"{__version__}.3", unless="failed"
    )
    timeout = project.timeouts.test
    return Stage(
        name="TEST",
        steps=(
            _call(
                "test",
                f"test the image at level {project.image.test.level}",
                "testing:test",
                inputs,
                key=key,
                timeout=timeout,
                limits=("image-test",),
            ),
            _call(
                "secrets",
                "look for secrets and known vulnerabilities",
                "testing:secrets",
                inputs,
                needs=(),
                timeout=timeout,
            ),
        ),
        gate=(
            Criterion(Ref("test", "failed"), "==", 0, "the image failed its tests"),
            Criterion(Ref("secrets", "failed"), "==", 0, "there are secrets or vulnerabilities in the image"),
        ),
    )


def _push(project: Project) -> list[Stage]:
    push = project.image.push
    targets: Any = list(push.to)
    stages = []
    if not targets:
        stages.append(_registry(project.name))
        targets = Ref("registry-ready", "repositories")
    inputs = {
        "layout": Ref("assemble", "layout"),
        "digest": Ref("assemble", "digest"),
        "targets": targets,
        "settings": {key: value for key, value in msgspec.to_builtins(push).items() if key != "to"},
        "folder": str(project.directory),
    }
    again = Retry(match=_HICCUP, times=2, delay=1, reason="the registry or the way to it hiccuped")
    pushed = _call(
        "push",
        "push the image and read its digest back",
        "pushing:push",
        inputs,
        timeout=project.timeouts.push,
        retries=(again,),
    )
    return [*stages, Stage(name="PUSH", steps=(pushed,))]


def _registry(name: str) -> Stage:
    setup = _call(
        "registry-setup",
        "choose a port and a folder for a registry of this run",
        "pushing:registry_setup",
        {},
    )
    serve = Step(
        name="registry",
        title="start the registry on 127.0.0.1",
        action=Service(
            argv=Ref("registry-setup", "argv"),
            env=Ref("registry-setup", "env"),
            secrets={"REGISTRY_HTTP_SECRET": Ref("registry-setup", "secret")},
        ),
        grace=5,
    )
    ready = _call(
        "registry-ready",
        "wait until it answers",
        "pushing:registry_ready",
        {
            "url": Ref("registry-setup", "url"),
            "host": Ref("registry-setup", "host"),
            "folder": Ref("registry", "folder"),
            "name": name,
        },
        timeout=60,
    )
    return Stage(name="REGISTRY", steps=(setup, serve, ready))


def _deploy(project: Project) -> Stage:
    service = project.service
    assert service is not None  # noqa: S101 - the caller asked
    pulled = _call(
        "pull",
        "pull what was pushed, by digest, and unpack it",
        "serving:pull",
        {
            "reference": Ref("push", "reference"),
            "insecure": project.image.push.insecure,
            "platforms": list(from_config(project.directory, project.image).platforms),
        },
        timeout=project.timeouts.push,
    )
    placed = _call(
        "place",
        "choose ports and configure the load balancer",
        "serving:place",
        {"layout": Ref("pull", "layout"), "service": _data(service)},
    )
    replicas = [
        Step(
            name=f"replica-{number}",
            title="start the service from the pulled image",
            action=Service(
                argv=Ref("place", f"argv-{number}"), env=Ref("place", "env"), lifetime=service.lifetime
            ),
            grace=service.stop_timeout,
        )
        for number in range(1, service.replicas + 1)
    ]
    proxy = Step(
        name="proxy",
        title="start the load balancer",
        action=Service(argv=Ref("place", "proxy"), lifetime=service.lifetime),
        grace=5,
    )
    ready = _call(
        "ready",
        "wait for each replica, then let traffic in",
        "serving:ready",
        {
            "service": _data(service),
            "place": Ref("place", "ports"),
            "folders": [Ref(replica.name, "folder") for replica in replicas],
            "proxy_folder": Ref("proxy", "folder"),
        },
        timeout=service.start_timeout + 60,
    )
    return Stage(name="DEPLOY", steps=(pulled, placed, *replicas, proxy, ready))


def _verify(project: Project) -> Stage:
    service = project.service
    assert service is not None  # noqa: S101 - the caller asked
    inputs = {"source": Ref("check", "path"), "service": _data(service), "place": Ref("place", "ports")}
    asked = _call(
        "verify",
        "ask through the load balancer and compare the answers",
        "serving:verify",
        inputs,
        timeout=project.timeouts.verify,
    )
    return Stage(name="VERIFY", steps=(asked,))
