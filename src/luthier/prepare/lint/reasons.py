"""Which finding stands for each reason why a row was left out."""

REASONS: dict[str, str] = {
    "not JSON": "D101",
    "not an object": "D101",
    "fields do not fit the header": "D101",
    "not of the form": "D102",
    "map failed": "D102",
    "no such column": "D102",
    "feedback not understood": "D102",
    "not text": "D103",
    "roles out of order": "D104",
    "ends with the user": "D104",
    "ends with a tool's result": "D104",
    "unknown role": "D104",
    "no turns": "D104",
    "no answer": "D105",
    "the answer was cut off": "D105",
    "empty turn": "D106",
    "empty text": "D106",
    "no prompt": "D106",
    "bad tool call": "D107",
    "unknown tool": "D107",
    "tools not understood": "D107",
    "tool result without its call": "D107",
    "no group": "D108",
    "no label": "D108",
    "label of another kind": "D108",
    "bad weight": "D108",
    "control token in a text": "D109",
    "refused by the chat template": "D110",
    "too long": "D111",
    "nothing left to learn": "D112",
    "empty after cleaning": "D113",
    "answers part too early": "D115",
    "equal answers": "D115",
}
"""Reason -> number of its finding."""
CLEANED = "cleaned: "
"""Begins the reasons that rules of cleaning give."""
CHOSEN = (
    "filtered out",
    "duplicate",
    "near duplicate",
    "weight 0",
    "over the limit",
    "over max_train_tokens",
    "thinned out by the mix",
    "held out, its group is in dev",
    "held out, its group is in test",
    "held out, its group is not trained on",
)
"""Reasons that the settings ask for, or that have findings of their own: no fault of the row."""
OTHER = "D199"
"""The finding of a reason that is not listed."""


def code_of(reason: str) -> str | None:
    """Give the number of a reason's finding; None for what was asked for."""
    if reason in CHOSEN:
        return None
    return "D114" if reason.startswith(CLEANED) else REASONS.get(reason, OTHER)
