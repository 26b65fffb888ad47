"""Which Patroni: the one of the system, and a current one that is installed for the tests."""

import os
import pathlib
import shutil
import subprocess
import sys

from .cache import cached_path, make_once

REQUIREMENTS = (pathlib.Path(__file__).resolve().parents[2] / "tools" / "patroni" /
                "requirements.txt")


def find_current(may_install):
    """(path, None) or (None, why not). Installing takes a minute, once a machine."""
    if os.environ.get("PATRONI_CURRENT_BIN"):
        return os.environ["PATRONI_CURRENT_BIN"], None
    folder = cached_path("patroni", REQUIREMENTS)
    program = str(folder / "bin/patroni")
    if folder.exists():
        return program, None
    if not may_install:
        return None, "no current Patroni: it is not installed yet, tests/run --full does that"
    make_once(folder, lambda: _install(folder))
    return program, None


def _install(folder):
    """Half an installation is never found: the folder gets its name at the end."""
    new = str(folder) + ".new"
    shutil.rmtree(new, ignore_errors=True)
    _run(sys.executable, "-m", "venv", new)
    _run(new + "/bin/python", "-m", "pip", "install", "-q", "-r", REQUIREMENTS)
    os.rename(new, folder)


def _run(*command):
    done = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"Patroni cannot be installed: {done.stdout[-2000:]}"


def version_of(program):
    """As in "4.1.5"."""
    done = subprocess.run([*_start_of(program), "--version"], stdin=subprocess.DEVNULL, cwd="/",
                          capture_output=True, text=True, check=True)
    return done.stdout.split()[-1]


def _environment_of(program):
    """The virtual environment that a program is in, or None."""
    folder = pathlib.Path(program).absolute().parent.parent
    return folder if (folder / "pyvenv.cfg").exists() else None


def _start_of(program):
    """Its first line names the place where it was installed: it may have moved."""
    environment = _environment_of(program)
    return [program] if environment is None else [str(environment / "bin/python"), "-m", "patroni"]


def command_for(program, folder):
    """How to start Patroni as the user postgres, who may not get into the home where a
    virtual environment is: then there will be a copy in folder."""
    environment = _environment_of(program)
    if environment is None or os.geteuid() != 0:
        return _start_of(program)
    copy = os.path.join(folder, "patroni")
    shutil.copytree(environment, copy, symlinks=True, ignore=shutil.ignore_patterns("pip"))
    return [copy + "/bin/python", "-m", "patroni"]
