"""The certificate of what quantize made: opened in its own engine, held against what the model was made from."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from luthier.artifact.beside import size_bytes
from luthier.artifact.store import Artifact, Store
from luthier.engine import certificate
from luthier.engine.certificate import Bounds, Reference, pass_or_refuse, record
from luthier.engine.origin import held_out, origin_of
from luthier.engine.ports import Closing
from luthier.engine.probe import probes
from luthier.engine.subject import Subject, open_torch
from luthier.event import Tell
from luthier.model.machine import choose_device, choose_dtype
from luthier.model.template import Template, open_template
from luthier.quantize.kinds import KINDS, Source
from luthier.quantize.spec import QuantizeSpec

BOUNDS: dict[str, Bounds] = {
    "exact": certificate.EXACT,
    "half": certificate.HALF,
    "8 bits": certificate.EIGHT_BITS,
    "4 bits": certificate.FOUR_BITS,
}


def certify(
    spec: QuantizeSpec, model: Artifact, source: Source, out: Path, work: Path, store: Store, tell: Tell
) -> dict[str, Any]:
    """Give the certificate of a folder. Raises GateError where it does not pass and such a thing is to be refused."""
    row = KINDS[spec.kind]
    template = open_template(source.folder)
    reference = _reference(model, template, store, work, tell)
    subject, parity = OPENED[row.engine](out, template, source, work)
    try:
        figures = certificate.certify(subject, reference, parity, tell)
    finally:
        if isinstance(subject, Closing):
            subject.close()
    figures |= {"bytes": size_bytes(out), "reference_bytes": size_bytes(source.folder)}
    mend = f"make kind={row.better}" if row.better else "serve the model itself"
    return pass_or_refuse(
        spec.kind, figures, BOUNDS[row.holds], refuse=spec.refuse, where=str(model.folder), mend=mend, tell=tell
    )


def _reference(model: Artifact, template: Template, store: Store, work: Path, tell: Tell) -> Reference:
    origin = origin_of(store, model)
    subject = origin.open()
    try:
        return record(subject, template, held_out(store, model), origin.name, work / "reference", tell)
    finally:
        del subject
        gc.collect()  # one model in memory at a time


def _openvino(out: Path, template: Template, source: Source, work: Path) -> tuple[Subject, Callable[[], bool]]:
    from luthier.engine.subject_openvino import OpenvinoSubject

    return OpenvinoSubject(out, template.stop_ids), lambda: _same_ids(out, template)


def _same_ids(out: Path, template: Template) -> bool:
    """Whether the tokenizer's graph gives the ids of the tokenizer, for every probe."""
    import openvino_tokenizers

    from luthier.engine.openvino_core import core

    assert openvino_tokenizers  # its import teaches the runtime the operations of such graphs
    graph = core().compile_model(out / "openvino_tokenizer.xml", "CPU")
    return all(
        graph([text])["input_ids"][0].tolist() == template.tokenizer(text)["input_ids"] for text in _texts(template)
    )


def _texts(template: Template) -> list[str]:
    """Give the probes as they stand, and as prompts in the template's form."""
    texts = [*probes()["questions"], *probes()["passages"]]
    return [*texts, *(template.tokenizer.decode(template.prompt([certificate.asked(text)])) for text in texts)]


def _torch(out: Path, template: Template, source: Source, work: Path) -> tuple[Subject, Callable[[], bool]]:
    device = choose_device().value
    dtype = choose_dtype(device).value
    subject = open_torch(out, dtype=dtype, device=device, trusted=source.trust_remote_code)
    return subject, lambda: open_template(out).hashes() == template.hashes()


def _gguf(out: Path, template: Template, source: Source, work: Path) -> tuple[Subject, Callable[[], bool]]:
    from luthier.engine.subject_gguf import GgufSubject

    subject = GgufSubject(out / "model.gguf", source.project, template)

    def parity() -> bool:
        texts = _texts(template)
        wanted = [template.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        return subject.template == template.tokenizer.chat_template and subject.ids(texts) == wanted

    return subject, parity


Opened = Callable[[Path, Template, Source, Path], tuple[Subject, Callable[[], bool]]]
OPENED: dict[str, Opened] = {"openvino": _openvino, "transformers": _torch, "gguf": _gguf}
"""Engine -> how its artifacts are opened, and what says that token ids are the same."""
