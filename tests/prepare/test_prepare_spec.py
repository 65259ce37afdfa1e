"""What may be asked of `prepare`, and how a wrong wish is answered."""

import subprocess
import sys

import pytest

from luthier.errors import SpecError
from luthier.prepare.spec import PrepareSpec
from luthier.spec import make


@pytest.mark.parametrize(
    ("assignments", "what", "where", "mend"),
    [
        (["split.train=0.5"], "split is", "key split", "shares that sum to 1; train + dev + test is 0.6"),
        (["form=sharegpt"], "form is 'sharegpt'", "form=sharegpt", "'alpaca', 'conversations', 'messages'"),
        (["encoding=gbk2"], "encoding is 'gbk2'", "encoding=gbk2", "gb18030"),
        (["columns.user=title"], "columns is", "key columns", "both columns, user and assistant"),
        (["form=columns"], "the spec is", "command line", "columns.user and columns.assistant"),
        (["split.by=group"], "the spec is", "command line", "columns.group"),
        (["split.hold_out.where.a=1", "split.hold_out.tag=x"], "split is", "key split", "by=group"),
        (["columns.usr=title"], "unknown key 'columns.usr'", "columns.usr=title", "did you mean 'user'?"),
        (["lenght.max_tokens=5"], "unknown key 'lenght'", "key lenght", "did you mean 'length'?"),
        (["mix.temperature=3"], "the spec is", "command line", "leave out mix.temperature with mix.by=rows"),
        (["mix.until=first"], "the spec is", "command line", "leave out mix.until with mix.by=rows"),
        (["sets=[{source: a, weight: 2}]"], "the spec is", "command line", "mix.by=weight alone, not rows"),
        (["source=[]"], "source is", "source=[]", "at least 1"),
    ],
)
def test_a_wrong_wish_names_its_value_its_key_and_the_mend(
    assignments: list[str], what: str, where: str, mend: str
) -> None:
    with pytest.raises(SpecError) as caught:
        make(PrepareSpec, assignments)
    assert caught.value.what.startswith(what)
    assert where in caught.value.where
    assert mend in caught.value.mend


def test_columns_named_beside_a_form_of_its_own_are_refused() -> None:
    with pytest.raises(SpecError) as caught:
        make(PrepareSpec, ["form=alpaca", "columns.user=a", "columns.assistant=b"])
    assert "leave out columns.user and columns.assistant" in caught.value.mend


def test_one_path_and_a_list_of_one_path_are_the_same_wish() -> None:
    one = PrepareSpec(source="a.csv")
    assert one == PrepareSpec(source=("a.csv",))
    assert one.model_dump(mode="json")["source"] == ["a.csv"]
    assert one.paths == ("a.csv",)


def test_the_door_and_the_spec_load_no_heavy_library() -> None:
    code = (
        "import sys, luthier.prepare.run, luthier.prepare.spec;"
        "print(sorted({'torch', 'transformers', 'tokenizers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
