"""What a hostile or damaged archive can do: be refused."""

import gzip
import io
import tarfile

import pytest
from refusals import refused

import widthwise as ww
from widthwise.data import read_members

CONTENT = {"top/a.bin": bytes(range(256)) * 3, "top/b.bin": b"second" * 50}


def packed(entries):
    """A .tar.gz of (TarInfo, content or None)."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for info, content in entries:
            if content is not None:
                info.size = len(content)
            archive.addfile(info, None if content is None else io.BytesIO(content))
    return file.getvalue()


def regular(name, content):
    return tarfile.TarInfo(name), content


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, None


GOOD = packed([regular(name, content) for name, content in CONTENT.items()])


@pytest.fixture
def path(tmp_path):
    (tmp_path / "good.tar.gz").write_bytes(GOOD)
    return tmp_path / "good.tar.gz"


def refuse(path, *said, **settings):
    """The archive is refused, for a reason that holds these names and numbers of it."""
    with refused("data file", path) as error:
        read_members(path, list(CONTENT), **settings)
    assert all(word in error.value.problem for word in said), str(error.value)


def test_named_members_alone(path, sha256_of):
    assert read_members(path, list(CONTENT)) == CONTENT
    assert read_members(path, ["top/b.bin"], sha256_of(GOOD)) == {"top/b.bin": CONTENT["top/b.bin"]}


def test_nothing_is_written_and_other_names_are_passed_over(path, tmp_path):
    outside = ["../outside", str(tmp_path / "outside"), "top/../../outside", "a.bin", "./top/a.bin2"]
    links = [special("link", tarfile.SYMTYPE, "/etc/passwd"), special("device", tarfile.CHRTYPE)]
    entries = [regular(name, b"evil") for name in outside] + links
    path.write_bytes(packed([*entries, *(regular(name, content) for name, content in CONTENT.items())]))
    before = sorted(tmp_path.rglob("*"))
    assert read_members(path, list(CONTENT)) == CONTENT
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_member_that_is_no_regular_file(path, kind):
    path.write_bytes(packed([regular("secret", b"x"), special("top/a.bin", kind, "secret")]))
    refuse(path, "top/a.bin", repr(kind))


def test_member_that_claims_more_than_memory_holds(path):
    info = tarfile.TarInfo("top/a.bin")
    info.size = 2**40
    path.write_bytes(gzip.compress(info.tobuf()))
    refuse(path, "top/a.bin", "1099511627776 bytes")


def test_missing_member(path):
    path.write_bytes(packed([regular("top/b.bin", b"x")]))
    refuse(path, "lacks top/a.bin")


def test_wrong_hash_is_found_before_anything_is_read(path, sha256_of):
    path.write_bytes(b"no archive at all")
    refuse(path, sha256_of(b"no archive at all"), "0" * 64, sha256="0" * 64)


def test_missing_file(tmp_path):
    for settings in ({}, {"sha256": "0" * 64}):
        refuse(tmp_path / "none.tar.gz", "No such file", **settings)


# Named: a compressed file's time would be part of a test's name, and two workers would collect different tests.
@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", gzip.compress(b"no tar"), gzip.compress(b"x" * 2000)],
    ids=["empty", "plain", "compressed", "long"],
)
def test_not_an_archive(path, content):
    path.write_bytes(content)
    refuse(path)


def test_truncated_anywhere(path):
    for cut in range(len(GOOD)):
        path.write_bytes(GOOD[:cut])
        refuse(path)


def test_damaged_anywhere(path):
    for place in range(len(GOOD)):
        path.write_bytes(GOOD[:place] + bytes([GOOD[place] ^ 0x55]) + GOOD[place + 1 :])
        # Some bytes of gzip's header mean nothing (a date); all other damage must be refused.
        try:
            found = read_members(path, list(CONTENT))
        except ww.InputError:
            continue
        assert found == CONTENT
