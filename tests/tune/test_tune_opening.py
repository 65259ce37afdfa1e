"""What is trained, as an optimizer sees it."""

import pytest

from luthier.artifact.store import Artifact
from luthier.event import hush
from luthier.model.load import load_causal
from luthier.tune.opening import open_trained
from luthier.tune.spec import TuneSpec


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("adapter", "tables"),
    [
        ({"kind": "full"}, {"model.embed_tokens.weight"}),  # the tiny model's head is tied to it
        ({"kind": "lora"}, set()),
        ({"kind": "lora", "save": ("lm_head",)}, {"base_model.model.lm_head.modules_to_save.default.weight"}),
        ({"kind": "prompt"}, {"prompt_encoder.default.embedding.weight"}),
    ],
)
def test_what_has_a_row_for_each_token_is_known_apart(
    tiny_model: Artifact, dtype: str, adapter: dict[str, object], tables: set[str]
) -> None:
    model = load_causal(tiny_model.folder, dtype=dtype, device="cpu")
    opened = open_trained(model, "base", TuneSpec.model_validate({"adapter": adapter}), 4, "CAUSAL_LM", hush)
    assert opened.tables == tables
    assert opened.tables <= opened.named.keys()
