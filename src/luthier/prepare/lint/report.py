"""The report: findings, lengths and advice, as JSON, as text, and as files beside the examples."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from luthier.artifact.example import SPLITS
from luthier.errors import DataError
from luthier.prepare.lint.advice import advise, figures_of
from luthier.prepare.lint.against import why_nothing_was_read
from luthier.prepare.lint.evidence import Evidence
from luthier.prepare.lint.finding import SEVERITIES, Finding
from luthier.prepare.lint.lengths import Histogram, bars, draw, histogram, percentiles
from luthier.prepare.lint.set_rules import tokens_per_character
from luthier.prepare.lint.table import FINDINGS, find_all

REPORT, PICTURE = "lint.json", "lengths.png"
STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan"}


@dataclass(frozen=True)
class Report:
    """What lint says of the data."""

    task: str
    rows_read: int
    rows: Mapping[str, int]
    """Split -> rows."""
    dropped: Mapping[str, int]
    """Reason -> rows that were left out."""
    findings: tuple[Finding, ...]
    not_looked_for: Mapping[str, str]
    """Number -> what must be asked for first."""
    max_tokens: int
    lengths: Mapping[str, int]
    """Percentiles of all rows, in tokens."""
    bars: Histogram
    tokens_per_character: Mapping[str, float]
    advice: Mapping[str, str]

    @property
    def has_errors(self) -> bool:
        """Whether the data should not be trained on as it is."""
        return any(finding.severity == "error" for finding in self.findings)

    def plain(self) -> dict[str, Any]:
        """Give it as JSON can hold it."""
        return {
            "task": self.task,
            "rows": {"read": self.rows_read, **self.rows},
            "dropped": dict(self.dropped),
            "findings": [finding.plain() for finding in self.findings],
            "not_looked_for": dict(self.not_looked_for),
            "lengths": {"max_tokens": self.max_tokens, **self.lengths, "histogram": self.bars.plain()},
            "tokens_per_character": {name: round(value, 4) for name, value in self.tokens_per_character.items()},
            "advice": dict(self.advice),
        }

    @property
    def summary(self) -> str:
        """Say in a line what was found."""
        counts = {name: sum(finding.severity == name for finding in self.findings) for name in SEVERITIES}
        if not self.findings:
            return "lint: nothing found"
        said = [f"{count} {name}{'s' * (count > 1 and name != 'info')}" for name, count in counts.items() if count]
        return f"lint: {', '.join(said)} ({', '.join(finding.code for finding in self.findings)})"


def make_report(evidence: Evidence) -> Report:
    """Look for every finding, and draw the advice."""
    lengths = {name: evidence.facts["tokens"][evidence.rows_of(name)].astype(np.int64) for name in SPLITS}
    missing = {
        "D304": evidence.near is None and "near duplicate" not in evidence.dropped,
        "D305": evidence.near is None,
    }
    not_looked_for = {code: FINDINGS[code].needs for code, is_missing in missing.items() if is_missing}
    if evidence.passages is None:
        not_looked_for["D309"] = why_nothing_was_read(evidence.spec.lint.against)
    return Report(
        evidence.task,
        evidence.rows_read,
        {name: len(lengths[name]) for name in SPLITS},
        {reason: dropped.count for reason, dropped in sorted(evidence.dropped.items()) if dropped.count},
        find_all(evidence),
        not_looked_for,
        evidence.max_tokens,
        percentiles(np.concatenate(list(lengths.values()))),
        histogram(lengths),
        tokens_per_character(evidence),
        advise(figures_of(evidence)),
    )


def write_report(report: Report, folder: Path) -> None:
    """Write `lint.json` and `lengths.png`."""
    text = json.dumps(report.plain(), ensure_ascii=False, indent=1)
    (folder / REPORT).write_text(text + "\n", encoding="utf-8")
    draw(report.bars, report.lengths, report.max_tokens, folder / PICTURE)


def write_picture(report: Report, path: Path) -> None:
    """Write the picture of the lengths alone. Raises DataError where it cannot be written."""
    try:
        draw(report.bars, report.lengths, report.max_tokens, path)
    except OSError as error:
        raise DataError(
            f"the picture cannot be written: {error.strerror}",
            where=str(path),
            mend="give a path in a folder that you may write to",
        ) from None


def print_report(report: Report, console: Console) -> None:
    """Print the report for a person; nothing is cut."""
    for line in (*_rows(report), *_findings(report), *_lengths(report, min(console.width, 100)), *_advice(report)):
        console.print(line, soft_wrap=True)
    console.print(Text(report.summary, "bold red" if report.has_errors else "bold"), soft_wrap=True)


def _rows(report: Report) -> Iterator[Text]:
    splits = ", ".join(f"{name} {count:,}" for name, count in report.rows.items())
    yield Text.assemble(("rows  ", "bold"), f"{report.rows_read:,} read; {splits}")
    for reason, count in report.dropped.items():
        yield Text(f"      {count:,} left out: {reason}")
    yield Text()


def _findings(report: Report) -> Iterator[Text]:
    for finding in report.findings:
        share = f"{finding.count:,} of {finding.of:,} {finding.unit} ({finding.share:.1%})"
        head = (f"{finding.code} {finding.severity}", STYLES[finding.severity])
        yield Text.assemble(head, f"  {finding.title}: {share}")
        if finding.note:
            yield Text(f"      {finding.note}")
        for place in finding.places:
            yield Text.assemble("      ", (place.where, "cyan"), f"  {place.what}".rstrip())
        yield Text.assemble(("      mend: ", "green"), finding.mend)
        yield Text()
    for code, needs in report.not_looked_for.items():
        yield Text(f"{code} was not looked for ({FINDINGS[code].title}): it needs {needs}", "dim")


def _lengths(report: Report, columns: int) -> Iterator[Text]:
    if report.lengths:
        figures = ", ".join(f"{name} {value:,}" for name, value in report.lengths.items())
        yield Text.assemble(("lengths in tokens  ", "bold"), f"{figures} (at most {report.max_tokens:,} fit)")
        yield from (Text(bar) for bar in bars(report.bars, columns))
    for name, value in report.tokens_per_character.items():
        script = "Chinese, Japanese, Korean" if name == "CJK" else "other scripts"
        yield Text.assemble(("tokens per character  ", "bold"), f"{value:.2f} ({script})")
    yield Text()


def _advice(report: Report) -> Iterator[Text]:
    if report.advice:
        yield Text("advice", "bold")
        yield from (Text(f"  - {text}") for text in report.advice.values())
        yield Text()
