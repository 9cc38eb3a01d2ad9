"""A small OpenID Connect provider on this machine: whoever comes is signed in as the person it was told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit


@dataclass
class Person:
    """Whom the provider vouches for."""

    email: str
    email_verified: bool = True


@dataclass
class Provider:
    """Its address, and what it was asked."""

    address: str
    person: Person
    nonces: dict[str, str] = field(default_factory=dict)
    """By code."""
    secrets: list[str] = field(default_factory=list)
    """Bodies of token requests."""


@contextmanager
def provider(person: Person) -> Iterator[Provider]:
    """Serve a provider for the length of the block."""
    from joserfc import jwk, jwt

    key = jwk.RSAKey.generate_key(2048, parameters={"kid": "one"})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/.well-known/openid-configuration":
                self._json(
                    {
                        "issuer": state.address,
                        "authorization_endpoint": f"{state.address}/authorize",
                        "token_endpoint": f"{state.address}/token",
                        "jwks_uri": f"{state.address}/keys",
                        "id_token_signing_alg_values_supported": ["RS256"],
                        "code_challenge_methods_supported": ["S256"],
                    }
                )
            elif parts.path == "/keys":
                self._json({"keys": [key.as_dict(private=False)]})
            else:
                self._authorize({name: values[0] for name, values in parse_qs(parts.query).items()})

        def _authorize(self, query: dict[str, str]) -> None:
            code = f"code{len(state.nonces)}"
            state.nonces[code] = query["nonce"]
            self.send_response(302)
            self.send_header(
                "Location", f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
            )
            self.end_headers()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            state.secrets.append(f"{self.headers.get('Authorization', '')} {body}")
            now = int(time.time())
            claims = {
                "iss": state.address,
                "aud": "mergescope",
                "sub": "1",
                "iat": now,
                "exp": now + 600,
                "nonce": state.nonces[parse_qs(body)["code"][0]],
                "email": state.person.email,
                "email_verified": state.person.email_verified,
            }
            token = jwt.encode({"alg": "RS256", "kid": "one"}, claims, key)
            self._json({"access_token": "a", "token_type": "Bearer", "expires_in": 600, "id_token": token})

        def _json(self, value: dict[str, Any]) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Provider(f"http://127.0.0.1:{server.server_port}", person)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
