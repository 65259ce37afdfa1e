"""How well the check that a source carries a sentence agrees with people, and with what was changed on purpose.

    python bench/support_check.py

SciFact: claims with the abstract that people say supports or contradicts them, claims whose cited abstract leaves them
open, supported claims against another abstract. Legal advice in Chinese: sentences that name an article against that
article and against another. CMRC 2018: sentences against their own passage, untouched, with one number raised by one,
with one denial put in.
"""

import gzip
import json
import os
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from luthier.measure.sentences import sentences
from luthier.measure.support import CARRIED, support

DATA = Path(os.environ.get("LUTHIER_DATA") or Path(__file__).parent.parent.parent / "shared" / "data")
ARTICLE = re.compile(r"第[零一二三四五六七八九十百千]+条")


def read(path: Path) -> Any:
    """Read JSON, packed or not."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return json.load(file)


def show(name: str, shares: Sequence[float]) -> None:
    """Print how many are carried."""
    values = np.asarray(shares)
    print(f"{name:52s} {len(values):5d} {float((values >= CARRIED).mean()):6.1%}")


def auroc(above: Sequence[float], below: Sequence[float]) -> float:
    """Give the share of pairs in the right order."""
    high, low = np.asarray(above)[:, None], np.asarray(below)[None]
    return float((high > low).mean() + (high == low).mean() / 2)


def scifact(draw: random.Random) -> None:
    """Labels of people, English."""
    texts: dict[str, str] = {}
    with gzip.open(DATA / "scifact" / "corpus.jsonl.gz", "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            texts[row["_id"]] = row["text"]
    claims = [json.loads(line) for line in (DATA / "scifact" / "claims.jsonl").read_text("utf-8").splitlines()]
    by = {
        label: [support(row["claim"], texts[row["evidence_doc_id"]]).share for row in claims if row["label"] == label]
        for label in ("SUPPORT", "CONTRADICT")
    }
    left_open = [support(row["claim"], texts[row["cited_doc_ids"][0]]).share for row in claims if not row["label"]]
    names = list(texts)
    other = [support(row["claim"], texts[draw.choice(names)]).share for row in claims if row["label"] == "SUPPORT"]
    show("SciFact, supported", by["SUPPORT"])
    show("SciFact, contradicted", by["CONTRADICT"])
    show("SciFact, left open", left_open)
    show("SciFact, another abstract", other)
    for name, shares in (("contradicted", by["CONTRADICT"]), ("left open", left_open), ("another", other)):
        print(f"AUROC supported against {name}: {auroc(by['SUPPORT'], shares):.3f}")


def legal(draw: random.Random) -> None:
    """Advice against the article it names, Chinese."""
    rows = read(DATA / "legal_zh" / "zixun_gpt4.json.gz")[:400]
    laws = [law for row in rows for law in row["laws"]]
    own, other = [], []
    for row in rows:
        text = row["response"]
        for begin, end in sentences(text):
            named = ARTICLE.search(text, begin, end)
            law = next((law for law in row["laws"] if named and named.group() in law), None)
            if law and end - begin > 30:
                own.append(support(text[begin:end], law).share)
                other.append(support(text[begin:end], draw.choice(laws)).share)
    show("legal_zh, the article a sentence names", own)
    show("legal_zh, another article", other)
    print(f"AUROC: {auroc(own, other):.3f}")


def cmrc() -> None:
    """Sentences changed on purpose, Chinese."""
    untouched, raised, denied = [], [], []
    for row in read(DATA / "cmrc2018" / "cmrc2018_dev.json.gz")["data"][:300]:
        for text in (passage["context"] for passage in row["paragraphs"]):
            for sentence in (text[begin:end] for begin, end in sentences(text)[:4]):
                untouched.append(support(sentence, text).share)
                if found := re.search(r"\d+", sentence):
                    more = sentence[: found.start()] + str(int(found.group()) + 1) + sentence[found.end() :]
                    raised.append(support(more, text).share)
                if "是" in sentence:
                    denied.append(support(sentence.replace("是", "不是", 1), text).share)
    show("CMRC 2018, untouched", untouched)
    show("CMRC 2018, a number raised by one", raised)
    show("CMRC 2018, a denial put in", denied)


if __name__ == "__main__":
    print(f"{'':52s}  rows carried (a share of {CARRIED:g} at least)")
    seeded = random.Random(0)
    scifact(seeded)
    legal(seeded)
    cmrc()
