"""Count lines per folder as a Markdown table, for docs/experiments.md: `python docs/lines.py`."""

from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
KINDS = ("py", "yaml", "toml", "jinja")


def main() -> None:
    """Print folder, files, lines, and the longest file of each room of src/luthier, its tests beside it."""
    lines: Counter[str] = Counter()
    files: Counter[str] = Counter()
    longest: Counter[str] = Counter()
    for top in ("src/luthier", "tests"):
        for path in (ROOT / top).rglob("*"):
            if not path.is_file() or path.suffix[1:] not in KINDS:
                continue
            room = path.relative_to(ROOT / top).parts[0]
            folder = f"{top}/{room}" if (ROOT / top / room).is_dir() else top
            count = len(path.read_text(encoding="utf-8").splitlines())
            lines[folder] += count
            files[folder] += 1
            longest[folder] = max(longest[folder], count)
    print("| folder | files | lines | longest file |\n| --- | --: | --: | --: |")
    for folder in sorted(lines):
        print(f"| {folder} | {files[folder]} | {lines[folder]:,} | {longest[folder]} |")
    print(f"| all | {files.total()} | {lines.total():,} | {max(longest.values())} |")


if __name__ == "__main__":
    main()
