"""Certificates for the tests, made by openssl: an authority and what it signs."""

import os
import shutil
import ssl
import subprocess


def _openssl(*args):
    done = subprocess.run(["openssl", *args], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, f"openssl {args}: {done.stderr}"


class Certificate:
    def __init__(self, folder, name):
        self.cert = os.path.join(folder, name + ".pem")
        self.key = os.path.join(folder, name + ".key")

    def copy_to(self, other):
        """Puts this in the place of other's files, as a rotation does: by rename."""
        for mine, theirs in ((self.key, other.key), (self.cert, other.cert)):
            shutil.copy(mine, theirs + ".new")
            os.rename(theirs + ".new", theirs)


class Authority:
    def __init__(self, folder, name="ca"):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.own = Certificate(self.folder, name)
        self.file = self.own.cert
        self._key(self.own.key)
        _openssl("req", "-x509", "-new", "-key", self.own.key, "-days", "30",
                 "-subj", "/CN=" + name, "-out", self.own.cert)

    @staticmethod
    def _key(path):
        _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)

    def issue(self, name, names=("IP:127.0.0.1", "DNS:localhost"), days=30, subject="/CN="):
        """names as of subjectAltName; negative days: expired."""
        made = Certificate(self.folder, name)
        base = os.path.join(self.folder, name)
        self._key(made.key)
        _openssl("req", "-new", "-key", made.key, "-subj", subject + name, "-out", base + ".csr")
        with open(base + ".ext", "w", encoding="utf-8") as f:
            f.write(f"subjectAltName={','.join(names)}\n"
                    "extendedKeyUsage=serverAuth,clientAuth\n")
        _openssl("x509", "-req", "-in", base + ".csr", "-CA", self.own.cert,
                 "-CAkey", self.own.key, "-set_serial", str(int.from_bytes(os.urandom(8), "big")),
                 "-days", str(days), "-extfile", base + ".ext", "-out", made.cert)
        return made

    def context(self, client=None):
        """For the tests' own connections."""
        context = ssl.create_default_context(cafile=self.file)
        if client is not None:
            context.load_cert_chain(client.cert, client.key)
        return context

    def flags(self, client=None):
        """What pgsplice needs to trust this authority, and to show a certificate."""
        flags = ["--store-ca-file=" + self.file]
        if client is not None:
            flags += ["--store-cert-file=" + client.cert, "--store-key=" + client.key]
        return flags
