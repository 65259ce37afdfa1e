"""Office files are ZIP archives: what they unpack to is looked at before they are opened."""

import zipfile
from pathlib import Path

from luthier.errors import DataError

MOST_BYTES = 500_000_000
"""Unpacked, of all parts."""
MOST_RATIO = 200
"""Unpacked to packed; text seldom reaches 20."""
SMALL_BYTES = 10_000_000
"""Below it any ratio is harmless."""


def check_archive(path: Path, format_name: str) -> None:
    """Raise DataError for what is no archive (an encrypted office file is none), or would unpack to too much."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        encrypted = path.read_bytes()[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
        what = "the file is encrypted, or in the format of before 2007" if encrypted else f"the file is broken: {error}"
        raise DataError(
            what, where=str(path), mend=f"save it as {format_name} without a password, or leave it out"
        ) from None
    unpacked, packed = sum(part.file_size for part in parts), sum(part.compress_size for part in parts)
    if unpacked > MOST_BYTES or (unpacked > SMALL_BYTES and unpacked > MOST_RATIO * max(1, packed)):
        raise DataError(
            f"the file unpacks from {packed:,} to {unpacked:,} bytes, as a zip bomb does",
            where=str(path),
            mend=f"leave it out, or save it anew; at most {MOST_BYTES:,} bytes are unpacked",
        )
