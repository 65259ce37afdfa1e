"""NEFTune's noise: as large as the paper says, per row, only while gradients are made."""

import math

import torch
from torch import nn

from luthier.learn.noise import add_noise
from luthier.model.attention import documents


class Embedder(nn.Module):
    """Nothing but embeddings, all zero: what comes out is the noise."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 64)
        self.table.weight.data.zero_()

    def get_input_embeddings(self) -> nn.Module:
        return self.table

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.table(ids)
        return found


def test_each_rows_noise_reaches_as_far_as_its_length_allows() -> None:
    torch.manual_seed(0)
    model = Embedder().train()
    add_noise(model, 5.0)
    with documents([(0, 100), (100, 500)]):
        noise = model(torch.zeros(1, 500, dtype=torch.long)).detach()[0].abs()
    for part, length in ((noise[:100], 100), (noise[100:], 400)):
        bound = 5.0 / math.sqrt(length * 64)
        assert 0.98 * bound < float(part.max()) <= bound
        assert abs(float(part.mean()) - bound / 2) < 0.02 * bound


def test_no_noise_without_gradients_or_out_of_training() -> None:
    model = Embedder().train()
    add_noise(model, 5.0)
    ids = torch.zeros(1, 7, dtype=torch.long)
    with torch.no_grad():
        assert not model(ids).any()
    assert model(ids).any()
    assert not model.eval()(ids).any()
