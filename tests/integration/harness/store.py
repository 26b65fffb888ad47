"""The directory that pgsplice takes as its store, from the sentinel's side."""

import json
import os
import shutil

from .wait import wait_until


class FileStore:
    def __init__(self, directory, cluster="test", prefix="stolon/cluster", create=True):
        self.directory = str(directory)
        self.cluster = cluster
        self.prefix = prefix
        self.root = os.path.join(self.directory, prefix, cluster)
        self.key = os.path.join(self.root, "clusterdata")
        self.info_folder = os.path.join(self.root, "proxies", "info")
        if create:
            self.create()

    def create(self):
        os.makedirs(self.root, exist_ok=True)

    def remove(self):
        shutil.rmtree(self.directory)

    def put(self, document):
        """Replaces the cluster data at once. document: a dict, or the text itself."""
        text = document if isinstance(document, (str, bytes)) else json.dumps(document)
        data = text.encode() if isinstance(text, str) else text
        temporary = os.path.join(self.directory, ".new-clusterdata")
        with open(temporary, "wb") as f:
            f.write(data)
        os.rename(temporary, self.key)

    def delete(self):
        os.unlink(self.key)

    def proxies(self):
        """The uids that have a ProxyInfo now."""
        try:
            return sorted(os.listdir(self.info_folder))
        except FileNotFoundError:
            return []

    def info_text(self, uid):
        try:
            with open(os.path.join(self.info_folder, uid), encoding="utf-8") as f:
                return f.read()
        except FileNotFoundError:
            return None

    def info(self, uid):
        """The ProxyInfo of uid, None if there is none."""
        text = self.info_text(uid)
        return None if text is None else json.loads(text)

    def wait_for_info(self, uid, condition=lambda info: True, timeout=10.0):
        """Returns the first ProxyInfo of uid for which condition(info) is true."""

        def seen():
            info = self.info(uid)
            return info if info is not None and condition(info) else None

        return wait_until(seen, timeout, lambda: f"ProxyInfo is {self.info_text(uid)}",
                          step=0.001)

    def wait_for_generation(self, uid, generation, timeout=10.0):
        return self.wait_for_info(uid, lambda i: i["Generation"] == generation, timeout)

    def wait_for_new_info(self, uid, timeout=10.0):
        """A publish that happens after this call."""
        before = (self.info(uid) or {}).get("infoUID")
        return self.wait_for_info(uid, lambda i: i["infoUID"] != before, timeout)

    # Faults

    def lose(self):
        """The directory is gone: reads and writes fail. bring_back() undoes it."""
        os.rename(self.directory, self.directory + ".lost")

    def bring_back(self):
        os.rename(self.directory + ".lost", self.directory)

    def refuse_info(self):
        """Cluster data can be read, but no ProxyInfo written."""
        os.makedirs(os.path.dirname(self.info_folder), exist_ok=True)
        with open(self.info_folder + ".file", "w", encoding="utf-8") as f:
            f.write("not a folder")

        def takes_its_place():
            shutil.rmtree(self.info_folder, ignore_errors=True)
            try:
                os.rename(self.info_folder + ".file", self.info_folder)
            except OSError:
                return False  # the proxy has made the folder again
            return True

        wait_until(takes_its_place)

    def accept_info(self):
        os.unlink(self.info_folder)
