"""Function+offset to file and line, on objects that the machine's compiler made a moment ago."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import proc
from harness.console import Splat
from harness.errors import LabError
from harness.symbols import Decoder, decode
from harness.vmlinux import Image

ONE = """\
static int shared(int x)
{
	return x * 3;
}
int (*volatile one)(int) = shared;
__attribute__((noinline)) void warn(void)
{
	__asm__ volatile ("");
}
void calls(void)
{
	warn();
	__asm__ volatile ("nop");
}
int main(void)
{
	calls();
	return one(1);
}
"""
TWO = """\
static int shared(int x)
{
	for (int k = 0; k < x; k++)
		__asm__ volatile ("nop");
	return x;
}
int (*volatile two)(int) = shared;
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("linux")
    (place / "mm").mkdir()
    (place / "mm" / "one.c").write_text(ONE)
    (place / "mm" / "two.c").write_text(TWO)
    build = place / "build"
    build.mkdir()
    argv = ["gcc", "-gdwarf-5", "-O0", f"-fdebug-prefix-map={place}=../../linux", "-o", "program"]
    proc.run([*argv, str(place / "mm" / "one.c"), str(place / "mm" / "two.c")], cwd=build)
    return build / "program"


def line_of(text: str, word: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), start=1) if word in line)


def test_a_function_is_found_in_its_file_named_from_the_top_of_the_tree(program: Path) -> None:
    with Image(program) as image:
        assert Decoder(image).line("calls", 0) == f"mm/one.c:{line_of(ONE, 'void calls') + 1}"


def test_the_size_tells_static_functions_of_one_name_apart(program: Path) -> None:
    with Image(program) as image:
        sizes = [symbol.size for symbol in image.symbols["shared"]]
        assert len(set(sizes)) == 2
        decoder = Decoder(image)
        found = {decoder.line("shared", 0, size) for size in sizes}
    assert found == {"mm/one.c:2", "mm/two.c:2"}


def test_an_entry_of_the_stack_names_the_call_and_not_the_line_after_it(program: Path) -> None:
    with Image(program) as image:
        decoder = Decoder(image)
        (symbol,) = image.symbols["calls"]
        call, after = line_of(ONE, "\twarn();"), line_of(ONE, '("nop")')
        rows = {offset: decoder.line("calls", offset, returns=True) for offset in range(1, symbol.size)}
        back = next(offset for offset in rows if decoder.line("calls", offset) == f"mm/one.c:{after}")
    assert rows[back] == f"mm/one.c:{call}"


def test_a_suffix_of_the_compiler_does_not_hide_the_function(program: Path) -> None:
    with Image(program) as image:
        decoder = Decoder(image)
        assert decoder.line("calls.isra.0", 0) == decoder.line("calls", 0)
        assert decoder.line("calls.constprop.0.cold", 0) == decoder.line("calls", 0)


def test_what_is_not_in_the_kernel_has_no_line(program: Path) -> None:
    with Image(program) as image:
        decoder = Decoder(image)
        assert decoder.line("no_such_function", 4) is None
        assert decoder.at(0) is None
        assert decoder.at(1 << 60) is None


def test_each_line_of_a_splat_is_followed_by_its_place(program: Path) -> None:
    lines = (
        "WARNING: at warn+0x0/0x1, CPU#0: sh/1",
        "Call Trace:",
        " <TASK>",
        " calls+0x5/0x20",
        " ? nobody+0x1/0x2",
        "Modules linked in:",
    )
    said = decode(Splat("warning", lines[0], lines, ""), program)
    assert said[0] == f"WARNING: at warn+0x0/0x1 (mm/one.c:{line_of(ONE, 'void warn') + 1}), CPU#0: sh/1"
    assert said[3] == f" calls+0x5/0x20 (mm/one.c:{line_of(ONE, chr(9) + 'warn();')})"
    assert [said[k] for k in (1, 2, 4, 5)] == [lines[k] for k in (1, 2, 4, 5)]


@pytest.mark.parametrize("content", [b"", b"no ELF file at all", b"\x7fELF\x02\x01\x01" + bytes(20)])
def test_a_file_that_is_no_kernel_is_the_laboratorys_fault(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "vmlinux"
    path.write_bytes(content)
    with pytest.raises(LabError, match="no ELF file"):
        Image(path)


def test_a_kernel_without_debug_information_is_told(program: Path, tmp_path: Path) -> None:
    stripped = tmp_path / "stripped"
    proc.run(["strip", "--strip-debug", "-o", str(stripped), str(program)])
    with pytest.raises(LabError, match="no debug information"):
        Image(stripped)
