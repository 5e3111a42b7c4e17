"""Artifacts, reports and caches that will not hold what was meant."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from seatrial.builds.nodes import child, children, is_empty, word, words
from seatrial.builds.refusals import SPEC
from seatrial.findings import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.builds.rules.look import Look
    from seatrial.findings import Finding
    from seatrial.sources.tree import Node

_FORMATS = "https://docs.aws.amazon.com/codebuild/latest/userguide/test-reporting.html"
_CACHE = f"{SPEC}#build-spec.cache"

RULES: tuple[Rule, ...] = (
    Rule(
        id="buildspec/no-files",
        severity="warning",
        title="Artifacts or a report without files",
        explanation="Without `files` nothing is taken; an artifact then fails to upload where the project wants one.",
        source=f"{SPEC}#build-spec.artifacts.files",
        example="version: 0.2\nphases:\n  build:\n    commands: [make]\nartifacts:\n  base-directory: out\n",
    ),
    Rule(
        id="buildspec/base-directory",
        severity="warning",
        title="files repeats base-directory",
        explanation="The paths in `files` are relative to `base-directory`: `dist/**/*` in `dist` is `dist/dist/**/*`.",
        source=f"{SPEC}#build-spec.artifacts.base-directory",
        example="version: 0.2\nphases:\n  build:\n    commands: [make]\nartifacts:\n  base-directory: dist\n  files:\n    - dist/**/*\n",
    ),
    Rule(
        id="buildspec/artifact-identifier",
        severity="warning",
        title="Not an identifier of an artifact",
        explanation="The names under `secondary-artifacts` are letters, digits and underscores, and there are at most 12.",
        source=f"{SPEC}#build-spec.artifacts.secondary-artifacts",
        example="version: 0.2\nphases:\n  build:\n    commands: [make]\nartifacts:\n  secondary-artifacts:\n    my-app:\n      files: [app]\n",
    ),
    Rule(
        id="buildspec/report-format",
        severity="warning",
        title="An unknown report format",
        explanation=(
            "Known are JUNITXML, NUNITXML, NUNIT3XML, CUCUMBERJSON, TESTNGXML and VISUALSTUDIOTRX for tests, CLOVERXML, "
            "COBERTURAXML, JACOCOXML and SIMPLECOV for coverage, in small letters too."
        ),
        source=_FORMATS,
        example="version: 0.2\nphases:\n  build:\n    commands: [make]\nreports:\n  tests:\n    files: [out.xml]\n    file-format: JUNIT\n",
    ),
    Rule(
        id="buildspec/report-groups",
        severity="warning",
        title="More than five report groups",
        explanation="A project reports to at most five report groups in one build.",
        source=f"{SPEC}#build-spec.reports",
    ),
    Rule(
        id="buildspec/fallback-keys",
        severity="warning",
        title="fallback-keys without effect",
        explanation="`fallback-keys` count only beside a `key`, and at most five of them.",
        source=_CACHE,
        example="version: 0.2\nphases:\n  build:\n    commands: [make]\ncache:\n  fallback-keys: [npm-]\n  paths: ['node_modules/**/*']\n",
    ),
    Rule(
        id="buildspec/cache-action",
        severity="warning",
        title="An unknown cache action",
        explanation="`action` is `restore` or `save`; without it the cache does both.",
        source=_CACHE,
        example="version: 0.2\nphases:\n  build:\n    commands: [make]\ncache:\n  action: load\n  paths: ['node_modules/**/*']\n",
    ),
    Rule(
        id="buildspec/cache-paths",
        severity="warning",
        title="A cache without paths",
        explanation="Without `paths` nothing is cached: `Unable to initialize cache download: no paths specified to be cached`.",
        source=_CACHE,
        example="version: 0.2\nphases:\n  build:\n    commands: [make]\ncache:\n  key: npm\n",
    ),
    Rule(
        id="buildspec/cache-file",
        severity="note",
        title="A cached path looks like a single file",
        explanation="A local custom cache holds folders only. A cache in S3 takes files too.",
        source="https://docs.aws.amazon.com/codebuild/latest/userguide/caching-local.html",
        example="version: 0.2\nphases:\n  build:\n    commands: [make]\ncache:\n  paths: [package-lock.json]\n",
    ),
)  # fmt: skip

FORMATS = (
    "JUNITXML", "NUNITXML", "NUNIT3XML", "CUCUMBERJSON", "TESTNGXML", "VISUALSTUDIOTRX", "CLOVERXML", "COBERTURAXML",
    "JACOCOXML", "SIMPLECOV",
)  # fmt: skip
_ALSO = {"JUNIT": "JUNITXML", "TRX": "VISUALSTUDIOTRX", "JACOCO": "JACOCOXML", "COBERTURA": "COBERTURAXML", "CLOVER": "CLOVERXML",
         "TESTNG": "TESTNGXML", "CUCUMBER": "CUCUMBERJSON", "NUNIT": "NUNITXML", "NUNIT3": "NUNIT3XML", "SIMPLECOVJSON": "SIMPLECOV"}  # fmt: skip
_IDENTIFIER = re.compile(r"[A-Za-z0-9_]{1,127}")
_MOST_ARTIFACTS, _MOST_GROUPS, _MOST_KEYS = 12, 5, 5
_FILE = re.compile(r"[^*?$]*/?[\w.-]+\.(?:json|lock|xml|ya?ml|txt|toml|zip|jar|tgz|tar|gz|whl|sum|mod)")


def check(look: Look) -> Iterator[Finding]:
    """What is wrong with what a build gives and keeps."""
    yield from _artifacts(look)
    yield from _reports(look)
    yield from _cache(look)


def _artifacts(look: Look) -> Iterator[Finding]:
    found = children(look.root).get("artifacts")
    if found is None:
        return
    key, node = found
    secondary = children(child(node, "secondary-artifacts"))
    if is_empty(child(node, "files")) and not secondary:
        yield look.at("no-files", "warning", key, "the artifacts have no files", source=RULES[0].source,
                      cause="`files` says what is taken; `'**/*'` takes all")  # fmt: skip
    yield from _based(look, node)
    for name, (own, value) in secondary.items():
        if not _IDENTIFIER.fullmatch(name):
            yield look.at("artifact-identifier", "warning", own, f"{name!r} is not an identifier of letters, digits and underscores",
                          source=RULES[2].source)  # fmt: skip
        if is_empty(child(value, "files")):
            yield look.at(
                "no-files", "warning", own, f"the artifact {name} has no files", source=RULES[0].source
            )
        yield from _based(look, value)
    if len(secondary) > _MOST_ARTIFACTS:
        yield look.at("artifact-identifier", "warning", key, f"there are {len(secondary)} secondary artifacts; {_MOST_ARTIFACTS} are the most",
                      source=RULES[2].source)  # fmt: skip


def _based(look: Look, node: Node) -> Iterator[Finding]:
    base = word(child(node, "base-directory")).strip("/").removeprefix("./")
    listed = child(node, "files")
    if not base or base == "." or listed is None or any(one in base for one in "*$"):
        return
    for item in listed.items if listed.kind == "sequence" else [listed]:
        said = word(item).removeprefix("./")
        if said.startswith(f"{base}/"):
            yield look.at("base-directory", "warning", item, f"this is {base}/{said}: files are relative to base-directory",
                          source=RULES[1].source,
                          fix=look.replace(item, f"'{said.removeprefix(f'{base}/')}'", f"leave {base}/ away", safe=False))  # fmt: skip


def _reports(look: Look) -> Iterator[Finding]:
    groups = children(child(look.root, "reports"))
    for name, (key, node) in groups.items():
        if is_empty(child(node, "files")):
            yield look.at(
                "no-files",
                "warning",
                key,
                f"the report group {name} has no files",
                source=f"{SPEC}#build-spec.reports",
            )
        said = child(node, "file-format")
        if said is None or word(said).upper() in FORMATS or not word(said) or "$" in word(said):
            continue
        plain = re.sub(r"[^A-Z0-9]", "", word(said).upper())
        near = _ALSO.get(plain) or next(iter(difflib.get_close_matches(plain, FORMATS, n=1, cutoff=0.8)), "")
        fix = look.replace(said, near, f"write {near}", safe=True) if near else None
        yield look.at("report-format", "warning", said, f"{word(said)!r} is no report format that CodeBuild knows",
                      cause=f"known are {', '.join(FORMATS)}", source=_FORMATS, fix=fix)  # fmt: skip
    if len(groups) > _MOST_GROUPS:
        key = list(groups.values())[_MOST_GROUPS][0]
        yield look.at("report-groups", "warning", key, f"there are {len(groups)} report groups; {_MOST_GROUPS} are the most",
                      source=RULES[4].source)  # fmt: skip


def _cache(look: Look) -> Iterator[Finding]:
    found = children(look.root).get("cache")
    if found is None:
        return
    key, node = found
    own = children(node)
    if "fallback-keys" in own and is_empty(child(node, "key")):
        yield look.at(
            "fallback-keys",
            "warning",
            own["fallback-keys"][0],
            "CodeBuild ignores fallback-keys without a key",
            source=_CACHE,
        )
    if len(words(child(node, "fallback-keys"))) > _MOST_KEYS:
        yield look.at(
            "fallback-keys",
            "warning",
            own["fallback-keys"][0],
            f"there are more than {_MOST_KEYS} fallback-keys",
            source=_CACHE,
        )
    action = child(node, "action")
    if action is not None and word(action) not in ("restore", "save"):
        yield look.at(
            "cache-action",
            "warning",
            action,
            f"the cache action is {word(action)!r}, not restore or save",
            source=_CACHE,
        )
    if is_empty(child(node, "paths")):
        yield look.at(
            "cache-paths", "warning", key, "the cache has no paths, so nothing is cached", source=_CACHE
        )
    listed = child(node, "paths")
    for item in listed.items if listed is not None else []:
        if _FILE.fullmatch(word(item)):
            yield look.at("cache-file", "note", item, f"{word(item)} looks like a file; a local cache holds folders only",
                          source=RULES[8].source)  # fmt: skip
