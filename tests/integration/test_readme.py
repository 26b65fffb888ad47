"""README.md against the programs it speaks of: every option is there, as it is,
and the memory that it promises suffices."""

import os
import pathlib
import re
import subprocess

import pytest

from harness import run_to_end

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

FOREIGN = {"--buildtype", "--name"}  # meson's, and what stands for any
HIDDEN = {"--debug"}  # works, but is not in --help


def flags_of(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def option_rows():
    """{flag: the cells of its row} of the table of options"""
    section = README.split("\n## Options\n")[1].split("\n## ")[0]
    rows = {}
    for line in section.splitlines():
        if line.startswith("| `--"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            flag = re.match(r"`(--[a-z-]+)", cells[0]).group(1)
            assert flag not in rows, f"two rows for {flag}"
            rows[flag] = cells
    return rows


def help_entries():
    """{flag: its text in --help, on one line}"""
    parts = re.split(r"^ {2}(?:-\w, | {4})(?=--)", run_to_end("--help").stdout, flags=re.M)[1:]
    return {re.match(r"--[a-z-]+", p).group(): " ".join(p.split("\n\n")[0].split())
            for p in parts}


def stolons_flags():
    """The flags whose STPROXY_… variable is read, by their rows."""
    source = (ROOT / "src/config/config.c").read_text(encoding="utf-8")
    rows = re.split(r"\tOPT_[A-Z]+\(", source.split("rows[] = {")[1].split("\n};")[0])[1:]
    return {"--" + re.match(r'\w+, "([a-z-]+)"', row).group(1)
            for row in rows if "OPTION_STOLON" in row}


def test_table_has_exactly_the_options_of_help():
    assert set(option_rows()) == set(help_entries()) - FOREIGN | HIDDEN


def test_defaults_are_those_of_help():
    rows = option_rows()
    for flag, text in help_entries().items():
        match = re.search(r"default ([^;)]+)\)", text)
        if match:
            assert rows[flag][1] == f"`{match.group(1)}`", flag


def test_values_are_named_as_in_help():
    rows = option_rows()
    for flag, text in help_entries().items():
        match = re.match(r"--[a-z-]+ ([A-Z:]+) ", text)
        if match:
            assert rows[flag][0].startswith(f"`{flag} {match.group(1)}`"), flag


def test_marks_of_stolon_proxys_variables_are_right():
    assert {flag for flag, cells in option_rows().items() if cells[2] == "S"} == stolons_flags()


def test_no_flag_is_unknown():
    helps = [[ROOT / "packaging/quickstart", "--help"], [ROOT / "packaging/install-deps", "--help"],
             [ROOT / "tests/run", "--help"], [ROOT / "bench/failover", "--help"]]
    known = set(help_entries()) | HIDDEN | FOREIGN
    for command in helps:
        known |= flags_of(subprocess.run(command, capture_output=True, text=True, check=True,
                                         timeout=20).stdout)
    assert flags_of(README) - known == set()


@pytest.mark.parametrize("path", sorted(set(re.findall(
    r"(?<![\w/])(?:packaging|tests|bench|include|src)/[\w./-]*\w", README))))
def test_path_exists(path):
    assert (ROOT / path).exists()


# A sanitizer keeps memory of its own: nothing could be said of ours.
@pytest.mark.skipif("sanitize" in os.environ.get("PGSPLICE_BIN", ""), reason="not its own memory")
def test_memory_at_the_start(opened):
    assert opened.proxy.memory_kb() <= 3 * 1024
