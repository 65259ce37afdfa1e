"""Keys of a server: a file that holds their hashes only, what each may do, and until when."""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock

from luthier.artifact.atomic import write_with
from luthier.errors import StoreError

PREFIX = "lut-"
EVERY = "*"


@dataclass(frozen=True)
class Key:
    """What is known of a key; the key itself is shown once, when it is made."""

    id: str
    name: str
    sha256: str
    """Of the whole key, in hex. It is 256 random bits: no slow hash is needed against guessing."""
    models: tuple[str, ...] = (EVERY,)
    """The models it may ask; `*`: every one."""
    is_admin: bool = False
    """Whether it may use /admin."""
    kind: str = "user"
    """Under which word its requests are counted in /metrics."""
    created: float = 0.0
    """Seconds since 1970."""
    expires: float | None = None
    requests_per_minute: int | None = None
    """Its own bounds, in place of the server's."""
    tokens_per_minute: int | None = None
    at_once: int | None = None

    def may_ask(self, model: str) -> bool:
        """Whether it may ask this model."""
        return EVERY in self.models or model in self.models


NOBODY = Key("none", "nobody", "", kind="none", is_admin=False)
"""Who asks a server that has no keys."""


def hash_of(key: str) -> str:
    """Give what is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class KeyFile:
    """The file of keys in a project; written by commands, read again by a running server as soon as it changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_at: tuple[int, int] | None = None
        self._keys: tuple[Key, ...] = ()

    def known(self) -> tuple[Key, ...]:
        """Give all keys, oldest first. Raises StoreError for a file that cannot be read."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._read_at, self._keys = None, ()
            return ()
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp != self._read_at:
            self._keys = self._read()
            self._read_at = stamp
        return self._keys

    def make(self, key: Key) -> str:
        """Add a key with what is given; gives the key itself, which nobody can find out again."""
        secret = PREFIX + secrets.token_urlsafe(32)
        made = replace(key, id=secrets.token_hex(4), sha256=hash_of(secret), created=time.time())
        with self._held():
            self._write([*self.known(), made])
        return secret

    def revoke(self, name: str) -> Key:
        """Remove a key, named by its id or name. Raises StoreError if there is none, or several."""
        with self._held():
            found = [key for key in self.known() if name in (key.id, key.name)]
            if len(found) != 1:
                what = f"there is no key {name!r}" if not found else f"{len(found)} keys are called {name!r}"
                ids = ", ".join(f"{key.id} ({key.name})" for key in found or self.known()) or "none"
                raise StoreError(what, where=str(self.path), mend=f"name one by its id; there are: {ids}")
            self._write([key for key in self.known() if key != found[0]])
        return found[0]

    def _held(self) -> FileLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path.with_suffix(".lock"))

    def _read(self) -> tuple[Key, ...]:
        try:
            rows = json.loads(self.path.read_text(encoding="utf-8"))["keys"]
            return tuple(Key(**{**row, "models": tuple(row["models"])}) for row in rows)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"the file of keys cannot be read: {error!r}",
                where=str(self.path),
                mend="put it back as it was, or remove it and make new keys (luthier keys make)",
            ) from None

    def _write(self, keys: Sequence[Key]) -> None:
        text = json.dumps({"keys": [asdict(key) for key in keys]}, indent=1, ensure_ascii=False)

        def write(path: Path) -> None:
            path.touch(mode=0o600)
            path.write_text(text, encoding="utf-8")

        write_with(self.path, write)


def fixed_keys(plain: Iterable[str], admin: Iterable[str]) -> tuple[Key, ...]:
    """Give the keys that stand in the settings, as if they had been made."""
    users = [Key(f"set-{place}", f"api_keys.{place}", hash_of(key)) for place, key in enumerate(plain)]
    admins = [
        Key(f"admin-{place}", f"admin_keys.{place}", hash_of(key), is_admin=True, kind="admin")
        for place, key in enumerate(admin)
    ]
    return (*users, *admins)


def find_key(keys: Sequence[Key], given: str, now: Callable[[], float] = time.time) -> Key | None:
    """Give the key that was sent, if it is one and has not expired; every key is compared, in constant time."""
    digest = hash_of(given)
    found: Key | None = None
    for key in keys:
        if hmac.compare_digest(digest, key.sha256):
            found = key
    return found if found is not None and (found.expires is None or now() < found.expires) else None
