"""What tests make once a machine, outside of the checkout: programs that take minutes."""

import fcntl
import hashlib
import os
import pathlib


def cached_path(name, *sources):
    """Another one whenever the files that it is made from change."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(cache) / "pgsplice" / f"{name}-{digest.hexdigest()[:12]}"


def make_once(path, make):
    """make() puts it there; of several at a time one does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(str(path) + ".lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            make()
