"""The coarse copy of many vectors misses nothing: what it gives is what reading every vector gives."""

import numpy as np
import numpy.typing as npt
import pytest

from luthier.retrieve import coarse
from luthier.retrieve.matrix import Matrix, best

pytest.importorskip("faiss", reason="FAISS is not installed: pip install 'luthier[faiss]'")

WIDTH = 64


def vectors(count: int, seed: int) -> npt.NDArray[np.float32]:
    """Vectors in clusters, as texts lie."""
    generator = np.random.default_rng(seed)
    centers = generator.standard_normal((50, WIDTH))
    made = (centers[generator.integers(50, size=count)] + 0.4 * generator.standard_normal((count, WIDTH))).astype("f4")
    unit: npt.NDArray[np.float32] = made / np.linalg.norm(made, axis=1, keepdims=True)
    return unit


@pytest.fixture
def matrix(monkeypatch: pytest.MonkeyPatch) -> Matrix:
    monkeypatch.setattr(coarse, "LEAST_ROWS", 1_000)
    made = Matrix(WIDTH)
    made.add(list(range(1, 5_001)), vectors(5_000, 0))
    return made


def test_the_top_ten_is_that_of_every_vector_read(matrix: Matrix) -> None:
    ids, held = np.arange(1, 5_001), vectors(5_000, 0)
    for asked in vectors(50, 1):
        assert matrix.nearest(asked, 10) == best(ids, held @ asked, 10)
    assert matrix._coarse is not None


def test_it_follows_what_comes_and_goes(matrix: Matrix) -> None:
    asked = vectors(1, 2)[0]
    nearest = [number for number, _ in matrix.nearest(asked, 10)]
    matrix.remove(nearest[:3])
    assert [number for number, _ in matrix.nearest(asked, 7)] == nearest[3:]
    matrix.add([9_000], 3 * asked[None])  # beyond all that the copy was made for
    [(number, cosine)] = matrix.nearest(asked, 1)
    assert number == 9_000
    assert cosine == pytest.approx(3.0, rel=1e-5)


def test_many_that_are_alike_are_all_read(matrix: Matrix) -> None:
    asked = vectors(1, 3)[0]
    matrix.add(list(range(20_000, 22_000)), np.repeat(asked[None], 2_000, axis=0))
    assert [number for number, _ in matrix.nearest(asked, 10)] == list(range(20_000, 20_010))


def test_a_few_need_no_copy() -> None:
    small = Matrix(WIDTH)
    small.add([1, 2], vectors(2, 0))
    assert small.nearest(vectors(1, 1)[0], 1)
    assert small._coarse is None
