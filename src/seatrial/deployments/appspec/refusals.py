"""Why CodeDeploy's agent would not take an application specification: its own message, word for word, and where.

The texts, with their slips, are those of the agent 1.8; 2.0 has the same. Each ends a deployment on the host.
"""

from __future__ import annotations

SPEC = "https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file.html"
STRUCTURE = "https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-{}.html"
_FAILED = "The deployment failed because"
_FILE = f"{_FAILED} the application specification file"
_PERMISSIONS = "Update the permissions section of the AppSpec file, and then try again."

EMPTY = (
    f"{_FILE} was empty. Make sure your AppSpec file defines at minimum the 'version' and 'os' properties."
)
NO_LOCATION = (
    f"{_FILE} specifies a script with no location value. Specify the location in the hooks section of the AppSpec "
    "file, and then try again."
)
TIMEOUT = (
    f"{_FAILED} an invalid timeout value was provided for a script in the application specification file. Make "
    "corrections in the hooks section of the AppSpec file, and then try again."
)
NO_SOURCE = (
    f"{_FILE} specifies a destination file, but no source file. Update the files section of the AppSpec file, and "
    "then try again."
)
NO_OBJECT = (
    f"{_FAILED} a permission listed in the application specification file has no object value. {_PERMISSIONS}"
)
ON_WINDOWS = (
    f"{_FILE} specifiles file permissions, but the deployment is targeting one or more Windows Server instances. "
    "Permissions are supported only for Amazon Linux, Ubuntu Server, and Red Hat Enterprise Linux (RHEL) instances. "
    f"{_PERMISSIONS}"
)
CATEGORIES_TWICE = "duplicate categories"


def version(said: str) -> str:
    return (
        f"{_FAILED} an invalid version value ({said}) was entered in the application specification file. Make sure "
        'your AppSpec file specifies "0.0" as the version, and then try again.'
    )


def system(said: str) -> str:
    return (
        f'{_FILE} specifies an unsupported operating system ({said}). Specify either "linux" or "windows" in the os '
        "section of the AppSpec file, and then try again."
    )


def file_exists(said: str) -> str:
    return (
        f"{_FAILED} an invalid file_exists_behavior value ({said}) was entered in the application specification "
        "file. Make sure your AppSpec file specifies one of DISALLOW,OVERWRITE,RETAIN as the file_exists_behavior, "
        "and then try again."
    )


def no_destination(source: str) -> str:
    return (
        f"{_FILE} specifies only a source file ({source}). Add the name of the destination file to the files section "
        "of the AppSpec file, and then try again."
    )


def object_type(said: str) -> str:
    return (
        f"{_FAILED} the application specification filespecifies a permission for an object type not supported for "
        f"permissions ({said}). {_PERMISSIONS}"
    )


def mode_length(mode: str) -> str:
    return (
        f"{_FAILED} the length of a permissions mode ({mode}) in the application specification file is invalid. "
        f"Permissions modes must be between one and four characters long. {_PERMISSIONS}"
    )


def mode_character(mode: str, character: str) -> str:
    return (
        f"{_FAILED} the permissions mode ({mode}) in the application specification file contains an invalid "
        f"character ({character}). {_PERMISSIONS}"
    )


def ace(entry: str) -> str:
    return (
        f"{_FAILED} of a problem with the acls permission settings in the application specification file. Invalid "
        f"acl entry ({entry})."
    )


def ace_base(entry: str) -> str:
    return (
        f"{_FAILED} of a problem with the acls permission settings in the application specification file. Use mode "
        f"to set the base acl entry ({entry}). {_PERMISSIONS}"
    )


def ace_character(entry: str, character: str) -> str:
    return (
        f"{_FAILED} the access control list (ACL) named {entry} in the application specification file contains an "
        f"invalid character ({character}). Correct the ACL in the hooks section of the AppSpec file, and then try "
        "again."
    )


def context_type(shown: str) -> str:
    return f"{_FILE} specifies an invalid context type ({shown}). {_PERMISSIONS}"


def range_order(said: str) -> str:
    return (
        f"{_FAILED} of a problem with the SELinux range specified ({said}) for the context parameter in the "
        "permissions section of the application specification file. Make corrections in the permissions section of "
        "the AppSpec file, and then try again."
    )


def pattern_for_file(object_: str, pattern: str) -> str:
    """Said at Install, when `object` turns out to be a file."""
    return (
        f"{_FILE} includes an object ({object_}) with an invalid pattern ({pattern}), such as a pattern for a file "
        "applied to a directory. Correct the permissions section of the AppSpec file, and then try again."
    )


def except_for_file(object_: str, except_: str) -> str:
    """Said at Install, when `object` turns out to be a file."""
    return (
        f"{_FAILED} the except parameter for a pattern in the permissions section ({except_}) for the object named "
        f"{object_} contains an invalid format. Update the AppSpec file, and then try again."
    )
