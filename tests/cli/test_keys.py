"""`luthier keys`: a key is printed once, listed without itself, and revoked."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from luthier.cli.main import luthier
from luthier.errors import SpecError, StoreError
from luthier.serve.keys import KeyFile, find_key


def run(folder: Path, *words: str) -> str:
    done = CliRunner().invoke(luthier, ["--project", str(folder), "keys", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_key_is_made_listed_and_revoked(tmp_path: Path) -> None:
    words = ("--model", "m", "--expires", "2d", "--kind", "batch", "--requests-per-minute", "5")
    secret = run(tmp_path, "make", "ann", *words).strip()
    file = KeyFile(tmp_path / "keys.json")
    key = find_key(file.known(), secret)
    assert key is not None
    assert (key.models, key.kind, key.requests_per_minute, key.is_admin) == (("m",), "batch", 5, False)
    assert key.expires is not None
    assert key.expires - key.created == pytest.approx(2 * 86400, abs=1)
    listed = run(tmp_path, "list")
    assert "ann" in listed
    assert secret not in listed
    assert run(tmp_path, "revoke", "ann") == f"revoked {key.id} (ann)\n"
    assert file.known() == ()


@pytest.mark.parametrize(
    ("words", "what"),
    [(("--expires", "soon"), "--expires is 'soon'"), (("--kind", "A b"), "--kind is 'A b'")],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, words: tuple[str, ...], what: str) -> None:
    with pytest.raises(SpecError, match=what) as caught:
        run(tmp_path, "make", "ann", *words)
    assert (caught.value.where, bool(caught.value.mend)) == ("command line", True)
    with pytest.raises(StoreError, match="there is no key 'ann'"):
        run(tmp_path, "revoke", "ann")
