# SPDX-License-Identifier: MIT
"""What is put is what is read, by every way in and out."""

from __future__ import annotations

import array
import ctypes
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy
import orjson
import pytest

from agentmem import Smu, Type, append, attach, put

Fresh = Callable[..., bytes]


def test_content_digest_and_length_are_those_of_the_bytes(fresh: Fresh) -> None:
    data = fresh(100_001)
    with put(data) as smu:
        assert bytes(smu) == data
        assert len(smu) == len(data)
        assert smu.digest == hashlib.sha256(data).digest()
        assert smu.hexdigest == hashlib.sha256(data).hexdigest()


def test_text_is_held_as_utf_8() -> None:
    with put("naïve – 🐍") as smu:
        assert bytes(smu) == "naïve – 🐍".encode()
        assert str(smu, "utf-8") == "naïve – 🐍"


def test_text_that_utf_8_cannot_hold_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        put("\ud800")


def test_whatever_is_a_buffer_can_be_put(fresh: Fresh) -> None:
    data = fresh(64)
    first = put(data)
    for same in (bytearray(data), memoryview(data), array.array("I", data), numpy.frombuffer(data, "u2"), first):
        with put(same) as smu:
            assert smu == first and smu.dedup


@pytest.mark.parametrize("bad", [memoryview(b"abcdef")[::2], numpy.arange(9, dtype="u1")[::3]])
def test_a_buffer_with_gaps_is_refused(bad: memoryview) -> None:
    with pytest.raises((BufferError, ValueError)):
        put(bad)


@pytest.mark.parametrize("bad", [7, None, ["text"], 1.5])
def test_what_is_no_buffer_is_refused(bad: object) -> None:
    with pytest.raises(TypeError, match="bytes-like"):
        put(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("type", Type)
def test_the_type_is_kept(fresh: Fresh, type: Type) -> None:
    with put(fresh(), type) as smu, attach(smu.digest) as other:
        assert smu.type is other.type is type


def test_equal_content_is_one_object(fresh: Fresh) -> None:
    data = fresh()
    with put(data, Type.TOOL_DEF) as first, put(data, Type.TOOL_RESULT) as second:
        assert (first.dedup, second.dedup) == (False, True)
        assert second.type is Type.TOOL_DEF


def test_an_object_is_found_by_its_digest(fresh: Fresh) -> None:
    with put(fresh(5000)) as smu:
        for digest in (smu.digest, bytearray(smu.digest), smu.hexdigest):
            with attach(digest) as found:
                assert found == smu and bytes(found) == bytes(smu) and len(found) == 5000 and found.dedup


def test_an_object_that_nobody_holds_is_not_found(fresh: Fresh) -> None:
    smu = put(fresh())
    smu.close()
    with pytest.raises(FileNotFoundError, match="nobody here holds"):
        attach(smu.digest)


@pytest.mark.parametrize("bad", [b"", b"x" * 31, "00" * 33, "zz" * 32, "zz", " " + "00" * 32])
def test_what_is_no_digest_is_refused(bad: bytes | str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits or 32 bytes; got"):
        attach(bad)


def test_an_append_is_the_whole(fresh: Fresh) -> None:
    start, more = fresh(9000), fresh(700)
    with put(start, Type.TOOL_RESULT) as smu, smu.append(more) as longer, put(start + more) as whole:
        assert longer == whole and whole.dedup
        assert bytes(longer) == start + more and len(longer) == 9700
        assert longer.type is Type.TOOL_RESULT


def test_an_append_outlives_what_it_was_made_from(fresh: Fresh) -> None:
    start = fresh()
    smu = put(start)
    for step in range(200):
        longer = append(smu, f"{step},", Type.CONVERSATION)
        smu.close()
        smu = longer
    assert bytes(smu) == start + b"".join(b"%d," % step for step in range(200))
    assert smu.digest == hashlib.sha256(smu).digest()


def test_a_base_changes_nothing_but_how_it_is_held(fresh: Fresh) -> None:
    data = fresh(400_000)
    with put(data) as base, put(data[:200_000] + b"edit" + data[200_000:], base=base) as smu:
        assert bytes(smu) == data[:200_000] + b"edit" + data[200_000:]
        assert isinstance(smu.delta, bool)


def test_a_base_is_an_smu_or_nothing(fresh: Fresh) -> None:
    with pytest.raises(TypeError, match="base must be an Smu"):
        put(fresh(), base=b"bytes")  # type: ignore[arg-type]
    base = put(fresh())
    base.close()
    with pytest.raises(ValueError, match="closed"):
        put(fresh(), base=base)


# -- reading without a copy --


def test_a_buffer_is_the_objects_own_memory(fresh: Fresh) -> None:
    """Where it lies is a shared, read-only mapping of as many pages."""
    with put(fresh(1 << 20)) as smu:
        view = numpy.frombuffer(smu, "u1")
        at = view.ctypes.data
        rows = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
        (found,) = (row for row in rows if int(row[0].split("-")[0], 16) <= at < int(row[0].split("-")[1], 16))
        assert found[1] == "r--s"
        del view


def test_nothing_can_be_written(fresh: Fresh) -> None:
    with put(fresh()) as smu, memoryview(smu) as view:
        assert view.readonly
        with pytest.raises(TypeError):
            view[0] = 0
        with pytest.raises(TypeError, match="not writable"):
            ctypes.c_char.from_buffer(smu)  # type: ignore[arg-type]
    with put(fresh()) as smu:
        array = numpy.frombuffer(smu, "u1")
        assert not array.flags.writeable
        del array


def test_json_is_parsed_where_it_lies() -> None:
    value = {"role": "user", "content": [1, 2.5, None, "naïve"]}
    with put(orjson.dumps(value)) as smu, memoryview(smu) as view:
        assert orjson.loads(view) == value
        assert json.loads(str(smu, "utf-8")) == value


def test_what_takes_buffers_takes_an_smu(fresh: Fresh, tmp_path: Path) -> None:
    data = fresh(3000)
    with put(data) as smu:
        assert hashlib.sha256(smu).digest() == smu.digest
        assert b"".join([smu, b"!"]) == data + b"!"
        assert (tmp_path / "file").write_bytes(smu) == 3000 and (tmp_path / "file").read_bytes() == data
        assert bytearray(smu)[5:9] == data[5:9]
        assert data.startswith(bytes(memoryview(smu)[:7]))


# -- equality --


def test_equality_is_of_content(fresh: Fresh) -> None:
    data = fresh()
    other = data[:-1] + b"?"
    with put(data) as smu, put(data) as same, put(other) as different:
        assert smu == same and (smu != same) is False and smu != different
        for equal in (data, bytearray(data), memoryview(data)):
            assert smu == equal and equal == smu and (smu != equal) is False
        for unequal in (other, data + b"x", data.decode(), None, 5, object()):
            assert smu != unequal and (smu == unequal) is False
        with pytest.raises(TypeError):
            smu < same  # type: ignore[operator]  # noqa: B015


def test_what_cannot_be_seen_as_bytes_is_compared_its_own_way() -> None:
    with put(b"abcd") as smu:
        spread = memoryview(b"a.b.c.d.")[::2]
        assert smu == spread and spread == smu and smu != spread[:3]
        (released := memoryview(b"abcd")).release()
        assert smu != released and (smu == released) is False


def test_the_hash_goes_with_the_digest(fresh: Fresh) -> None:
    data = fresh()
    with put(data) as smu, put(data) as same, put(fresh()) as different:
        assert len({smu, same, different}) == 2
        assert {smu: 1}[same] == 1
        assert hash(attach(smu.digest)) == hash(smu) != hash(different)


def test_the_largest_content_that_a_test_can_afford(fresh: Fresh) -> None:
    data = fresh(48 << 20)
    with put(data) as smu:
        assert smu == data and isinstance(smu, Smu)
