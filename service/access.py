"""API keys: named, stored as salted hashes, compared in constant time.

An entry is `name:sha256.SALT.DIGEST` or `name:sha256.SALT.DIGEST:REQUESTS_PER_MINUTE`, both parts in hexadecimal;
`python -m service hash-key NAME` writes one. One round of SHA-256 is enough because keys are random and long, not
passwords: that is why short ones are refused when they are hashed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from service.errors import Unauthorized

ENTRY = re.compile(
    r"(?P<name>[A-Za-z0-9_-]{1,64}):sha256\.(?P<salt>[0-9a-f]{32})\.(?P<digest>[0-9a-f]{64})(:(?P<rate>[1-9][0-9]{0,8}))?"
)
LEAST_KEY_LENGTH = 20
SALT_BYTES = 16


@dataclass(frozen=True, kw_only=True)
class Key:
    """per_minute: requests of this key; None means the rate that holds for everybody."""

    name: str
    salt: bytes
    digest: bytes
    per_minute: int | None = None

    def matches(self, given: bytes) -> bool:
        return hmac.compare_digest(_digest(self.salt, given), self.digest)


def new_key() -> str:
    """A random key of 256 bits."""
    return secrets.token_urlsafe(32)


def hash_key(name: str, key: str, per_minute: int | None = None) -> str:
    """The entry to store for `key`. Raises ValueError for a key that is short or has white space at an end, a rate
    below 1, or a name that is not 1-64 of A-Za-z0-9_-.
    """
    if per_minute is not None and not 1 <= per_minute < 10**9:
        raise ValueError(f"rate: expected a whole number of at least 1, found {per_minute}")
    if len(key) < LEAST_KEY_LENGTH:
        raise ValueError(f"key: expected at least {LEAST_KEY_LENGTH} characters, found {len(key)}")
    if key != key.strip():
        raise ValueError("key: expected no white space at its ends, which a header does not keep, found some")
    salt = secrets.token_bytes(SALT_BYTES)
    entry = f"{name}:sha256.{salt.hex()}.{_digest(salt, key.encode()).hex()}"
    if per_minute is not None:
        entry += f":{per_minute}"
    if not ENTRY.fullmatch(entry):
        raise ValueError(f"name: expected 1 to 64 of A-Z a-z 0-9 _ -, found {name!r}")
    return entry


def read_keys(entries: Iterable[str], file: Path | None) -> tuple[Key, ...]:
    """Keys from the setting and from a file of one entry a line (`#` begins a comment).

    Raises ValueError naming the setting and the place; the entry itself is not shown, for it may be a plain key.
    """
    places = [(f"POLYVIEW_KEYS: entry {number}", entry) for number, entry in enumerate(entries, 1)]
    if file is not None:
        try:
            lines = file.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"POLYVIEW_KEYS_FILE: expected a text file, found {file}: {error}") from error
        stripped = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1)]
        places += [(f"POLYVIEW_KEYS_FILE: {file}: line {number}", line) for number, line in stripped if line]
    keys: dict[str, Key] = {}
    for place, entry in places:
        found = ENTRY.fullmatch(entry)
        if found is None:
            raise ValueError(f"{place}: expected name:sha256.SALT.DIGEST, as python -m service hash-key writes it")
        name = found["name"]
        if name in keys:
            raise ValueError(f"{place}: the name {name} stands twice")
        rate = int(found["rate"]) if found["rate"] else None
        keys[name] = Key(
            name=name, salt=bytes.fromhex(found["salt"]), digest=bytes.fromhex(found["digest"]), per_minute=rate
        )
    return tuple(keys.values())


def identify(keys: tuple[Key, ...], authorization: str) -> Key:
    """The key that an `Authorization` header carries, decoded as Latin-1. Raises Unauthorized.

    Every stored key is compared, whichever matches, so that the time says nothing about which one came close.
    """
    scheme, _, given = authorization.partition(" ")
    matching = [key for key in keys if key.matches(given.strip(" \t").encode("latin-1"))]
    if scheme.lower() != "bearer" or not matching:
        raise Unauthorized("The key is missing or wrong.", "Send the header: Authorization: Bearer <key>")
    return matching[0]


def _digest(salt: bytes, key: bytes) -> bytes:
    return hashlib.sha256(salt + key).digest()
