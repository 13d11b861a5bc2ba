"""Generated files say what their sources say."""

from lrdsl import codegen


def test_nothing_is_stale() -> None:
    assert [path.name for path in codegen.stale()] == [], "run `python -m lrdsl.codegen`"


def test_every_opcode_is_in_the_table() -> None:
    listed = codegen.opcodes()
    for row in codegen.OPCODES:
        assert f"({row.name}, {row.arity}" in listed
