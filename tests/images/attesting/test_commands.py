"""`image attest`, `inspect` and `diff` as a person and a script use them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest

from seatrial.images import registry
from seatrial.images.attesting import builds, cosign, keys, provenance, referrers
from seatrial.images.layout import INDEX, blob_path, read_image
from support.debian import Item, image
from support.image_content import wheel
from support.registries import need, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


SITE = "usr/local/lib/python3.11/site-packages"
SECRET = "the passphrase of the key"
_ENV = {"SEATRIAL_KEY_PASSPHRASE": SECRET, "NO_COLOR": "1"}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two keys, `ours` and `theirs`."""
    need("openssl")
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        keys.make_key(folder / name, SECRET)
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an image in it."""
    folder = tmp_path / "project"
    folder.mkdir()
    image(
        folder / "image", [wheel("demo", "1.0", {"demo.py": "x"}, site=SITE)], {"Env": ["A=1"], "User": "web"}
    )
    return folder


@pytest.fixture
def seatrial(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Run a command in the folder, within this process: starting a Python each time takes longer than all else."""
    from seatrial.cli.failure import report_failure
    from seatrial.cli.root import root

    monkeypatch.chdir(place)

    def run(*arguments: str, **environ: str) -> Done:
        for name in ("SEATRIAL_KEY_PASSPHRASE", "NO_COLOR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        try:
            code = root.main(list(arguments), standalone_mode=False)
        except BaseException as error:  # noqa: BLE001 - as the program's own end does
            code = report_failure(error)
        out, err = capsys.readouterr()
        return Done(code if isinstance(code, int) else 0, out, err)

    return run


def told(done: Done) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def states(done: Done) -> list[tuple[str, str]]:
    return [(one["about"], one["state"]) for one in json.loads(done.stdout)["found"]]


def test_a_key_is_made_and_its_passphrase_is_nowhere_but_in_the_environment(
    seatrial: Callable[..., Done], place: Path
) -> None:
    need("openssl")
    done = told(seatrial("image", "attest", "--new-key", "k", "--key-type", "ed25519", "--json", **_ENV))
    assert (done["key"], done["public_key"], done["type"]) == ("k", "k.pub", "ed25519")
    assert keys.public_key(place / "k.pub").identity == done["id"]
    again = seatrial("image", "attest", "--new-key", "k", **_ENV)
    assert (again.returncode, "there is a file already" in again.stderr) == (2, True)
    (place / "secret").write_text(SECRET + "\nsecond line\n")
    assert keys.private_key(place / "k", SECRET).public.identity == done["id"]
    without = seatrial("image", "attest", "--new-key", "other")
    assert without.returncode == 2
    assert "SEATRIAL_KEY_PASSPHRASE" in without.stderr


def test_a_folder_is_attested_verified_and_inspected(
    seatrial: Callable[..., Done], place: Path, made: Path
) -> None:
    (place / "secret").write_text(SECRET + "\n")
    line = ["image", "attest", "image", "--key", str(made / "ours"), "--passphrase-file", "secret", "--json"]
    first = told(seatrial(*line))
    assert [one["title"] for one in first["attached"]] == [
        "sbom.cdx.json", "cyclonedx.intoto.json", "sbom.spdx.json", "spdx.intoto.json",
    ]  # fmt: skip
    assert "this machine did not make the image" in first["skipped"]["provenance"]
    assert told(seatrial(*line)) == first  # ECDSA signs differently each time: nothing was signed again
    good = seatrial("image", "attest", "image", "--verify", "--key", str(made / "ours.pub"), "--json")
    assert good.returncode == 0
    assert states(good).count(("https://cyclonedx.org/bom", "valid")) == 1
    other = seatrial("image", "attest", "image", "--verify", "--key", str(made / "theirs.pub"), "--json")
    assert other.returncode == 1
    assert {state for _, state in states(other)} == {"unsigned", "other key"}
    shown = told(seatrial("image", "inspect", "image", "--json"))
    assert [(one["name"], one["version"], one["layer"]) for one in shown["packages"]] == [("demo", "1.0", 0)]
    assert (shown["user"], shown["environment"]) == ("web", {"A": "1"})
    signers = [one["keys"] for one in shown["attestations"] if one["about"] == "https://spdx.dev/Document"]
    assert signers == [[keys.public_key(made / "ours.pub").identity]]


def test_an_attested_image_in_a_registry_has_what_cosign_looks_for(
    seatrial: Callable[..., Done], host: str, place: Path, made: Path
) -> None:
    reference = f"{host}/team/signed:1"
    registry.push(place / "image", reference)
    digest = read_image(place / "image").digest
    for _ in range(2):  # the second time changes nothing
        done = told(
            seatrial(
                "image",
                "attest",
                reference,
                "--key",
                str(made / "ours"),
                "--only",
                "spdx",
                "--json",
                **_ENV,
            )
        )
        assert done["signed"] == [digest]
    tag = f"http://{host}/v2/team/signed/manifests/{referrers.tag_of(digest, '.sig')}"
    manifest = httpx.get(tag, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"}).json()
    [layer] = manifest["layers"]
    assert layer["mediaType"] == cosign.PAYLOAD
    payload = httpx.get(f"http://{host}/v2/team/signed/blobs/{layer['digest']}").content
    critical = json.loads(payload)["critical"]
    assert critical == {
        "identity": {"docker-reference": f"{host}/team/signed"}, "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }  # fmt: skip
    signature = base64.b64decode(layer["annotations"]["dev.cosignproject.cosign/signature"])
    assert keys.verify(keys.public_key(made / "ours.pub"), payload, signature)
    serialization = pytest.importorskip(
        "cryptography.hazmat.primitives.serialization", reason="cryptography is not installed"
    )
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    public = serialization.load_pem_public_key((made / "ours.pub").read_bytes())
    public.verify(signature, payload, ec.ECDSA(hashes.SHA256()))
    good = seatrial("image", "attest", reference, "--verify", "--key", str(made / "ours.pub"), "--json")
    assert (good.returncode, ("signature", "valid") in states(good)) == (0, True)
    unsigned = seatrial(
        "image",
        "attest",
        f"{host}/team/signed@{digest}",
        "--verify",
        "--key",
        str(made / "theirs.pub"),
    )
    assert unsigned.returncode == 1
    assert "valid" not in unsigned.stdout.split()


def test_a_statement_about_another_image_does_not_count(
    seatrial: Callable[..., Done], host: str, place: Path, made: Path
) -> None:
    """Whoever may write to the repository can attach a good statement to the wrong image."""
    image(place / "other", [[Item("x", "y")]])
    for name in ("image", "other"):
        registry.push(place / name, f"{host}/team/moved:{name}")
    told(
        seatrial(
            "image",
            "attest",
            f"{host}/team/moved:image",
            "--key",
            str(made / "ours"),
            "--only",
            "spdx",
            "--json",
            **_ENV,
        )
    )
    url = f"http://{host}/v2/team/moved/manifests/"
    right, wrong = (read_image(place / name).digest for name in ("image", "other"))
    found = httpx.get(url + referrers.tag_of(right), headers={"Accept": INDEX})
    httpx.put(
        url + referrers.tag_of(wrong), content=found.content, headers={"Content-Type": INDEX}
    ).raise_for_status()
    done = seatrial(
        "image",
        "attest",
        f"{host}/team/moved:other",
        "--verify",
        "--key",
        str(made / "ours.pub"),
        "--json",
    )
    assert done.returncode == 1
    assert [
        (one["state"], one["why"]) for one in json.loads(done.stdout)["found"] if one["state"] != "unsigned"
    ] == [("invalid", "it is about another image")]


def test_a_statement_that_was_changed_is_invalid(
    seatrial: Callable[..., Done], place: Path, made: Path
) -> None:
    done = told(
        seatrial("image", "attest", "image", "--key", str(made / "ours"), "--only", "spdx", "--json", **_ENV)
    )
    manifest = json.loads(blob_path(place / "image", done["attached"][1]["digest"]).read_bytes())
    blob = blob_path(place / "image", manifest["layers"][0]["digest"])
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes().replace(b'"sig":"', b'"sig":"AA'))
    damaged = seatrial("image", "attest", "image", "--verify", "--key", str(made / "ours.pub"))
    assert damaged.returncode == 1
    assert "damaged" in damaged.stderr


def test_documents_are_written_to_a_folder_instead(seatrial: Callable[..., Done], place: Path) -> None:
    done = seatrial("image", "attest", "image", "--only", "cyclonedx", "--output", "out")
    assert done.returncode == 0
    assert json.loads((place / "out" / "sbom.cdx.json").read_text())["bomFormat"] == "CycloneDX"
    assert not (place / "image" / "referrers.json").exists()


WRONG = {
    "no image": ((), 2, "which image is not said"),
    "no such folder": (("./nothing",), 2, "neither a folder nor in a registry"),
    "provenance of an image from elsewhere": (("image", "--only", "provenance"), 1, "there is no provenance"),
    "verifying without a key": (("image", "--verify"), 2, "add --key"),
    "a key that is not there": (("image", "--key", "absent"), 2, "cannot read the key"),
    "a locked key without a passphrase": (("image", "--key", "{ours}"), 2, "SEATRIAL_KEY_PASSPHRASE"),
    "a public key to sign with": (("image", "--key", "{ours}.pub"), 2, "no private key"),
    "a private key to verify with": (("image", "--verify", "--key", "{ours}"), 2, "ends in .pub"),
    "an image in an engine": (("docker:app",), 2, "add --output"),
    "a new key and an image": (("image", "--new-key", "k"), 2, "only makes a key"),
}


@pytest.mark.parametrize(("arguments", "code", "words"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_told_with_its_fix(
    seatrial: Callable[..., Done], place: Path, made: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = seatrial("image", "attest", *(one.replace("{ours}", str(made / "ours")) for one in arguments))
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_images_that_a_builder_made_say_so(
    seatrial: Callable[..., Done], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEATRIAL_CACHE", str(place.parent / "cache"))
    opened = read_image(place / "image")
    base = "sha256:" + "b" * 64
    builds.remember(
        opened.digest,
        builds.Build(
            builder="buildah",
            version="1.28",
            dockerfile="Dockerfile",
            sha256="d" * 64,
            bases={"debian:12": base},
            arguments=("TOKEN",),
        ),
    )
    done = seatrial("image", "attest", "image", "--only", "provenance", "--output", "out")
    assert done.returncode == 0, done.stderr
    statement = json.loads((place / "out" / "provenance.json").read_text())
    assert statement["predicateType"] == provenance.PREDICATE
    assert statement["subject"][0]["digest"] == {"sha256": opened.digest[7:]}
    definition = statement["predicate"]["buildDefinition"]
    assert [one["digest"]["sha256"] for one in definition["resolvedDependencies"]] == ["d" * 64, "b" * 64]
    assert definition["externalParameters"]["arguments"] == ["TOKEN"]
    assert statement["predicate"]["runDetails"]["builder"]["version"]["buildah"] == "1.28"
    assert "Build L1" in definition["internalParameters"]["level"]


def test_two_images_are_compared(seatrial: Callable[..., Done], place: Path) -> None:
    items = [
        *wheel("demo", "2.0", {"demo.py": "xx"}, site=SITE), *wheel("new", "1.0", {"new.py": ""}, site=SITE), Item("srv/model", "12345"),
    ]  # fmt: skip
    image(place / "after", [items], {"Env": ["A=2", "B=1"], "User": "web"})
    done = told(seatrial("image", "diff", "image", "after", "--json"))
    assert [(one["how"], one["name"], one["before"], one["after"]) for one in done["packages"]] == [
        ("changed", "demo", ["1.0"], ["2.0"]), ("added", "new", [], ["1.0"]),
    ]  # fmt: skip
    assert [(one["name"], one["before"], one["after"]) for one in done["settings"]] == [
        ("Env A", "1", "2"),
        ("Env B", None, "1"),
    ]
    files = {one["path"]: one for one in done["files"]}
    assert (files[f"/{SITE}/demo.py"]["how"], files[f"/{SITE}/demo.py"]["owner"]) == (
        "changed",
        "pkg:pypi/demo@2.0",
    )
    assert (files["/srv/model"]["how"], files["/srv/model"]["size_after"]) == ("added", 5)
    assert files[f"/{SITE}/demo-1.0.dist-info/METADATA"]["how"] == "removed"
    assert (done["layers"]["shared"], done["same"]) == (0, False)
    text = seatrial("image", "diff", "image", "after", "--exit-code")
    assert text.returncode == 1
    assert "~ pypi   demo 1.0 -> 2.0" in text.stdout
    same = seatrial("image", "diff", "image", "image", "--exit-code")
    assert (same.returncode, "same packages" in same.stdout) == (0, True)


def test_vulnerabilities_are_compared_by_reports_of_a_scanner(
    seatrial: Callable[..., Done], place: Path
) -> None:
    def report(name: str, *found: str) -> str:
        entries = [
            {"VulnerabilityID": one, "PkgName": "demo", "InstalledVersion": "1", "Severity": "HIGH"}
            for one in found
        ]
        (place / name).write_text(
            json.dumps(
                {
                    "SchemaVersion": 2,
                    "ArtifactName": "x",
                    "Results": [{"Type": "python-pkg", "Vulnerabilities": entries}],
                }
            )
        )
        return name

    old, new = (
        report("old.json", "CVE-2024-0001", "CVE-2024-0002"),
        report("new.json", "CVE-2024-0002", "CVE-2024-0003"),
    )
    line = ["image", "diff", "image", "image", "--scan-before", old, "--scan-after", new]
    found = told(seatrial(*line, "--json"))["vulnerabilities"]
    assert ([one["id"] for one in found["new"]], [one["id"] for one in found["gone"]], found["both"]) == (
        ["CVE-2024-0003"],
        ["CVE-2024-0001"],
        1,
    )
    half = seatrial("image", "diff", "image", "image", "--scan-before", old)
    assert half.returncode == 2
