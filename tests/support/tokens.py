"""Registry log-ins for the fault proxy: tokens that wear out after so many uses, or a plain password."""

from __future__ import annotations

import base64
import json
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit


class TokenGuard:
    """Answers `/token` and lets only requests with a fresh enough token through. `uses` is a token's life."""

    def __init__(self, host: str, *, uses: int, user: str = "", password: str = "") -> None:
        self.host = host
        self.uses = uses
        self.wanted = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}" if user else ""
        self.left: dict[str, int] = {}
        self.scopes: list[str] = []
        self.refused = 0
        self.lock = threading.Lock()

    def __call__(self, request: Any) -> bool:
        if request.path.startswith("/token"):
            self._issue(request)
            return True
        name = (request.headers.get("Authorization") or "").removeprefix("Bearer ")
        with self.lock:
            if self.left.get(name, 0) > 0:
                self.left[name] -= 1
                return False
            self.refused += 1
        _swallow(request)
        realm = f'Bearer realm="http://{self.host}/token",service="test registry"'
        request.answer(401, {"WWW-Authenticate": realm}, b'{"errors":[{"code":"UNAUTHORIZED"}]}')
        return True

    def _issue(self, request: Any) -> None:
        if self.wanted and request.headers.get("Authorization") != self.wanted:
            request.answer(
                401, {}, b'{"errors":[{"code":"UNAUTHORIZED","message":"wrong user or password"}]}'
            )
            return
        with self.lock:
            self.scopes += parse_qs(urlsplit(request.path).query).get("scope", [])
            name = f"token-{len(self.left)}"
            self.left[name] = self.uses
        request.answer(200, {}, json.dumps({"token": name, "expires_in": 300}).encode())


class PasswordGuard:
    """Lets only requests with this user and password through."""

    def __init__(self, user: str, password: str) -> None:
        self.wanted = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"

    def __call__(self, request: Any) -> bool:
        if request.headers.get("Authorization") == self.wanted:
            return False
        _swallow(request)
        request.answer(
            401, {"WWW-Authenticate": 'Basic realm="test"'}, b'{"errors":[{"code":"UNAUTHORIZED"}]}'
        )
        return True


def _swallow(request: Any) -> None:
    request.rfile.read(int(request.headers.get("Content-Length") or 0))
