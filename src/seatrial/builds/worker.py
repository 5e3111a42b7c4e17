"""The build's container: a loop in plain shell that runs what it is handed, one after the other.

It is the same in an image and on the host, and it lives from PROVISIONING to the end of the build. What a command
leaves running therefore goes on through later commands and phases, and ends with the build. The loop and those who
hand it commands meet in a folder with three pipes:

    ask       one line for each command: NUMBER USER SHELL; the command itself is in script.sh
    answer    one line when it has ended: NUMBER STATUS
    out       whatever commands print, also those that go on in the background
"""

from __future__ import annotations

import fcntl
import os
import select
import shlex
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from seatrial.engine.execute import alive
from seatrial.errors import SeatrialError
from seatrial.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

WORKER = "worker.sh"
NOBODY = "-"
_PIPES = ("ask", "answer", "out")
_LARGEST = 1 << 20
_LOOK = 0.5
"""Seconds between looks whether the container is still there; its answers arrive at once."""

_LOOP = r"""
as() {
  user=$1; shift
  group=$(id -g "$user") || return 1
  for file in env.sh dir.txt script.sh; do chown "$user" "$state/$file" || return 1; done
  if setpriv --reuid="$user" --regid="$group" --init-groups true 2>/dev/null; then
    setpriv --reuid="$user" --regid="$group" --init-groups "$@"
  else
    su -s /bin/sh "$user" -c "$1 '$2'"
  fi
  status=$?
  for file in env.sh dir.txt script.sh; do chown 0:0 "$state/$file"; done
  return $status
}
export PATH="${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"
exec 3<>"$state/out" </dev/null || exit 1
while :; do
  number=
  read -r number user shell < "$state/ask"
  case $number in
    '') continue ;;
    end) exit 0 ;;
  esac
  if [ "$user" = - ]; then
    "$shell" "$state/script.sh" >&3 2>&3 3>&-
  else
    as "$user" "$shell" "$state/script.sh" >&3 2>&3 3>&-
  fi
  echo "$number $?" > "$state/answer"
done
"""


class Gone(SeatrialError):  # noqa: N818 - a state, not a mistake
    """The container ended before the command did."""


class Late(SeatrialError):  # noqa: N818 - a state, not a mistake
    """The build's time is over."""


def lay_out(folder: Path, inside: str, *, shared: bool, unset: Iterable[str] = ()) -> None:
    """Make the pipes and the loop in `folder`, which the container sees as `inside`.

    `shared`: other users run commands there. `unset` are variables of this machine that the build must not see.
    """
    for place in (folder, folder.parent):
        place.chmod(0o711 if shared else 0o700)
    for name in _PIPES:
        with suppress(FileNotFoundError):
            (folder / name).unlink()
        os.mkfifo(folder / name, 0o600)
        if shared and name == "out":  # /dev/stdout is opened by whoever runs the command
            (folder / name).chmod(0o666)
    away = "".join(f"unset {name}\n" for name in unset)
    # An image's launcher makes the folders above those that it binds, for root alone.
    away += "chmod 755 /codebuild\n" if inside.startswith("/codebuild/") else ""
    write_atomic(folder / WORKER, f"{away}state={shlex.quote(inside)}\n{_LOOP}", mode=0o600)


class Container:
    """The loop as seen from the steps of a build.

    `folder` is the folder of the pipes, `service` that of the loop's attempt; `show` takes what commands print.
    """

    def __init__(self, folder: Path, service: Path, show: Callable[[bytes], None]) -> None:
        self.folder, self.service, self.show = folder, service, show
        self._number = 0
        try:
            self._out = os.open(folder / "out", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._answer = os.open(folder / "answer", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            self._ask = os.open(folder / "ask", os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise Gone("the build's container is gone", where=str(folder), why=error.strerror) from error
        with suppress(OSError):
            fcntl.fcntl(self._out, fcntl.F_SETPIPE_SZ, _LARGEST)

    def run(self, shell: str, *, user: str = "", deadline: float = float("inf")) -> int:
        """Have script.sh run and return its exit status. `deadline` is in seconds since the epoch.

        Raises:
            Late: it had not ended at the deadline; it goes on until the container is removed.
            Gone: the container ended.
        """
        self._number += 1
        number = f"{os.getpid()}.{self._number}"
        os.write(self._ask, f"{number} {user or NOBODY} {shell}\n".encode())
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        poll.register(self._answer, select.POLLIN)
        said = b""
        while True:
            ready = dict(poll.poll(max(0.0, min(_LOOK, deadline - time.time())) * 1000))
            if ready.get(self._out, 0) & select.POLLIN:
                self._pump()
            if self._answer in ready:
                said += os.read(self._answer, 4096)
                if said.endswith(b"\n"):
                    self.drain()
                    return _status(said.decode(), number)
            if time.time() >= deadline:
                self.drain()
                raise Late("the build's time is over")
            if not ready.get(self._out, 0) & select.POLLIN and (how := alive(self.service)):
                self.drain()
                raise Gone("the build's container is gone", why=how)
            if ready.get(self._out, 0) == select.POLLHUP:
                # Nobody has it open: the loop has not begun, or has just ended.
                time.sleep(0.005)

    def drain(self) -> None:
        """Show what is in the pipe now; what goes on in the background may never stop."""
        left = _LARGEST
        while left > 0 and (count := self._pump()):
            left -= count

    def _pump(self) -> int:
        try:
            chunk = os.read(self._out, _LARGEST)
        except BlockingIOError:
            return 0
        if chunk:
            self.show(chunk)
        return len(chunk)

    def close(self) -> None:
        for descriptor in (self._out, self._answer, self._ask):
            os.close(descriptor)


def _status(said: str, number: str) -> int:
    """The status in the answer to a command; answers to earlier ones, of a step that was killed, do not count."""
    found = [line.partition(" ")[2] for line in said.splitlines() if line.startswith(f"{number} ")]
    return int(found[-1])


def is_there(folder: Path) -> bool:
    """Whether the pipes are there."""
    try:
        return all(stat.S_ISFIFO((folder / name).stat().st_mode) for name in _PIPES)
    except OSError:
        return False
