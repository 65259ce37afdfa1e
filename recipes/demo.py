"""The demo: run the recipe, serve what it released, ask one question through the `openai` client, say what comes next.

Run it with `make demo`. It works in the folder it is called from; a second run makes nothing anew.
"""

import inspect
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openai import OpenAI

LUTHIER = (sys.executable, "-m", "luthier")
RECIPE = Path(__file__).parent / "stdlib.yaml"
QUESTION = "What does `textwrap.dedent(text)` do?"
ASKED = textwrap.dedent


def main() -> int:
    """Give the exit status."""
    begun = time.monotonic()
    summary = str(inspect.getdoc(ASKED)).splitlines()[0]
    done = subprocess.run([*LUTHIER, "run", str(RECIPE)], check=False)
    if done.returncode:
        return done.returncode
    print(f"\nThe recipe took {time.monotonic() - begun:.0f} s. Serving what it released ...", flush=True)
    with server() as url:
        client = OpenAI(base_url=url, api_key="none")
        model = client.models.list().data[0].id
        answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": QUESTION}])
        print(f"\n{model} was asked over HTTP:\n  {QUESTION}\nand answered:\n  {answer.choices[0].message.content}")
        print(f"(Its documentation begins: {summary!r}")
        print("A model this small learns the form and the wording, not the whole library.)\n")
    luthier = Path(sys.executable).with_name("luthier")
    print(f"""What to type next:
  {luthier} show                     the release, and all it was made from, down to the raw rows
  {luthier} chat --compare           ask base and tuned model side by side
  {luthier} serve                    serve it; the address is told
  {luthier} plan recipes/stdlib.yaml what the recipe makes; then copy the recipe and put your own rows in
The answers before and after, side by side: {report()}""")
    return 0


@contextmanager
def server() -> Iterator[str]:
    """Serve the release on a free port while the block runs. Gives the address."""
    child = subprocess.Popen([*LUTHIER, "serve", "port=0"], stderr=subprocess.PIPE, text=True)
    try:
        assert child.stderr
        seen = []
        for line in child.stderr:
            seen.append(line)
            if " at http://" in line:
                yield line.partition(" at ")[2].split()[0]
                return
        raise SystemExit(f"the server did not start:\n{''.join(seen)}")
    finally:
        child.terminate()
        child.communicate(timeout=30)


def report() -> Path:
    """Give the newest report."""
    pages = Path(".luthier/artifacts").glob("scores-*/report.html")
    return max(pages, key=lambda page: page.stat().st_mtime).absolute()


if __name__ == "__main__":
    sys.exit(main())
