"""What a fetch will take, told before it runs."""

from luthier.fetch import sources
from luthier.fetch.spec import FetchSpec


def expected_bytes(spec: FetchSpec) -> int | None:
    """Give the bytes on disk the artifact will take, or None where that cannot be told beforehand (a hub).

    Loads nothing heavy. Raises FetchError if the source is not there.
    """
    source, rest = sources.resolve(spec.source)
    return source.expected_bytes(spec, rest)
