"""The table of findings: number, severity, what is wrong, how to mend it, and the rule that looks for it."""

from luthier.prepare.facts import Flag
from luthier.prepare.lint import row_rules as row
from luthier.prepare.lint import set_rules as rows
from luthier.prepare.lint.evidence import Evidence
from luthier.prepare.lint.finding import SEVERITIES, Finding, Rule

FINDINGS: dict[str, Rule] = {
    "D101": Rule(
        "error",
        "the row cannot be read",
        "write one whole JSON object a line (or a whole table row); bad_rows=drop leaves such rows out",
        row.dropped_as("D101"),
    ),
    "D102": Rule(
        "error",
        "the row is not of the form of its file",
        "write it as the others are, or read it by columns.* or map; bad_rows=drop leaves such rows out",
        row.dropped_as("D102"),
    ),
    "D103": Rule(
        "error",
        "a turn is not text",
        "write each turn as one text; bad_rows=drop leaves such rows out",
        row.dropped_as("D103"),
    ),
    "D104": Rule(
        "error",
        "roles are out of order",
        "let user and assistant take turns, the user first, the assistant last; bad_rows=drop leaves such rows out",
        row.dropped_as("D104"),
    ),
    "D105": Rule(
        "error",
        "there is no whole answer: it is empty, or was cut off",
        "fill it in; bad_rows=drop leaves such rows out",
        row.dropped_as("D105"),
    ),
    "D106": Rule(
        "error",
        "a question, a text or another turn is empty",
        "fill it in; bad_rows=drop leaves such rows out",
        row.dropped_as("D106"),
    ),
    "D107": Rule(
        "error",
        "a tool call does not hold",
        "name a tool that is listed, with arguments as a JSON object, and let its result follow; bad_rows=drop leaves "
        "such rows out",
        row.dropped_as("D107"),
    ),
    "D108": Rule(
        "error",
        "a label, weight or group is missing or of no use",
        "fill in the column; bad_rows=drop leaves such rows out",
        row.dropped_as("D108"),
    ),
    "D109": Rule(
        "error",
        "a control token of the model's own template stands in a text",
        "take it out: it would end or open a turn; bad_rows=drop leaves such rows out",
        row.dropped_as("D109"),
    ),
    "D110": Rule(
        "error",
        "the chat template refuses the row",
        "give the turns the roles that the template knows, or fetch the model with another template",
        row.dropped_as("D110"),
    ),
    "D111": Rule(
        "error",
        "the row is longer than length.max_tokens",
        "raise length.max_tokens up to the model's context, split the text into shorter rows, or set "
        "length.when_longer=drop or truncate",
        row.dropped_as("D111", by="length", flag=Flag.TOO_LONG),
    ),
    "D112": Rule(
        "error",
        "nothing is learned from the row: no supervised token",
        "give it an answer that fits into length.max_tokens, and a weight above 0 to one of its answers",
        row.dropped_as("D112", by="never", flag=Flag.UNSUPERVISED),
    ),
    "D113": Rule(
        "warning",
        "the row is empty after cleaning",
        "look at cleaned.jsonl: loosen the rule that took the text away, or take the row out",
        row.dropped_as("D113", by="never"),
    ),
    "D114": Rule(
        "info",
        "a rule of clean left the row out",
        "look at cleaned.jsonl; loosen the rule if it takes good rows away",
        row.dropped_as("D114", by="never"),
    ),
    "D115": Rule(
        "error",
        "the two answers of a pair do not hold",
        "let both follow the same question, and differ; bad_rows=drop leaves such rows out",
        row.dropped_as("D115"),
    ),
    "D199": Rule(
        "error",
        "the row cannot be used",
        "mend the row; bad_rows=drop leaves such rows out",
        row.dropped_as("D199"),
    ),
    "D201": Rule(
        "error",
        "the end of the answer is not trained",
        "use a chat template that closes the assistant's turn with the model's stop token: without it the model never "
        "learns to stop",
        row.flagged(Flag.ENDLESS, row.answer),
    ),
    "D202": Rule(
        "warning",
        "the answer is cut off",
        "raise length.max_tokens, or set length.when_longer=drop",
        row.truncated,
    ),
    "D203": Rule(
        "warning",
        "the answer repeats the question",
        "give it a real answer, or take the row out",
        row.flagged(Flag.ECHO, row.echo),
    ),
    "D204": Rule(
        "warning",
        "the text of a chat template stands in the data",
        "take the marker out, or split the text into turns (form=messages): else the model learns to write markers",
        row.flagged(Flag.TEMPLATE_TEXT, row.marker),
    ),
    "D205": Rule(
        "warning",
        "question and answer are in different languages",
        "answer in the language of the question, or say in the question which language is wanted",
        row.flagged(Flag.LANGUAGES_DIFFER, row.other_language),
    ),
    "D206": Rule(
        "warning",
        "characters were lost: a replacement character stands in the text",
        "read the file in the encoding it was saved in (encoding=...), or set clean.encoding=drop",
        row.flagged(Flag.DAMAGED, row.damage),
    ),
    "D207": Rule(
        "warning",
        "the tokenizer splits the language badly",
        "take a model whose tokenizer was made for this language",
        rows.badly_split,
    ),
    "D208": Rule(
        "info",
        "a few rows are many times as long as the rest",
        "set length.max_tokens nearer to the rest with length.when_longer=drop, or split the long rows",
        rows.long_tail,
    ),
    "D301": Rule(
        "error",
        "rows of dev or test ask what a training row asks",
        "set split.by=content, or give both rows one group; declare the tag in lint.recall if it is meant",
        rows.across_splits,
    ),
    "D302": Rule(
        "info",
        "test rows are meant to be recalled from training",
        "nothing: they are reported apart; look at the rows without a tag for what the model makes of the unseen",
        rows.recalled,
    ),
    "D303": Rule(
        "warning",
        "rows have the same content",
        "set clean.exact_duplicates=drop",
        rows.exact,
        settled="info",
    ),
    "D304": Rule(
        "warning",
        "training rows are nearly the same",
        "set clean.near_duplicates=0.8",
        rows.near,
        settled="info",
        needs="`--lint`, or clean.near_duplicates",
    ),
    "D305": Rule(
        "warning",
        "rows of dev or test are nearly the same as a training row",
        "set clean.near_duplicates=0.8, or give rows alike one group (columns.group, split.by=group)",
        rows.near_across_splits,
        needs="`--lint`",
    ),
    "D306": Rule(
        "warning",
        "the same question has different answers",
        "keep the best answer of each, or make pairs of them (form=preference)",
        rows.conflicting,
    ),
    "D307": Rule(
        "warning",
        "one answer stands in a large part of the rows",
        "thin these rows out (where, or a tag and limit.train), else the model answers so too often",
        rows.one_answer,
    ),
    "D308": Rule(
        "warning",
        "classes are out of balance",
        "add rows of the small classes, or tag rows by class and set limit.train; split.stratify keeps all in each "
        "split",
        rows.imbalance,
    ),
    "D309": Rule(
        "error",
        "training rows hold passages of an evaluation task",
        "take them out, or give no score on that task",
        row.contaminated,
        needs="lint.against",
    ),
    "D401": Rule(
        "warning",
        "a split holds hardly anything",
        "give more rows, raise its share (split.*), or set the share to 0 if you do not want it",
        rows.thin_splits,
    ),
}
"""Number -> rule. Numbers never change their meaning: D1 rows that are left out, D2 what one row teaches, D3 rows
held against one another, D4 the whole."""


def find_all(evidence: Evidence) -> tuple[Finding, ...]:
    """Give what was found, the most severe first, then by number."""
    found = [
        Finding(
            code,
            rule.settled if hit.is_settled and rule.severity != "info" else rule.severity,
            rule.title,
            hit.count,
            hit.of,
            hit.unit,
            hit.note,
            hit.places,
            rule.mend,
        )
        for code, rule in FINDINGS.items()
        if (hit := rule.find(evidence)) is not None
    ]
    return tuple(sorted(found, key=lambda finding: (SEVERITIES.index(finding.severity), finding.code)))
