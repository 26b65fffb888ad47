"""Patroni's REST interface over https: who shows the right certificate is believed, who
shows another one cannot be asked."""

import shutil

import pytest

from harness import Pgsplice, connect, holds_for, run_to_end, wait_until
from harness.direct import receive_line
from harness.patroni_keys import ScriptedCluster
from harness.tls import Authority

ALWAYS = "--confirm-leader=always"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def start(authority, tmp_path):
    """A function that starts a cluster over https and a proxy."""
    started = []

    def begin(*flags, **rest):
        cluster = ScriptedCluster(tmp_path / "store", "pg1", "pg2",
                                  certificate=authority.issue("rest"), **rest)
        started.append(cluster)
        proxy = Pgsplice(None, cluster.options(*flags))
        started.append(proxy)
        return cluster, proxy

    yield begin
    for thing in reversed(started):
        thing.close()


def met(proxy):
    """The name of the member that a new client reaches; None: it is closed."""
    try:
        with connect(proxy.port) as sock:
            return receive_line(sock)
    except OSError:
        return None


def wait_for_member(proxy, name, timeout=10.0):
    wait_until(lambda: met(proxy) == name, timeout, f"no client reaches {name}")


def test_leader_says_over_https_that_it_leads(authority, start):
    cluster, proxy = start(ALWAYS, f"--probe-ca-file={authority.file}")
    wait_for_member(proxy, "pg1")
    cluster.lock("pg2")
    proxy.wait_for_log('reason=read-only.* holder=pg2')
    assert met(proxy) is None
    cluster["pg1"].says("replica")
    cluster["pg2"].says("primary", timeline=2)
    wait_for_member(proxy, "pg2", timeout=2)


def test_certificate_of_another_authority_is_refused_until_the_file_is_replaced(
        authority, start, tmp_path):
    other = Authority(tmp_path / "other", "other")
    trusted = tmp_path / "trusted.pem"
    shutil.copy(other.file, trusted)
    cluster, proxy = start(ALWAYS, f"--probe-ca-file={trusted}")
    proxy.wait_for_log("patroni: a server has another answer.*member=pg1.*answer=error"
                       f".*not signed by anybody in {trusted}")
    holds_for(lambda: met(proxy) is None, 0.5)
    assert cluster["pg1"].rest.asked == 0
    shutil.copy(authority.file, tmp_path / "new.pem")
    (tmp_path / "new.pem").rename(trusted)
    wait_for_member(proxy, "pg1")
    # It was said when it began, not each time.
    assert len(proxy.find_log("another answer.*member=pg1.*answer=error")) == 1


def test_record_suffices_where_its_certificate_is_refused(start):
    """As with one that cannot be asked for any other reason, without confirm=always."""
    cluster, proxy = start()
    proxy.wait_for_log("member=pg1.*answer=error")
    cluster.write_record("pg1", "primary", wal=83907681)  # as it does all the time
    wait_for_member(proxy, "pg1")
    assert cluster["pg1"].rest.asked == 0
    assert proxy.find_log("not signed by anybody in the system's certificates")


def test_no_certificate_is_checked_if_asked_for(start):
    cluster, proxy = start(ALWAYS, "--probe-skip-tls-verify")
    wait_for_member(proxy, "pg1")
    assert cluster["pg1"].rest.asked > 0
    assert proxy.find_log("level=warn.*certificate is not checked")


def test_client_certificate_where_patroni_wants_one(authority, start):
    client = authority.issue("probe")
    _, proxy = start(ALWAYS, f"--probe-ca-file={authority.file}",
                     f"--probe-cert-file={client.cert}", f"--probe-key={client.key}",
                     client_ca=authority.file)
    wait_for_member(proxy, "pg1")


def test_without_its_client_certificate_it_says_what_is_missing(authority, start):
    _, proxy = start(ALWAYS, f"--probe-ca-file={authority.file}", client_ca=authority.file)
    proxy.wait_for_log("member=pg1.*answer=error.*wants a client certificate")
    assert met(proxy) is None


@pytest.mark.parametrize("option", ["ca-file", "cert-file"])
def test_file_that_cannot_be_used_is_refused_at_the_start(authority, tmp_path, option):
    cluster = ScriptedCluster(tmp_path / "store", "pg1")
    key = [f"--probe-key={authority.own.key}"] if option == "cert-file" else []
    try:
        done = run_to_end(*cluster.options(f"--probe-{option}={tmp_path}/none.pem", *key))
    finally:
        cluster.close()
    assert done.returncode == 1
    assert f"{tmp_path}/none.pem: No such file" in done.stderr
    assert "--probe-ca-file" in done.stderr
