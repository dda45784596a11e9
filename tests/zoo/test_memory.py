from __future__ import annotations

import psutil
import pytest

from zoo import memory
from zoo.errors import UserError
from zoo.memory import available_memory, check_memory, readable


@pytest.fixture
def limited(monkeypatch, tmp_path):
    """Sets the memory limits of the two kinds of control group, in the words of their files."""

    def limit(*contents):
        paths = [tmp_path / str(number) for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            if content is not None:
                path.write_text(content)
        monkeypatch.setattr(memory, "LIMITS", [str(path) for path in paths])

    return limit


@pytest.fixture
def machine(monkeypatch):
    """A machine with 8 GB free and a process that has 1 GB."""

    class Machine:
        available, rss = 8_000_000_000, 1_000_000_000

        def memory_info(self):
            return self

    monkeypatch.setattr(psutil, "virtual_memory", Machine)
    monkeypatch.setattr(psutil, "Process", Machine)


@pytest.mark.parametrize(
    ("contents", "available"),
    [
        ((None, None), 8_000_000_000),
        (("max\n", None), 8_000_000_000),
        (("4000000000\n", None), 3_000_000_000),
        ((None, "2000000000\n"), 1_000_000_000),
        (("500000000\n", None), 0),
        ((None, "9223372036854771712\n"), 8_000_000_000),
    ],
    ids=["no container", "no limit", "version 2", "version 1", "over the limit", "version 1 without a limit"],
)
def test_the_available_memory_is_what_machine_and_container_leave(machine, limited, contents, available):
    limited(*contents)
    assert available_memory() == available


def test_the_memory_of_this_machine_is_known():
    assert 0 < available_memory() <= psutil.virtual_memory().total


def test_a_need_beyond_memory_is_refused_with_both_numbers_and_how_to_mend_it(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 1_500_000)
    check_memory("A table", 1_500_000, "Make it smaller.")
    with pytest.raises(UserError) as error:
        check_memory("A table", 2_600_000_000, "Make it smaller.")
    assert str(error.value) == "A table needs 2.6 GB of memory, and 1.5 MB are available. Make it smaller."


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (7_700_000_000, "7.7 GB"),
        (3e15, "3000.0 TB"),
    ],
)
def test_sizes_are_readable(size, text):
    assert readable(size) == text
