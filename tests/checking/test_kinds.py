"""Files are recognised by what they say; a name alone helps only where there is nothing better."""

from __future__ import annotations

import pytest

from seatrial.checking.kinds import KINDS, recognise

BUILDSPEC = "version: 0.2\nphases:\n  build:\n    commands: [make]\n"
CASES = [
    ("seatrial", "seatrial.yaml", "images: {}\n"),
    ("buildspec", "ci/any.yml", BUILDSPEC),
    ("buildspec", "ci/any.yaml", "version: '0.2'\nbatch:\n  build-list: []\n"),
    ("buildspec", "buildspec-test.yml", "version: 0.2\nphases: [broken\n"),
    ("buildspec", "x.json", '{"version": 0.2, "phases": {"build": {"commands": ["make"]}}}'),
    ("appspec", "x.yml", "version: 0.0\nos: linux\nfiles: []\n"),
    ("appspec", "x.yaml", "version: 1\nResources:\n  - TargetService:\n      Type: AWS::ECS::Service\n"),
    ("appspec", "x.json", '{"version": 0.0, "Resources": [{"F": {"Type": "AWS::Lambda::Function"}}]}'),
    ("codepipeline", "p.json", '{"pipeline": {"stages": [{"actions": [{"actionTypeId": {}}]}]}}'),
    ("cloudformation", "t.yml", "AWSTemplateFormatVersion: '2010-09-09'\nResources: {}\n"),
    ("cloudformation", "t.yml", "Resources:\n  B:\n    Type: AWS::S3::Bucket\n"),
    ("cloudformation", "t.json", '{"Resources": {"B": {"Type": "AWS::S3::Bucket"}}}'),
    ("terraform", "main.tf", 'resource "a" "b" {}\n'),
    ("dockerfile", "Dockerfile", "# syntax=x\nARG V=1\nFROM python:${V}\n"),
    ("dockerfile", "docker/gpu.Dockerfile", "FROM x\n"),
    ("dockerfile", "Dockerfile.cpu", "FROM x\n"),
    ("dockerfile", "images/serving-docker", "from x\nRUN y\n"),
    ("requirements", "requirements.txt", "flask\n"),
    ("requirements", "requirements-dev.in", "-r requirements.txt\npytest\n"),
    ("requirements", "requirements/base.txt", "flask\n"),
    ("requirements", "deps.txt", "flask==3.0.0\nnumpy>=1 # why\n"),
    ("requirements", "requirements.txt", "torch=2.0\nflask\nnumpy\n"),
    ("pyproject", "pyproject.toml", "[project]\n"),
    ("conda-environment", "environment.yml", "name: x\ndependencies:\n  - numpy\n"),
    ("conda-environment", "gpu.yml", "channels: [conda-forge]\ndependencies:\n  # c\n  - numpy\n"),
    ("training-manifest", "job.yaml", "apiVersion: kubeflow.org/v1\nkind: PyTorchJob\n"),
    ("training-manifest", "job.json", '{"apiVersion": "a", "kind": "Job"}'),
    ("kubernetes", "d.yaml", "apiVersion: v1\nkind: Service\n"),
    ("packer", "x.pkr.hcl", 'source "qemu" "x" {}\n'),
    ("packer", "x.json", '{"builders": [{"type": "qemu"}]}'),
    ("ansible-playbook", "site.yml", "---\n- name: all\n  hosts: all\n  tasks: []\n"),
    ("ansible-playbook", "site.yml", "- hosts: all\n"),
    ("image-tests", "tests/image.yaml", "schemaVersion: 2.0.0\nmetadataTest: {user: app}\n"),
    ("ansible-tasks", "roles/x/tasks/main.yml", "- name: a\n  apt: {}\n"),
    ("cloud-init", "user-data", "#cloud-config\nusers: []\n"),
    ("autoinstall", "http/user-data", "#cloud-config\nautoinstall:\n  version: 1\n"),
    ("github-workflow", ".github/workflows/ci.yml", "on: push\n"),
]


@pytest.mark.parametrize(
    ("kind", "path", "text"), CASES, ids=[f"{i}-{one[0]}" for i, one in enumerate(CASES)]
)
def test_a_file_is_recognised(kind: str, path: str, text: str) -> None:
    if (kind, path) == ("training-manifest", "job.json"):
        text = '{"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {}}'
        text = text.replace(", ", ",\n")
    found = recognise(path, text)

    assert found is not None
    assert found.kind == kind
    assert found.kind in KINDS


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("mkdocs.yml", "site_name: x\nnav: []\n"),
        ("docker-compose.yml", "services: {}\n"),
        ("package.json", '{"builders": [], "type": "module", "version": "1"}'),
        ("tsconfig.json", "{ // comment\n}"),
        ("vocab.txt", "alpha\nbeta\n"),
        (
            "requirements.txt",
            "# conda list --export\n_libgcc_mutex=0.1=main\nca-certificates=2023=h_0\nnumpy=1=py\n",
        ),
        ("notes.txt", "We need numpy==1.0 here.\n"),
        (".dockerignore", "node_modules\n"),
        ("Dockerfile.md", "FROM here\n"),
        ("Dockerfile.j2", "FROM {{ base }}\n"),
        ("templates/user-data.pkrtpl.hcl", "#cloud-config\nusers: [${x}]\n"),
        ("{{cookiecutter.name}}/buildspec.yml", BUILDSPEC),
        ("data.json", "[1]"),
    ],
)
def test_other_files_are_left_alone(path: str, text: str) -> None:
    assert recognise(path, text) is None


@pytest.mark.parametrize("name", ["x.yml", "x.json", "x.toml"])
def test_a_file_that_was_named_is_checked_for_its_syntax(name: str) -> None:
    found = recognise(name, "[]", asked=True)

    assert found is not None
    assert found.kind == found.syntax


def test_the_rest_of_a_large_text_is_not_searched_for_ever() -> None:
    text = "- name: x\n  x: |\n" + "    line: of text\n" * 20_000 + "a" * 100_000

    assert recognise("roles.yml", text) is None
