"""The kinds of files that Seatrial knows, and how to tell them apart by what they say."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

# kind: what it is, for people.
KINDS: dict[str, str] = {
    "seatrial": "Seatrial's settings",
    "image-tests": "checks of an image for container-structure-test",
    "buildspec": "CodeBuild build specification",
    "appspec": "CodeDeploy application specification",
    "codepipeline": "CodePipeline pipeline structure",
    "cloudformation": "CloudFormation or SAM template",
    "terraform": "Terraform configuration",
    "dockerfile": "Dockerfile",
    "requirements": "pip requirement or constraint file",
    "pyproject": "Python project metadata",
    "conda-environment": "conda environment",
    "training-manifest": "Kubernetes manifest of a training job",
    "kubernetes": "Kubernetes manifest",
    "packer": "Packer template or variables",
    "ansible-playbook": "Ansible playbook",
    "ansible-tasks": "Ansible tasks, handlers or variables of a role",
    "cloud-init": "cloud-init user data",
    "autoinstall": "Ubuntu autoinstall user data",
    "github-workflow": "GitHub Actions workflow",
    # Only for files that were named on the command line: nothing is known about what they are for.
    "yaml": "YAML",
    "json": "JSON",
    "toml": "TOML",
}


class Recognised(NamedTuple):
    """`syntax` is how the file is written: yaml, json, toml, requirements, dockerfile, or empty where no reader applies."""

    kind: str
    syntax: str


class Clues(msgspec.Struct, frozen=True, dict=True):
    """What the recognisers look at; `name` is in lower case."""

    path: PurePosixPath
    name: str
    text: str

    @cached_property
    def keys(self) -> frozenset[str]:
        """The top-level keys of a YAML text, also of one that does not parse."""
        return frozenset(a or b or c for a, b, c in _TOP_KEY.findall(self.text))


_YAML_NAMES = (".yml", ".yaml", ".template")
_TEMPLATES = (
    ".pkrtpl.hcl",
    ".pkrtpl",
    ".tftpl",
    ".tpl",
    ".tmpl",
    ".j2",
    ".jinja",
    ".jinja2",
    ".erb",
    ".gotmpl",
)
_TOP_KEY = re.compile(r"""^(?:"([^"\n]+)"|'([^'\n]+)'|([A-Za-z_][\w.+-]*))[ \t]*:(?=\s|$)""", re.MULTILINE)
_JSON_KEY = re.compile(r'"([A-Za-z_][\w.]*)"\s*:')
_REQUIREMENT_NAME = re.compile(
    r"^(?:[\w.-]*[._-])?(?:requirements?|constraints?)(?:[._-][\w.-]*)?\.(?:txt|in)$", re.IGNORECASE
)
_REQUIREMENT = re.compile(
    r"^[A-Za-z0-9][\w.-]*\s*(?:\[[\w\s,.-]*\])?\s*(?:(?:===?|[~!<>]=|[<>])[^=].*|@\s.*|;.*)?$"
)
_PINNED = re.compile(r"^[A-Za-z0-9][\w.-]*\s*(?:\[[\w\s,.-]*\])?\s*(?:==|>=|~=|<=|<|>)\s*\d", re.MULTILINE)
_DOCKER_NAME = re.compile(
    r"^(?:docker|container)file(?:[._-].*)?$|\.(?:docker|container)file$", re.IGNORECASE
)
_NOT_DOCKER = re.compile(
    r"(?:ignore|\.md|\.rst|\.j2|\.jinja2?|\.tmpl|\.tpl|\.template|\.py|\.sh|\.ya?ml|\.json)$"
)
_FROM = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n|[ \t]*ARG[ \t][^\n]*\n)*[ \t]*FROM[ \t]+\S", re.IGNORECASE)
_FROM_LINE = re.compile(r"^[ \t]*FROM[ \t]+\S", re.MULTILINE | re.IGNORECASE)
_TRAINING = re.compile(
    r"^\s*kind:\s*['\"]?(?:PyTorchJob|TFJob|MPIJob|XGBoostJob|PaddleJob|JAXJob|TrainJob|JobSet|RayJob|RayCluster"
    r"|HyperPodPyTorchJob|ClusterTrainingRuntime|TrainingRuntime)\b",
    re.MULTILINE,
)
_KUBERNETES = re.compile(r"^kind:\s*['\"]?[A-Z]", re.MULTILINE)
_PLAY = re.compile(
    r"^-\s+(?:hosts|(?:ansible\.builtin\.)?import_playbook)\s*:|^ {1,6}(?:hosts|import_playbook)\s*:",
    re.MULTILINE,
)
_CLOUD_CONFIG = re.compile(r"\s*(?:## template: jinja\s*\n)?#cloud-config")
# What tells an application specification from a CloudFormation template: a list.
_RESOURCE_LIST = re.compile(r"^Resources:[ \t]*\n(?:\s*#[^\n]*\n)*\s*-\s", re.MULTILINE | re.IGNORECASE)
_RESOURCE_LIST_JSON = re.compile(r'"Resources"\s*:\s*\[\s*\{', re.IGNORECASE)
_ITEM = re.compile(r"^-\s", re.MULTILINE)
_IMAGE_TESTS = frozenset({
    "commandTests", "fileExistenceTests", "fileContentTests", "metadataTest", "licenseTests", "globalEnvVars",
})  # fmt: skip
_TASK_FOLDERS = frozenset({"tasks", "handlers", "defaults", "vars", "meta", "group_vars", "host_vars"})


def may_matter(name: str) -> bool:
    """Whether a file of this name is worth opening. Cheap: asked for every file of a repository."""
    lower = name.lower()
    suffix = lower[lower.rfind(".") :] if "." in lower else ""
    return suffix in _SUFFIXES or "docker" in lower or "container" in lower or lower in _BARE_NAMES


_SUFFIXES = frozenset(
    {".yml", ".yaml", ".json", ".toml", ".txt", ".in", ".hcl", ".tf", ".cfg", ".template", ".cloud-config"}
)
_BARE_NAMES = frozenset({"user-data", "meta-data", "vendor-data", "appspec", "buildspec"})


def recognise(path: str, text: str, *, asked: bool = False) -> Recognised | None:
    """What a file is; None when it is nothing that Seatrial checks.

    `path` has forward slashes. `asked`: the user named the file, so plain YAML, JSON and TOML count too.
    """
    pure = PurePosixPath(path)
    clues = Clues(pure, pure.name.lower(), text)
    for recogniser in _RECOGNISERS:
        found = recogniser(clues)
        if found is not None:
            return found
    if asked:
        return _plain(clues.name)
    return None


def _plain(name: str) -> Recognised | None:
    for suffixes, kind in (((".yml", ".yaml"), "yaml"), ((".json",), "json"), ((".toml",), "toml")):
        if name.endswith(suffixes):
            return Recognised(kind, kind)
    return None


def _dockerfile(clues: Clues) -> Recognised | None:
    if _NOT_DOCKER.search(clues.name):
        return None
    named = _DOCKER_NAME.search(clues.name) is not None and _FROM_LINE.search(clues.text) is not None
    loosely = "docker" in clues.name or "container" in clues.name or "." not in clues.name
    likely = loosely and _FROM.match(clues.text) is not None
    exact = clues.name in ("dockerfile", "containerfile")
    return Recognised("dockerfile", "dockerfile") if named or likely or exact else None


def _toml(clues: Clues) -> Recognised | None:
    return Recognised("pyproject", "toml") if clues.name == "pyproject.toml" else None


def _hcl(clues: Clues) -> Recognised | None:
    if clues.name.endswith((".pkr.hcl", ".pkrvars.hcl")):
        return Recognised("packer", "")
    if clues.name.endswith(".tf"):
        return Recognised("terraform", "")
    if clues.name.endswith(".hcl") and re.search(r'^(?:source\s+"|build\s*\{)', clues.text, re.MULTILINE):
        return Recognised("packer", "")
    return None


def _requirements(clues: Clues) -> Recognised | None:
    if not clues.name.endswith((".txt", ".in")):
        return None
    named = _REQUIREMENT_NAME.match(clues.name) is not None or clues.path.parent.name.lower() in (
        "requirements",
        "constraints",
    )
    lines = [line.strip() for line in clues.text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        return Recognised("requirements", "requirements") if named else None
    fit = sum(1 for line in lines if _looks_required(line))
    if named:
        # A conda export or prose can bear the name as well; one broken line must not hide a real file.
        return Recognised("requirements", "requirements") if fit * 2 >= len(lines) else None
    whole = fit == len(lines) and _PINNED.search(clues.text) is not None
    return Recognised("requirements", "requirements") if whole else None


def _looks_required(line: str) -> bool:
    line = re.sub(r"\s+#.*$", "", line).rstrip("\\").strip()
    if line.startswith(("-", "git+", "./", "http://", "https://", "file:")) or "://" in line:
        return True
    return _REQUIREMENT.match(line.split(" --", 1)[0].strip()) is not None


def _json(clues: Clues) -> Recognised | None:
    if not clues.name.endswith((".json", ".template")) and clues.name not in _BARE_NAMES:
        return None
    if not clues.text.lstrip().startswith("{"):
        return None
    keys = frozenset(_JSON_KEY.findall(clues.text))
    if _is_image_tests(keys):
        return Recognised("image-tests", "json")
    named = (kind for kind in ("buildspec", "appspec") if clues.name.startswith(kind))
    if "version" in keys and _RESOURCE_LIST_JSON.search(clues.text):
        return Recognised("appspec", "json")
    said = (kind for kind, needed in _JSON_KINDS if needed <= keys and _confirmed(kind, clues))
    found = next(said, None) or next(named, None)
    return Recognised(found, "json") if found else None


_JSON_KINDS: tuple[tuple[str, frozenset[str]], ...] = (
    ("codepipeline", frozenset({"stages", "actions", "actionTypeId"})),
    ("cloudformation", frozenset({"AWSTemplateFormatVersion"})),
    ("cloudformation", frozenset({"Resources", "Type"})),
    ("packer", frozenset({"builders", "type"})),
    ("training-manifest", frozenset({"apiVersion", "kind", "metadata"})),
    ("kubernetes", frozenset({"apiVersion", "kind", "metadata"})),
    ("buildspec", frozenset({"version", "phases", "commands"})),
    ("appspec", frozenset({"version", "os", "files", "source", "destination"})),
)


def _confirmed(kind: str, clues: Clues) -> bool:
    """Key names alone say too little about a JSON file, which has them at any depth."""
    if kind == "cloudformation":
        return re.search(r'"AWSTemplateFormatVersion"|"Type"\s*:\s*"AWS::', clues.text) is not None
    if kind == "training-manifest":
        return _TRAINING.search(clues.text.replace('"', "")) is not None
    return not clues.name.startswith(("package", "tsconfig"))


def _yaml(clues: Clues) -> Recognised | None:
    if clues.name.endswith(_TEMPLATES):
        return None
    if _CLOUD_CONFIG.match(clues.text):
        return Recognised("autoinstall" if "autoinstall" in clues.keys else "cloud-init", "yaml")
    if not clues.name.endswith(_YAML_NAMES) and clues.name not in _BARE_NAMES:
        return None
    if "{{" in clues.path.as_posix():
        return None  # a template of a project generator, not a file anything reads as it is
    found = next((kind for kind, test in _YAML_KINDS if test(clues)), None)
    return Recognised(found, "yaml") if found else None


def _is_image_tests(keys: frozenset[str]) -> bool:
    return "schemaVersion" in keys and bool(keys & _IMAGE_TESTS)


def _is_buildspec(clues: Clues) -> bool:
    if clues.name.startswith("appspec."):
        return False  # CodeDeploy would read it, whatever it says: that is what has to be told
    if (
        "version" in clues.keys
        and {"phases", "batch"} & clues.keys
        and re.search(r"^version:\s*['\"]?0\.\d", clues.text, re.MULTILINE)
    ):
        return True
    return "buildspec" in clues.name and not {"apiVersion", "AWSTemplateFormatVersion"} & clues.keys


def _is_appspec(clues: Clues) -> bool:
    if "appspec" in clues.name:
        return "AWSTemplateFormatVersion" not in clues.keys
    if _RESOURCE_LIST.search(clues.text):
        return True
    zero = re.search(r"^version:\s*['\"]?0\.0\b", clues.text, re.MULTILINE) is not None
    return zero and bool({"os", "hooks", "files", "Resources", "resources", "Hooks"} & clues.keys)


def _is_cloudformation(clues: Clues) -> bool:
    if "AWSTemplateFormatVersion" in clues.keys:
        return True
    return "Resources" in clues.keys and re.search(r"\bType:\s*['\"]?AWS::\w", clues.text) is not None


def _is_pipeline(clues: Clues) -> bool:
    if not {"pipeline", "stages"} & clues.keys:
        return False
    return "actionTypeId" in clues.text and "stages:" in clues.text


def _is_training(clues: Clues) -> bool:
    return {"apiVersion", "kind"} <= clues.keys and _TRAINING.search(clues.text) is not None


def _is_kubernetes(clues: Clues) -> bool:
    return {"apiVersion", "kind"} <= clues.keys and _KUBERNETES.search(clues.text) is not None


def _is_conda(clues: Clues) -> bool:
    if "dependencies" not in clues.keys:
        return False
    listed = re.search(r"^dependencies:[^\n]*\n(?:\s*#[^\n]*\n|\s*\n)*\s*-\s", clues.text, re.MULTILINE)
    return listed is not None and (
        "channels" in clues.keys or re.match(r"(?:conda[._-]?)?env", clues.name) is not None
    )


def _is_playbook(clues: Clues) -> bool:
    return not clues.keys and _ITEM.search(clues.text) is not None and _PLAY.search(clues.text) is not None


def _is_tasks(clues: Clues) -> bool:
    parts = clues.path.parts
    if "roles" in parts[:-2] and _TASK_FOLDERS & set(parts[:-1]):
        return True
    if parts[-2:-1] not in (("tasks",), ("handlers",)) or clues.keys:
        return False
    return re.search(r"^- (?:name|include_tasks|import_tasks|block):", clues.text, re.MULTILINE) is not None


def _is_autoinstall(clues: Clues) -> bool:
    return "autoinstall" in clues.keys and "version:" in clues.text


_YAML_KINDS: tuple[tuple[str, Callable[[Clues], bool]], ...] = (
    ("seatrial", lambda clues: clues.name in ("seatrial.yaml", "seatrial.yml")),
    ("image-tests", lambda clues: _is_image_tests(clues.keys)),
    ("github-workflow", lambda clues: clues.path.parts[-3:-1] == (".github", "workflows")),
    ("buildspec", _is_buildspec),
    ("appspec", _is_appspec),
    ("cloudformation", _is_cloudformation),
    ("training-manifest", _is_training),
    ("kubernetes", _is_kubernetes),
    ("codepipeline", _is_pipeline),
    ("autoinstall", _is_autoinstall),
    ("conda-environment", _is_conda),
    ("ansible-playbook", _is_playbook),
    ("ansible-tasks", _is_tasks),
)

_RECOGNISERS = (_yaml, _json, _toml, _hcl, _requirements, _dockerfile)
