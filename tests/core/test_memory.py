"""How much memory is told: of the machine, by whatever tells it, and of the container around it."""

import builtins
import os
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from moviegen_core import memory

GIB = 2**30


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine that tells nothing: no psutil, no /proc, no sysconf, no container."""
    plain = builtins.__import__

    def without_psutil(name, *arguments, **options):
        if name == "psutil":
            raise ImportError(name)
        return plain(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_psutil)
    monkeypatch.delattr(os, "sysconf", raising=False)
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    return tmp_path


def proc(system, total=64, free=40):
    (system / "meminfo").write_text(f"MemTotal: {total * 2**20} kB\nMemAvailable: {free * 2**20} kB\n")


def container(system, limit, used, cached=0):
    (system / "memory.max").write_text(f"{limit}\n")
    (system / "memory.current").write_text(f"{used}\n")
    (system / "memory.stat").write_text(f"anon {used - cached}\ninactive_file {cached}\n")


def test_nothing_is_told_where_nothing_tells(system):
    assert memory.memory_bytes() == (0, 0)


def test_what_the_kernel_says_is_told(system):
    proc(system)
    assert memory.memory_bytes() == (64 * GIB, 40 * GIB)


def test_pages_are_counted_where_there_is_no_proc(system, monkeypatch):
    told = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 100, "SC_AVPHYS_PAGES": 30}
    monkeypatch.setattr(os, "sysconf", told.__getitem__, raising=False)
    assert memory.memory_bytes() == (409600, 122880)


def test_psutil_is_asked_where_it_is_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=3 * GIB, available=GIB))
    assert memory.memory_bytes() == (3 * GIB, GIB)


def test_this_machine_has_memory_of_which_some_is_free():
    total, free = memory.memory_bytes()
    assert 0 < free < total


def test_container_limits_what_the_machine_has(system):
    proc(system)
    container(system, 8 * GIB, 5 * GIB, cached=2 * GIB)
    assert memory.memory_bytes() == (8 * GIB, 5 * GIB)
    container(system, 8 * GIB, 9 * GIB)
    assert memory.memory_bytes() == (8 * GIB, 0)


@pytest.mark.parametrize("limit", ["max", 2**63 - 4096])
def test_container_without_a_limit_changes_nothing(system, limit):
    proc(system)
    container(system, limit, GIB)
    assert memory.memory_bytes() == (64 * GIB, 40 * GIB)


def test_machine_that_is_fuller_than_its_container_counts(system):
    proc(system, free=1)
    container(system, 8 * GIB, GIB)
    assert memory.memory_bytes() == (8 * GIB, GIB)


def test_older_containers_are_read_too(system):
    proc(system)
    (system / "memory").mkdir()
    for name, amount in (("limit_in_bytes", 4 * GIB), ("usage_in_bytes", GIB)):
        (system / "memory" / f"memory.{name}").write_text(str(amount))
    (system / "memory" / "memory.stat").write_text("total_inactive_file 0")
    assert memory.memory_bytes() == (4 * GIB, 3 * GIB)


GROWING = """
from moviegen_core.memory import growth
def filled(megabytes):
    held = bytearray(megabytes * 2**20)
    held[:: 2**12] = b"x" * len(held[:: 2**12])
    return held
filled(300)
with growth() as grown:
    newer = filled(100)
    print(grown() // 2**20)
"""


def test_growth_forgets_what_was_held_before():
    """In a process of its own: in one that keeps freed buffers, these would be used again."""
    told = subprocess.run([sys.executable, "-c", GROWING], capture_output=True, text=True, check=True)
    assert 90 < int(told.stdout) < 150
