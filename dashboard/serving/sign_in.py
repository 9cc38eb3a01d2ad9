"""Who may open the pages from other machines: sign-in by OpenID Connect, and two lists of e-mail addresses.

The settings' file holds no secret: it names the environment variables that do.
"""

from __future__ import annotations

import importlib.util
import os
import tomllib
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from mergescope.ground.errors import MergescopeError

SIGN_IN_VARIABLE = "MERGESCOPE_SIGN_IN"
"""Environment variable with the settings' file; nobody signs in where it is not set."""
SHARED_VARIABLE = "MERGESCOPE_SHARED"
"""Environment variable that says: other machines reach these pages without sign-in, so readers have no name."""
LEAST_SECRET = 32
"""Characters of the cookies' secret: who can guess it can sign in as anybody."""
_STRICT = ConfigDict(frozen=True, extra="forbid")


class Provider(BaseModel):
    """The OpenID Connect provider, as it was told of this dashboard."""

    model_config = _STRICT
    server_metadata_url: str
    """Its `.well-known/openid-configuration`."""
    client_id: str
    client_secret_env: str
    """Name of the environment variable with the client's secret."""

    @field_validator("server_metadata_url")
    @classmethod
    def _over_tls(cls, url: str) -> str:
        return _safe_url(url)


class Access(BaseModel):
    """E-mail addresses, as the provider has verified them; letters' case does not matter."""

    model_config = _STRICT
    viewers: frozenset[str] = frozenset()
    """May read."""
    editors: frozenset[str] = frozenset()
    """May read, give verdicts, choose and start jobs."""

    @field_validator("viewers", "editors")
    @classmethod
    def _plain(cls, names: frozenset[str]) -> frozenset[str]:
        if wrong := sorted(name for name in names if name.count("@") != 1 or "*" in name or name != name.strip()):
            raise ValueError(f"not an e-mail address: {wrong[0]}")
        return frozenset(name.casefold() for name in names)

    @model_validator(mode="after")
    def _somebody(self) -> Access:
        if not self.viewers | self.editors:
            raise ValueError("nobody may open the pages: name viewers or editors")
        return self


class SignIn(BaseModel):
    """The settings' file."""

    model_config = _STRICT
    address: str
    """Where readers find the dashboard, such as https://mergescope.example.org; the provider sends them back there."""
    cookie_secret_env: str
    """Name of the environment variable with at least 32 random characters, which sign the readers' cookies."""
    provider: Provider
    access: Access

    @field_validator("address")
    @classmethod
    def _over_tls(cls, url: str) -> str:
        if urlsplit(url).path.strip("/"):
            raise ValueError(f"must have no path: {url}")
        return _safe_url(url).rstrip("/")

    @property
    def host(self) -> str:
        """The name that readers' browsers send."""
        return urlsplit(self.address).hostname or ""

    def role(self, email: str) -> str | None:
        """editor, viewer, or None where the address is on neither list."""
        name = email.casefold()
        return "editor" if name in self.access.editors else "viewer" if name in self.access.viewers else None

    def secrets(self) -> dict[str, Any]:
        """Streamlit's `auth` section. Raises MergescopeError where a variable is not set or a secret too short."""
        cookie = _variable(self.cookie_secret_env)
        if len(cookie) < LEAST_SECRET:
            what = f"shorter than {LEAST_SECRET} characters"
            raise MergescopeError(what, where=self.cookie_secret_env, cure="make one: openssl rand -hex 32")
        return {
            "redirect_uri": f"{self.address}/oauth2callback",
            "cookie_secret": cookie,
            "client_id": self.provider.client_id,
            "client_secret": _variable(self.provider.client_secret_env),
            "server_metadata_url": self.provider.server_metadata_url,
        }


@cache
def settings(file: Path) -> SignIn:
    """Read the settings; a running server keeps what it has read. Raises MergescopeError naming what is wrong."""
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MergescopeError("no such file", where=file, cure="docs/serving.md shows one") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MergescopeError(f"cannot be read: {error}", where=file) from None
    try:
        return SignIn.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise MergescopeError(first["msg"], where=f"{file}: {place}", cure="docs/serving.md explains it") from None


def configured() -> SignIn | None:
    """The settings that this server was started with; None where nobody signs in."""
    file = os.environ.get(SIGN_IN_VARIABLE)
    return settings(Path(file)) if file else None


def secrets() -> dict[str, Any] | None:
    """What Streamlit must know; None where nobody signs in."""
    found = configured()
    return None if found is None else {"auth": found.secrets()}


def check(file: Path) -> SignIn:
    """The settings, if a server can start with them: secrets are there, and the library. Raises MergescopeError."""
    found = settings(file)
    found.secrets()
    if importlib.util.find_spec("authlib") is None:
        raise MergescopeError("sign-in needs Authlib", cure="install mergescope[sign-in]")
    return found


def _safe_url(url: str) -> str:
    parts = urlsplit(url)
    is_here = parts.hostname in ("localhost", "127.0.0.1")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_here):
        raise ValueError(f"must begin with https://: {url}")
    if parts.username or parts.password:
        raise ValueError("must hold no user or password")
    return url


def _variable(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise MergescopeError("this environment variable is not set", where=name, cure="set it before serving")
    return value
