"""etcd with accounts: bare tokens that expire, are forgotten, or are not there."""

import re

import pytest

from harness import Pgsplice, echoes, holds_for, probe, wait_until
from harness.etcd import Etcd

pytest_plugins = ["harness.etcd_stage"]

PASSWORD = "pass:w@rd/%"
IN_URL = "pass%3Aw%40rd%2f%25"


@pytest.fixture
def guarded(own_etcd, make_stage):
    """An etcd with accounts on, and a stage whose proxy may write below its prefix."""
    own_etcd.client.add_user("proxy", PASSWORD, "stolon/cluster/")
    own_etcd.client.enable_accounts()
    stage = make_stage([own_etcd.url])
    stage.store.client = own_etcd.client
    return stage


@pytest.fixture
def password_file(tmp_path):
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    path.chmod(0o600)
    return str(path)


def account(password_file, user="proxy"):
    return [f"--store-user={user}", f"--store-password-file={password_file}"]


def test_user_and_password_file(guarded, password_file):
    stage = guarded.ready(*account(password_file))
    client = stage.client()
    stage.change_leader("db2")
    assert not echoes(client)
    code, _ = stage.proxy.stop()
    assert code == 0
    assert stage.store.proxies() == []


def test_account_in_the_url_which_is_never_logged(guarded, own_etcd):
    stage = guarded
    stage.store.proxy_urls = [own_etcd.url.replace("http://", f"http://proxy:{IN_URL}@")]
    stage.ready("--log-level=debug")
    stage.change_leader("db2")
    own_etcd.stop()
    stage.proxy.wait_for_log(r"cannot read the cluster data.*" + re.escape(own_etcd.url))
    text = "\n".join(stage.proxy.log())
    assert PASSWORD not in text and IN_URL not in text


@pytest.mark.parametrize("user, password", [("proxy", "wrong"), ("nobody", "x")])
def test_a_wrong_password_is_told_clearly_and_nothing_is_served(
        guarded, own_etcd, tmp_path, user, password):
    path = tmp_path / "wrong"
    path.write_text(password)
    path.chmod(0o600)
    stage = guarded
    stage.add_member("db1")
    stage.publish("db1", enabled=[])
    proxy = stage.start_proxy(*account(path, user))
    proxy.wait_for_log(r"cannot read the cluster data.*" + re.escape(own_etcd.url) +
                       r".*authentication failed, invalid user ID or password")
    assert probe(proxy.port) == "refused"
    assert stage.store.proxies() == []


def test_no_account_where_one_is_needed_names_the_option(guarded):
    proxy = guarded.start_proxy()
    proxy.wait_for_log(r"cannot read the cluster data.*user name is empty.*--store-user")


def test_no_right_to_the_prefix_is_told_clearly(guarded, own_etcd, password_file):
    guarded.store.prefix = "another"
    proxy = guarded.start_proxy(*account(password_file))
    proxy.wait_for_log(r"cannot read the cluster data.*permission denied")


def test_no_right_to_write_forwards_nothing(guarded, own_etcd, tmp_path, password_file):
    """It reads, but cannot acknowledge: it must not open."""
    client = own_etcd.client
    client.call("/auth/role/revoke", {"role": "role-proxy", "key": "c3RvbG9uL2NsdXN0ZXIv",
                                      "range_end": "c3RvbG9uL2NsdXN0ZXIw"})
    client.call("/auth/role/grant", {"name": "role-proxy", "perm": {
        "permType": "READ", "key": "c3RvbG9uL2NsdXN0ZXIv", "range_end": "c3RvbG9uL2NsdXN0ZXIw"}})
    stage = guarded
    stage.add_member("db1")
    stage.start_proxy(*account(password_file))
    stage.publish("db1")
    stage.proxy.wait_for_log(r"cannot write our proxy info.*permission denied")
    holds_for(lambda: probe(stage.proxy.port) in ("closed", "refused"), 1, "it forwards", 0.05)


def test_a_restart_of_etcd_forgets_tokens_which_are_renewed(guarded, own_etcd, password_file):
    stage = guarded.ready(*account(password_file), check_interval="500ms", proxy_timeout="5s")
    client = stage.client()
    own_etcd.kill()
    own_etcd.start()
    stage.store.client.log_in("root", "rootpw")
    stage.store.wait_for_new_info(stage.proxy.uid, 4)
    assert echoes(client)
    assert not stage.proxy.find_log("nobody has confirmed the leader in time")
    for uid in ("db2", "db1"):  # and so is that of the watch
        acknowledged, _ = stage.change_leader(uid)
        assert acknowledged < 1.5


@pytest.mark.full
def test_expired_tokens_are_renewed_unseen(tmp_path, make_stage, password_file):
    etcd = Etcd(tmp_path, "short", options=["--auth-token-ttl=1"]).start()
    try:
        etcd.client.add_user("proxy", PASSWORD, "stolon/cluster/")
        etcd.client.enable_accounts()
        stage = make_stage([etcd.url])
        stage.store.client.urls = [etcd.url]

        def as_root(call=stage.store.client.call):
            def retried(path, body, timeout=5):
                try:
                    return call(path, body, timeout)
                except OSError as error:
                    if "auth token" not in str(error) and "user name" not in str(error):
                        raise
                    stage.store.client.token = None
                    stage.store.client.token = call("/auth/authenticate", {
                        "name": "root", "password": "rootpw"}, timeout)["token"]
                    return call(path, body, timeout)
            return retried

        stage.store.client.call = as_root()
        # Its checks are rarer than tokens live: every one of them finds it expired.
        stage.ready(*account(password_file), check_interval="3s", proxy_timeout="8s")
        client = stage.client()
        for _ in range(3):
            stage.store.wait_for_new_info(stage.proxy.uid, 5)
        assert echoes(client)
        assert not stage.proxy.find_log("cannot (read|write)")
    finally:
        etcd.kill()


def test_accounts_may_be_enabled_while_it_runs(own_etcd, own_stage, password_file):
    """Going on without a cut; the proxy has an account from the start, which is not
    needed yet. Before, and after they are disabled again, it works as well."""
    stage = own_stage
    stage.ready(*account(password_file), check_interval="500ms", proxy_timeout="5s")
    client = stage.client()
    own_etcd.client.add_user("proxy", PASSWORD, "stolon/cluster/")
    own_etcd.client.enable_accounts()
    stage.store.client = own_etcd.client
    for _ in range(3):
        stage.store.wait_for_new_info(stage.proxy.uid, 2)
    assert stage.change_leader("db2")[0] < 1
    assert not echoes(client)
    client = stage.client()
    own_etcd.client.call("/auth/disable", {})
    own_etcd.client.token = None
    for _ in range(3):
        stage.store.wait_for_new_info(stage.proxy.uid, 2)
    assert echoes(client)
    assert stage.change_leader("db1")[0] < 1
    assert not stage.proxy.find_log("nobody has confirmed the leader in time")


def test_without_an_account_enabling_them_is_an_outage_until_the_deadline(own_etcd, own_stage):
    stage = own_stage.ready(check_interval="500ms", proxy_timeout="2s")
    own_etcd.client.enable_accounts()
    stage.store.client = own_etcd.client
    stage.proxy.wait_for_log(r"cannot read the cluster data.*--store-user")
    stage.proxy.wait_for_log("nobody has confirmed the leader in time")
    wait_until(lambda: probe(stage.proxy.port) == "refused", 3)
    # Whatever its watch, which etcd never checks again, still brings.
    stage.publish("")
    stage.publish("db2")
    holds_for(lambda: probe(stage.proxy.port) == "refused", 1, "it listens", 0.05)
