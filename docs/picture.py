"""Draw what the terminal showed of a run, from the events it told.

python docs/picture.py .luthier/runs/TIME-run/events.jsonl docs/pictures/terminal.svg "luthier run recipe.yaml"
"""

import io
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from luthier.cli.terminal import Terminal
from luthier.event import Progress, from_json

COLUMNS = 128


def main(events: Path, picture: Path, command: str) -> None:
    """Play the events through the terminal's own renderer and write them as SVG."""
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=False, highlight=False, legacy_windows=False
    )
    console.print(Text.assemble(("$ ", "dim"), (command, "bold")))
    with Terminal(console) as terminal:
        for line in events.read_text(encoding="utf-8").splitlines():
            told = from_json(line)
            if not isinstance(told, Progress):  # a live bar, gone when its work is done
                terminal(told)
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_text(console.export_svg(title="luthier", unique_id="luthier"), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
