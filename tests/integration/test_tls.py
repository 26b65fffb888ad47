"""TLS to the store: what is refused and how it is said, and files that are
replaced while clients work."""

import os
import re
import shutil
import socket
import ssl
import threading
import time

import pytest

from harness import Pgsplice, echoes, end_of, holds_for, run_to_end, wait_for_probe, wait_until
from harness.etcd_store import EtcdStore
from harness.fake_consul import FakeConsul
from harness.ports import free_port
from harness.stores import TlsEtcd
from harness.tls import Authority

pytest_plugins = ["harness.consul_stage"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def client_cert(authority):
    return authority.issue("client", subject="/O=")


@pytest.fixture(scope="module")
def etcd(authority, client_cert, tmp_path_factory):
    server = TlsEtcd(tmp_path_factory.mktemp("etcd"), authority, authority.issue("etcd"),
                     client_cert).start()
    yield server
    server.kill()


@pytest.fixture
def stage(etcd, make_store_stage):
    return make_store_stage(EtcdStore([etcd.url]))


def flags_of(store, *more):
    flags = [*EtcdStore.flags(store), *more]
    store.flags = lambda: flags


class TlsListener:
    """Shows a certificate, and answers nothing: for what fails before that."""

    def __init__(self, certificate, version=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert, certificate.key)
        if version:
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = version
            context.set_ciphers("ALL:@SECLEVEL=0")
        self.names = []
        context.sni_callback = lambda sock, name, ctx: self.names.append(name)
        self.port = free_port()
        self.handshakes = 0
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            with self._context.wrap_socket(sock, server_side=True) as tls:
                self.handshakes += 1
                tls.recv(1)
        except OSError:
            pass

    def close(self):
        self._socket.close()


@pytest.fixture
def listen(request):
    def start(*args, **keywords):
        made = TlsListener(*args, **keywords)
        request.addfinalizer(made.close)
        return made
    return start


def start(port, *flags, host="127.0.0.1"):
    return Pgsplice(None, ["--cluster-name=c", "--store-backend=consul",
                           f"--store-endpoints=https://{host}:{port}", *flags])


def complaint(port, *flags, host="127.0.0.1"):
    """What the log says of the reads, which it must say once, not each time."""
    proxy = start(port, *flags, host=host)
    try:
        line = proxy.wait_for_log("cannot read the cluster data")
        # Twice where the reason becomes known only later.
        holds_for(lambda: len(proxy.find_log("cannot read the cluster data")) <= 2, 1.0)
        return line
    finally:
        proxy.close()


def test_a_server_of_another_authority_is_refused(authority, listen, tmp_path):
    listener = listen(authority.issue("right"))
    other = Authority(tmp_path, "other")
    line = complaint(listener.port, *other.flags())
    assert "not signed by anybody in " + other.file in line
    assert listener.handshakes == 0
    line = complaint(listener.port)
    assert "not signed by anybody in the system's certificates" in line


def test_an_expired_certificate_is_refused(authority, listen):
    listener = listen(authority.issue("expired", days=-1))
    line = complaint(listener.port, *authority.flags())
    assert "cannot be accepted: certificate has expired" in line


@pytest.mark.parametrize("names, host", [
    (["DNS:other.example"], "127.0.0.1"),
    (["IP:127.0.0.2"], "127.0.0.1"),
    (["DNS:127.0.0.1"], "127.0.0.1"),  # a name is no address
    (["DNS:other.example", "IP:127.0.0.1"], "localhost"),
    (["DNS:local*"], "localhost"),
    (["email:a@b.example"], "localhost"),
])
def test_a_certificate_for_another_name_is_refused(authority, listen, names, host):
    listener = listen(authority.issue("localhost", names))  # the CN does not count
    line = complaint(listener.port, *authority.flags(), host=host)
    assert f"the server's certificate is not for {host}" in line
    assert listener.handshakes == 0


def test_the_server_is_told_which_name_is_wanted(authority, listen):
    listener = listen(authority.issue("named"))
    for host, wanted in (("localhost", "localhost"), ("127.0.0.1", None)):
        proxy = start(listener.port, *authority.flags(), host=host)
        wait_until(lambda: listener.handshakes > 0)
        proxy.close()
        assert listener.names[-1] == wanted
        listener.handshakes = 0


def test_old_versions_of_tls_are_refused(authority, listen):
    listener = listen(authority.issue("old"), version=ssl.TLSVersion.TLSv1_1)
    line = complaint(listener.port, *authority.flags())
    assert re.search(r"TLS: .*(protocol|version)", line), line
    assert listener.handshakes == 0


def test_a_server_without_tls_is_said_to_be_one():
    fake = FakeConsul()
    line = complaint(fake.port)
    fake.close()
    assert "the server does not speak TLS" in line


def test_skipping_the_check_is_warned_of_once_and_works(authority, listen):
    listener = listen(authority.issue("any", ["DNS:other.example"], days=-1))
    proxy = start(listener.port, "--store-skip-tls-verify", "--store-timeout=300ms")
    wait_until(lambda: listener.handshakes > 2)
    assert len(proxy.find_log("level=warn.*certificate is not checked")) == 1
    proxy.close()


def test_no_certificate_where_one_is_wanted_is_said(etcd, authority, tmp_path):
    line = complaint(etcd.port, *authority.flags())
    # A reset may overtake the alert: then "perhaps since it wants".
    assert re.search("the server .*wants a client certificate", line), line
    other = Authority(tmp_path, "strangers").issue("stranger")
    line = complaint(etcd.port, *authority.flags(other))
    assert re.search("the server .*does not accept certificate file " + re.escape(other.cert), line)


def test_a_certificate_without_its_key_is_warned_of(etcd, authority, client_cert):
    proxy = start(etcd.port, *authority.flags(), "--store-cert-file=" + client_cert.cert)
    proxy.wait_for_log("used only together.*certificate=" + re.escape(client_cert.cert))
    proxy.close()


def test_files_that_cannot_be_used_are_named_at_the_start(authority, client_cert, tmp_path):
    other = authority.issue("other")
    encrypted = tmp_path / "encrypted.key"
    assert os.system(f"openssl ec -aes128 -passout pass:x -in {client_cert.key} "
                     f"-out {encrypted} 2>/dev/null") == 0
    for more, text in (
            (["--store-ca-file=/nowhere"], "CA file /nowhere: No such file"),
            (["--store-cert-file=" + client_cert.cert, "--store-key=" + other.key],
             f"{other.key} does not belong to certificate file {client_cert.cert}"),
            (["--store-cert-file=" + client_cert.cert, f"--store-key={encrypted}"],
             f"{encrypted}: it needs a passphrase"),
            (["--store-cert-file=" + client_cert.cert, "--store-key=" + client_cert.cert],
             f"{client_cert.cert}: there is no private key")):
        done = run_to_end("--cluster-name=c", "--store-backend=consul",
                          "--store-endpoints=https://a", *more)
        assert done.returncode == 1 and text in done.stderr
        assert done.stderr.count("\n") == 1


def test_several_authorities_in_one_file(etcd, authority, client_cert, stage, tmp_path):
    bundle = tmp_path / "bundle.pem"
    others = [Authority(tmp_path, f"other{i}") for i in range(3)]
    bundle.write_text("".join(open(a.file, encoding="utf-8").read()
                              for a in [*others, authority]))
    flags_of(stage.store, f"--store-ca-file={bundle}", "--store-cert-file=" + client_cert.cert,
             "--store-key=" + client_cert.key)
    stage.store.client = etcd.client
    stage.ready()


def test_handshakes_resume_the_session_before(authority, listen):
    """The listener never answers, so each read is a connection of its own."""
    listener = listen(authority.issue("resumed"))
    reused = []
    serve = listener._context.wrap_socket

    def wrap(*args, **keywords):
        sock = serve(*args, **keywords)
        reused.append(sock.session_reused)
        return sock

    listener._context.wrap_socket = wrap
    proxy = start(listener.port, *authority.flags(), "--store-timeout=300ms")
    wait_until(lambda: len(reused) > 5)
    proxy.close()
    assert not reused[0] and any(reused[2:]), reused


# Rotation


@pytest.fixture
def rotating(etcd, authority, client_cert, stage, tmp_path):
    """A stage whose proxy has files of its own to be replaced."""
    mine = Authority.__new__(Authority)
    mine.file = str(tmp_path / "ca.pem")
    shutil.copy(authority.file, mine.file)
    stage.cert = authority.issue(f"rotating{time.monotonic_ns()}", subject="/O=")
    flags_of(stage.store, f"--store-ca-file={mine.file}", "--store-cert-file=" + stage.cert.cert,
             "--store-key=" + stage.cert.key)
    stage.store.client = etcd.client
    stage.ca = mine.file
    return stage


def test_certificates_rotated_under_load_cut_nobody_and_are_soon_in_use(
        rotating, authority, etcd):
    stage = rotating.ready(check_interval="500ms", proxy_timeout="5s")
    clients = [stage.client() for _ in range(20)]
    for turn in range(3):
        start_at = stage.proxy.mark()
        began = time.monotonic()
        authority.issue(f"next{turn}", subject="/O=").copy_to(stage.cert)
        stage.proxy.wait_for_log("tls: changed files are in use now", 10, start_at)
        # All connections to etcd are new ones, the watch's as well.
        assert time.monotonic() - began < 10
        holds_for(lambda: all(echoes(c) for c in clients), 0.5)
    assert not stage.proxy.find_log("nobody has confirmed the leader in time|cannot read")
    acknowledged, opened = stage.change_leader("db2")
    assert acknowledged < 1 and opened < 1  # the watch lives


def test_no_connection_stays_on_certificates_that_were_replaced(rotating, authority, etcd):
    stage = rotating.ready(check_interval="500ms", proxy_timeout="5s")

    def connections():
        """The proxy's own ports towards etcd."""
        found = set()
        with open(f"/proc/{stage.proxy.pid}/net/tcp", encoding="utf-8") as f:
            for line in f.readlines()[1:]:
                fields = line.split()
                if fields[2].endswith(f":{etcd.port:04X}") and fields[3] == "01":
                    inode = fields[9]
                    found.add((int(fields[1].split(":")[1], 16), inode))
        own = {os.readlink(f"/proc/{stage.proxy.pid}/fd/{fd}")
               for fd in os.listdir(f"/proc/{stage.proxy.pid}/fd")}
        return {port for port, inode in found if f"socket:[{inode}]" in own}

    before = connections()
    assert before
    authority.issue("anew", subject="/O=").copy_to(stage.cert)
    wait_until(lambda: not before & connections(), 10, lambda: f"{before & connections()}")


def test_broken_new_files_are_told_once_and_those_before_stay(rotating, authority):
    stage = rotating.ready(check_interval="500ms", proxy_timeout="5s")
    client = stage.client()
    with open(stage.cert.cert, "w", encoding="utf-8") as f:
        f.write("not a certificate\n")
    stage.proxy.wait_for_log("changed files cannot be used.*" + re.escape(stage.cert.cert), 10)
    for _ in range(3):
        stage.store.wait_for_new_info(stage.proxy.uid)
    assert echoes(client)
    assert len(stage.proxy.find_log("changed files cannot be used")) == 1
    authority.issue("mended", subject="/O=").copy_to(stage.cert)
    stage.proxy.wait_for_log("changed files are in use now", 10)
    stage.change_leader("db2")


def test_an_authority_that_is_taken_away_is_trusted_no_more(rotating, tmp_path):
    stage = rotating.ready(check_interval="500ms", proxy_timeout="2s")
    client = stage.client()
    other = Authority(tmp_path / "other", "other")
    shutil.copy(other.file, stage.ca + ".new")
    os.rename(stage.ca + ".new", stage.ca)
    assert end_of(client, 15) == "rst"
    stage.proxy.wait_for_log("cannot read the cluster data.*not signed by anybody in " +
                             re.escape(stage.ca))


def test_anonymous_memory_with_tls(rotating):
    stage = rotating.ready(check_interval="200ms", proxy_timeout="2s")
    for turn in range(5):
        stage.change_leader("db2" if turn % 2 == 0 else "db1")
    wait_for_probe(stage.proxy.port, "forwards")
    assert stage.proxy.memory_kb() <= 5 * 1024
