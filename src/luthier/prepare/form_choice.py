"""Forms of choice: pairs of a better and a worse answer, and single answers that are wanted or not."""

import re
from typing import Any

from luthier.prepare import form_chat
from luthier.prepare.conversation import Turn, messages_of, turn
from luthier.prepare.fault import BadRow
from luthier.prepare.form_chat import AS_OTHERS, Data, Fields, Names
from luthier.prepare.spec import ColumnsSpec, SetSpec
from luthier.prepare.tools import tools_of
from luthier.prepare.turns import role_of
from luthier.prepare.values import truth_of

PROMPTS = ("conversations", "messages", "prompt", "instruction", "question", "query", "input")
"""Columns in which what both answers answer may stand."""
DIALOGUE = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")
"""How Anthropic's hh-rlhf writes a whole dialogue as one text."""
SPEAKERS = {"Human": "user", "Assistant": "assistant"}


def preference_columns(data: Data, columns: ColumnsSpec) -> Names:
    """chosen and rejected, and what they answer unless both begin with it."""
    names = {"chosen": columns.chosen or "chosen", "rejected": columns.rejected or "rejected"}
    prompt = columns.messages or next((name for name in PROMPTS if name in data), None)
    return {**names, **({"prompt": prompt} if prompt else {})}


def read_preference(data: Data, names: Names, spec: SetSpec) -> Fields:
    """Read a pair: texts, messages, or two conversations that differ in their last answer alone."""
    tools = tools_of(form_chat.tools_in(data, spec.columns))
    system = form_chat.system_of(data, spec.columns.system or "system", spec)
    prompt = _prompt(data, names.get("prompt"), spec)
    sides = [_whole(data.get(names[name]), prompt, names[name]) for name in ("chosen", "rejected")]
    better, worse = (messages_of(turns, system, tools) for turns in sides)
    if better[:-1] != worse[:-1]:
        raise BadRow("answers part too early", "the two answers do not follow the same turns", "let them differ last")
    if better[-1] == worse[-1]:
        raise BadRow("equal answers", f"{names['chosen']} and {names['rejected']} are the same", "leave the pair out")
    return {"messages": better, "rejected": worse[-1], **({"tools": tools} if tools else {})}


def kto_columns(data: Data, columns: ColumnsSpec) -> Names:
    """A chat of any form, and whether its answer is wanted."""
    chat = _chat_names(data, columns)
    if "request" in chat:
        return {"label": columns.label or ("label" if "label" in data else "feedback"), **chat}
    return {"label": columns.label or ("kto_tag" if "kto_tag" in data else "label"), **chat}


def fits_kto(data: Data, names: Names) -> bool:
    """Tell whether the label is a truth, by its column's name or by itself: a class may stand beside a chat too."""
    label = data.get(names["label"])
    is_truth = isinstance(label, bool) or (isinstance(label, str) and label.lower() in ("true", "false"))
    return "request" not in names and (is_truth or names["label"] == "kto_tag")


def has_kto_label(data: Data, names: Names) -> bool:
    """Tell whether a row is to be learned: captured answers that nobody judged are not."""
    return "request" not in names or form_chat.feedback_of(data, names["label"]) is not None


def read_kto(data: Data, names: Names, spec: SetSpec) -> Fields:
    """Read a chat, and whether its answer is wanted."""
    given = data.get(names["label"])
    wanted = form_chat.feedback_of(data, names["label"]) if "request" in names else truth_of(given)
    if wanted is None:
        raise BadRow("no label", f"{names['label']} is {given!r:.60}, not true or false", "write true or false")
    if "prompt" in names:
        return {**form_chat.read_completion(data, names, spec), "desirable": wanted}
    if "instruction" in names:
        return {**form_chat.read_alpaca(data, names, spec), "desirable": wanted}
    return {**form_chat.read_messages(data, names, spec), "desirable": wanted}


def _chat_names(data: Data, columns: ColumnsSpec) -> Names:
    for choose in (
        form_chat.messages_columns,
        form_chat.conversations_columns,
        form_chat.alpaca_columns,
        form_chat.completion_columns,
    ):
        names = choose(data, columns)
        if all(name in data for name in names.values()):
            return names
    return form_chat.messages_columns(data, columns)


def _prompt(data: Data, column: str | None, spec: SetSpec) -> list[Any]:
    if column is None:
        return []
    if column == "instruction":
        return list(form_chat.alpaca_prompt(data, spec))
    value = data.get(column)
    return [] if value is None else form_chat.turns_in(value, "user")


def _whole(value: Any, prompt: list[Any], name: str) -> list[Any]:
    """Give all turns of one side of a pair."""
    turns = form_chat.turns_in(value, "assistant")
    if not prompt and isinstance(value, str):
        turns = _dialogue(value)
    first = turns[0] if turns and isinstance(turns[0], dict) else turn("assistant", "")
    if role_of(first, f"turn 1 of {name}") != "assistant":
        return turns
    if not prompt:
        raise BadRow("no prompt", f"nothing says what {name} answers", "give a prompt, or begin both with it")
    if len(turns) != 1:
        raise BadRow("not of the form", f"{name} has {len(turns)} turns after the prompt, not one", AS_OTHERS)
    return [*prompt, *turns]


def _dialogue(text: str) -> list[Turn]:
    """Split a text in which `Human:` and `Assistant:` take turns."""
    parts = DIALOGUE.split(text)
    if len(parts) < 3 or parts[0].strip():
        return [turn("assistant", text)]
    return [turn(SPEAKERS[name], said) for name, said in zip(parts[1::2], parts[2::2], strict=True)]
