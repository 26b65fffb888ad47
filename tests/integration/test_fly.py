"""packaging/fly/pgsplice-fly with the variables of a Fly VM, on a Consul whose
token may write below its prefix only."""

import json
import os
import pathlib
import subprocess

import pytest

from harness import binary, echoes
from harness.consul import ConsulStore
from harness.fake_consul import FakeConsul

pytest_plugins = ["harness.consul_stage"]

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "packaging/fly/pgsplice-fly"
SECRET = "77777777-2222-3333-4444-555555555555"
HOSTS = """127.0.0.1\tlocalhost
# fdaa:0:1:2:3:4:5:6\tfly-local-6pn
fdaa:0:2e26:a7b:775b:4009:bf60:2\tfly-local-6pn
"""


@pytest.fixture(params=["fake", "real"])
def guarded(request):
    if request.param == "real":
        consul = request.getfixturevalue("guarded_consul")
        consul.client.allow("my-pg-prefix/", SECRET, node="my-pg-prefix/")
        yield consul
        return
    fake = FakeConsul()
    fake.client.token = fake.token = SECRET
    yield fake
    fake.close()


@pytest.fixture
def machine(tmp_path):
    """The environment of a VM with a hosts file and a folder for its data."""
    (tmp_path / "hosts").write_text(HOSTS)
    (tmp_path / "data").mkdir()
    return {"PGSPLICE_BIN": binary(), "FLY_APP_NAME": "my-pg",
            "FLY_POSTGRES_HOSTS": str(tmp_path / "hosts"),
            "FLY_POSTGRES_DATA": str(tmp_path / "data")}


class FlyStore(ConsulStore):
    """All that is asked for comes from the environment."""

    def flags(self):
        return ["--listen-address=127.0.0.1"]


def fly_url(consul, path="my-pg-prefix/"):
    return consul.url.replace("http://", f"http://x:{SECRET}@") + "/" + path


@pytest.fixture
def stage(guarded, machine, make_store_stage, monkeypatch):
    made = make_store_stage(FlyStore(guarded.client, "my-pg", "my-pg-prefix"))
    start = made.start_proxy
    env = {**machine, "FLY_CONSUL_URL": fly_url(guarded)}
    # The script ends in an exec: it stands where the program would.
    monkeypatch.setattr("harness.process.binary", lambda: str(SCRIPT))
    made.start_proxy = lambda *args, **more: start(*args, env={**env, **more.pop("env", {})},
                                                   **more)
    return made


def test_the_whole_flow_as_the_vms_proxy(guarded, stage):
    stage.ready(check_interval="1s", proxy_timeout="5s")
    client = stage.client()
    assert echoes(client)
    session = guarded.client.session(stage.store.session_of(stage.proxy.uid))
    # The last four groups of the address, joined as Fly does it.
    assert session["Node"] == "my-pg-prefix/775b4009bf602"
    stage.change_leader("db2")
    code, seconds = stage.proxy.stop(2)  # SIGINT, as Fly stops it
    assert code == 0 and seconds < 2
    assert stage.store.proxies() == []
    assert SECRET not in "\n".join(stage.proxy.log())


def test_the_keepers_state_names_the_node(guarded, stage, machine):
    with open(os.path.join(machine["FLY_POSTGRES_DATA"], "keeperstate"), "w",
              encoding="utf-8") as f:
        json.dump({"UID": "uid-of-keeper", "ClusterUID": "x"}, f)
    stage.ready(check_interval="1s", proxy_timeout="5s")
    session = guarded.client.session(stage.store.session_of(stage.proxy.uid))
    assert session["Node"] == "my-pg-prefix/uid-of-keeper"


# What the script makes of its variables


def result(machine, tmp_path, **env):
    """The variables with which it starts pgsplice."""
    program = tmp_path / "print-environment"
    program.write_text("#!/bin/sh\nexec env\n")
    program.chmod(0o755)
    done = subprocess.run([SCRIPT], env={"PATH": os.environ["PATH"], **machine,
                                         "PGSPLICE_BIN": str(program), **env},
                          capture_output=True, text=True, timeout=10, check=False)
    return done, dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def test_what_is_set_already_wins(machine, tmp_path):
    _, made = result(machine, tmp_path, FLY_CONSUL_URL="https://:t@c/p/", PG_PROXY_PORT="6432",
                     STPROXY_CLUSTER_NAME="theirs", PGSPLICE_STORE_NODE="mine")
    assert "PGSPLICE_CLUSTER_NAME" not in made
    assert made["PGSPLICE_STORE_NODE"] == "mine"
    assert made["PGSPLICE_PORT"] == "6432"
    assert made["PGSPLICE_STORE_URL"] == "https://:t@c/p/"


@pytest.mark.parametrize("url, node", [
    ("https://:t@c.example/my-prefix", "my-prefix/775b4009bf602"),
    ("https://:t@c.example:8501/a/b//", "a/b/775b4009bf602"),
    ("http://c.example/", None),
    ("http://c.example", None),
])
def test_the_node_is_below_the_prefix_of_the_url(machine, tmp_path, url, node):
    _, made = result(machine, tmp_path, FLY_CONSUL_URL=url)
    assert made.get("PGSPLICE_STORE_NODE") == node


def test_etcd_has_its_own_variables_and_no_node(machine, tmp_path):
    _, made = result(machine, tmp_path, BACKEND_STORE="etcdv3", ETCD_URL="http://u:p@e:2379/x",
                     FLY_CONSUL_URL="https://:t@c/p/")
    assert made["PGSPLICE_STORE_URL"] == "http://u:p@e:2379/x"
    assert "PGSPLICE_STORE_NODE" not in made


def test_without_an_address_the_node_is_local(machine, tmp_path):
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n")
    _, made = result(machine, tmp_path, FLY_CONSUL_URL="https://:t@c/p/")
    assert made["PGSPLICE_STORE_NODE"] == "p/local"


def test_no_store_is_said_clearly(machine, tmp_path):
    done, _ = result(machine, tmp_path)
    assert done.returncode == 1 and "FLY_CONSUL_URL" in done.stderr


def test_shellcheck_has_nothing_to_say():
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
