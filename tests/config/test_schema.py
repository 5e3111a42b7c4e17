"""The published schema: current, complete, and of one mind with the reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from seatrial.config import check_text, schema

ROOT = Path(__file__).parents[2]
VALIDATOR = Draft202012Validator(schema())

GOOD = [
    "{}",
    "images: {api: {base: debian:bookworm}}",
    "images: {api: {base: {debian: noble, packages: [git, libgomp1]}, env: {A: 1, B: true, C: 1.5, D: x}}}",
    "images: {api: {base: {oci: base}, ports: [8080, 9090], user: 1000, push: {to: [r/x], tags: [1.10, v2]}}}",
    "services: {api: {verify: [{request: a.json, expect: b.json, tolerance: 0.1}, {path: /ping}], lifetime: 60}}",
    "services: {api: {deploy: {analysis: null, strategy: 'linear:10%:1m', alarms: {slow: {metric: p99, above: 2}}}}}",
    "services: {api: {command: [python3, serve.py], deploy: {hooks: {AfterInstall: [{script: [./check]}]}}}}",
    "check: {disable: [a/b], exclude: ['*.md'], baseline: known.json}",
    "ship: {image: api, timeouts: {push: 5}}",
]
BAD = [
    "[]",
    "pipeline: {}",
    "images: {api: {base: {debian: noble, oci: base}}}",
    "images: {api: {platform: [linux/amd64, windows/amd64]}}",
    "images: {api: {platform: []}}",
    "images: {api: {ports: [0]}}",
    "images: {api: {workdir: app}}",
    "images: {API: {}}",
    "images: {api: {requirements: r.txt}}",
    "images: {api: {requirements: ['']}}",
    "services: {api: {port: '8080'}}",
    "services: {api: {stop_timeout: 0}}",
    "services: {api: {deploy: {shadow: {share: 101}}}}",
    "services: {api: {deploy: {hooks: {AfterAll: []}}}}",
    "images: {api: {test: {level: some}}}",
    "check: {disable: 5}",
]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("text", GOOD)
def test_schema_and_reader_accept_the_same(text: str) -> None:
    assert [one.message for one in VALIDATOR.iter_errors(yaml.safe_load(text))] == []
    assert check_text("seatrial.yaml", text) == []


@pytest.mark.parametrize("text", BAD)
def test_schema_and_reader_refuse_the_same(text: str) -> None:
    assert list(VALIDATOR.iter_errors(yaml.safe_load(text)))
    assert check_text("seatrial.yaml", text)


def test_the_committed_schema_is_current() -> None:
    committed = json.loads((ROOT / "docs/reference/seatrial.schema.json").read_text())

    assert committed == schema(), "run `seatrial schema > docs/reference/seatrial.schema.json`"


def test_everything_is_described_and_nothing_else_is_allowed() -> None:
    for shape in [schema(), *schema()["$defs"].values()]:
        assert shape["additionalProperties"] is False
        assert shape["description"]
        for name, setting in shape["properties"].items():
            assert setting.get("description"), name


def test_the_reference_page_names_every_setting() -> None:
    page = (ROOT / "docs/reference/configuration.md").read_text()

    missing = [key for key in _keys(schema(), schema()["$defs"], ()) if f"`{key}`" not in page]

    assert missing == []


def _keys(shape: dict[str, Any], definitions: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    keys = []
    for name, setting in shape["properties"].items():
        inner = setting.get("additionalProperties") or setting.get("items") or setting
        either = (
            [inner, *inner.get("anyOf", ())]
            if isinstance(inner, dict) and {"type": "null"} in inner.get("anyOf", ())
            else [inner]
        )
        reference = next((one["$ref"] for one in either if isinstance(one, dict) and "$ref" in one), "")
        if reference and name not in ("inference", "verify"):
            middle = (name, "NAME") if setting.get("type") == "object" else (name,)
            keys += _keys(definitions[reference.rpartition("/")[2]], definitions, (*path, *middle))
        else:
            keys.append(".".join((*path, name)))
    return keys
