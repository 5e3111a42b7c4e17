"""The bills of materials: valid by the rules of those who made the forms, complete, and the same for the same image."""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.images.attesting import attest, cyclonedx, inventory, spdx
from seatrial.images.layout import read_image
from seatrial.images.testing.vulnerabilities_reports import parse
from support.debian import Item, image
from support.image_content import editable, wheel

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.attesting.model import Inventory

SITE = "usr/local/lib/python3.11/site-packages"
STATUS = "Package: libz1\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.2+b1\nSource: zlib (1:1.2)\n\n"
RELEASE = Item("etc/os-release", 'ID=debian\nVERSION_ID="12"\n')


def items(files: int = 3) -> list[Item]:
    return [
        RELEASE,
        Item("var/lib/dpkg/status", STATUS),
        *wheel("demo-x", "1.0", {"demo.py": ""}, ("lib",), site=SITE),
        *wheel("lib", "2.0", {"lib.py": ""}, site=SITE, more={"LICENSE": "x"}),
        Item(f"{SITE}/own-1.dist-info/METADATA", "Name: own\nVersion: 1\nLicense-Expression: LicenseRef-Own OR MIT\n"),
        *editable("local", "/src", site=SITE),
        *(Item(f"srv/{number % 7}/file {number} ü.bin", f"{number}") for number in range(files)),
        Item(f"{SITE}/odd-1.dist-info/METADATA", "Name: odd\nVersion: 1\nLicense: Mine (c)\nHome-page: https://user@[x/<y>\n"),
    ]  # fmt: skip


def taken(layout: Path, files: int = 3, **config: Any) -> Inventory:
    image(layout, [items(files)], **config)
    return inventory.take(layout, read_image(layout))[0]


@pytest.mark.parametrize(("files", "full"), [(0, False), (600, False), (600, True)])
def test_cyclonedx_is_valid_by_its_own_library(tmp_path: Path, files: int, full: bool) -> None:
    reason = "cyclonedx-python-lib with json-validation is not installed"
    validation = pytest.importorskip("cyclonedx.validation.json", reason=reason)
    schema = pytest.importorskip("cyclonedx.schema", reason=reason)
    text = cyclonedx.document(taken(tmp_path / "image", files), full=full).decode()
    assert validation.JsonStrictValidator(schema.SchemaVersion.V1_6).validate_str(text) is None


@pytest.mark.parametrize(("files", "full"), [(0, False), (600, False), (600, True)])
def test_spdx_is_valid_by_its_own_tools(tmp_path: Path, files: int, full: bool) -> None:
    parsing = pytest.importorskip(
        "spdx_tools.spdx.parser.parse_anything", reason="spdx-tools is not installed"
    )
    validating = pytest.importorskip("spdx_tools.spdx.validation.document_validator")
    place = tmp_path / "sbom.spdx.json"
    place.write_bytes(spdx.document(taken(tmp_path / "image", files), full=full))
    assert validating.validate_full_spdx_document(parsing.parse_file(str(place))) == []


def test_both_forms_name_every_package_with_its_purl(tmp_path: Path) -> None:
    found = taken(tmp_path / "image")
    purls = {one.purl for one in found.packages}
    assert purls >= {
        "pkg:pypi/demo-x@1.0",
        "pkg:deb/debian/libz1@1:1.2%2Bb1?arch=amd64&distro=debian-12&upstream=zlib%401:1.2",
    }
    bom = json.loads(cyclonedx.document(found))
    assert {one["purl"] for one in bom["components"] if one["type"] == "library"} == purls
    document = json.loads(spdx.document(found))
    said = {ref["referenceLocator"] for one in document["packages"] for ref in one.get("externalRefs", ())}
    assert said == purls


def test_dependencies_are_in_both_forms(tmp_path: Path) -> None:
    found = taken(tmp_path / "image")
    bom = json.loads(cyclonedx.document(found))
    assert {"ref": "pkg:pypi/demo-x@1.0", "dependsOn": ["pkg:pypi/lib@2.0"]} in bom["dependencies"]
    document = json.loads(spdx.document(found))
    names = {one["SPDXID"]: one["name"] for one in document["packages"]}
    needed = [
        (names[one["spdxElementId"]], names[one["relatedSpdxElement"]])
        for one in document["relationships"]
        if one["relationshipType"] == "DEPENDS_ON"
    ]
    assert needed == [("demo-x", "lib")]


def test_many_loose_files_are_summed_up_by_folder_and_none_is_lost(tmp_path: Path) -> None:
    found = taken(tmp_path / "image", 600)
    short, full = json.loads(cyclonedx.document(found)), json.loads(cyclonedx.document(found, full=True))
    files = {one["name"]: one for one in full["components"] if one["type"] == "file"}
    assert len(files) == len(found.loose) == 602
    folders = {
        one["name"]: {p["name"]: p["value"] for p in one["properties"]}
        for one in short["components"]
        if one["type"] == "file"
    }
    assert sum(int(one["seatrial:files"]) for one in folders.values()) == 602
    # Whoever has the full form can recompute each sum.
    lines = "".join(
        f"{one['hashes'][1]['content']}  {name}\n"
        for name, one in sorted(files.items())
        if name.startswith("/srv/3/")
    )
    assert folders["/srv/3/"]["seatrial:files:sha256"] == hashlib.sha256(lines.encode()).hexdigest()


def test_the_same_image_gives_the_same_bytes_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = []
    for number, zone in enumerate(("UTC", "Asia/Kolkata")):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / f"cache {number}"))
        found = taken(tmp_path / f"folder {number}", 600, created="2026-01-02T03:04:05.123456789Z")
        documents.append((cyclonedx.document(found), spdx.document(found, full=True)))
    monkeypatch.undo()
    time.tzset()
    assert documents[0] == documents[1]
    assert json.loads(documents[0][0])["metadata"]["timestamp"] == "2026-01-02T03:04:05Z"


def test_source_date_epoch_is_the_time_of_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    found = taken(tmp_path / "image", created="2026-01-02T03:04:05Z")
    assert json.loads(cyclonedx.document(found))["metadata"]["timestamp"] == "1970-01-02T00:00:00Z"
    assert json.loads(spdx.document(found))["creationInfo"]["created"] == "1970-01-02T00:00:00Z"


def test_another_image_has_another_number(tmp_path: Path) -> None:
    first, second = (json.loads(cyclonedx.document(taken(tmp_path / str(n), n))) for n in (1, 2))
    assert first["serialNumber"] != second["serialNumber"]


def test_a_scanner_that_answers_in_the_same_form_is_known_to_be_about_this_image(tmp_path: Path) -> None:
    found = taken(tmp_path / "image")
    bom = json.loads(cyclonedx.document(found)) | {"vulnerabilities": []}
    assert found.digest in parse(json.dumps(bom).encode(), "it").images


def test_provenance_is_only_said_of_images_that_were_made_here(tmp_path: Path) -> None:
    image(tmp_path / "image", [items()])
    forms = [one.form for one in attest.documents(tmp_path / "image", read_image(tmp_path / "image"))]
    assert forms == ["cyclonedx", "spdx"]
