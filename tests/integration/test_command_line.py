"""Flags and environment: what is refused, and who beats whom."""

import os

import pytest

from harness import run_to_end

GOOD = ("--cluster-name=c", "--store-backend=file", "--store-endpoints=/nonexistent")


@pytest.mark.parametrize("args, said", [
    (("--store-backend=file", "--store-endpoints=/x"), "cluster name required"),
    (("--cluster-name=c",), "store backend type required"),
    ((*GOOD, "--store-backend=nosuch"), 'Unknown store backend: "nosuch"'),
    (("--cluster-name=c", "--store-backend=file"), "store endpoints required"),
    (("--cluster-name=c", "--store-backend=kubernetes"), "unspecified kubernetes resource kind"),
    (("--cluster-name=c", "--store-backend=kubernetes", "--kube-resource-kind=pod"),
     'wrong kubernetes resource kind: "pod"'),
    (("--cluster-name=c", "--store-backend=consul",
      "--store-endpoints=http://a:1,http://b:1"), "consul does not support multiple endpoints"),
    (("--cluster-name=c", "--store-backend=consul",
      "--store-endpoints=ftp://a:1"), "endpoints scheme must be http or https"),
    (("--cluster-name=c", "--store-backend=consul",
      "--store-endpoints=http://a:1,https://b:1"), "all the endpoints must have the same scheme"),
    ((*GOOD, "--log-level=loud"), "loud"),
    ((*GOOD, "--tcp-keepalive-idle=-1"),
     "tcp keepalive idle value must be greater or equal to 0"),
    ((*GOOD, "--tcp-keepalive-count=-1"),
     "tcp keepalive count value must be greater or equal to 0"),
    ((*GOOD, "--tcp-keepalive-interval=-1"),
     "tcp keepalive interval value must be greater or equal to 0"),
    ((*GOOD, "--store-timeout=5"), "--store-timeout"),
    ((*GOOD, "--connect-timeout=1ms"), "--connect-timeout"),
    ((*GOOD, "--workers=1000"), "--workers"),
    ((*GOOD, "--port=99999"), "--port"),
    ((*GOOD, "--listen-address=1.2.3.4.5"), "--listen-address"),
    ((*GOOD, "--stop-listening=perhaps"), "--stop-listening"),
    ((*GOOD, "--direct-target=replica"), "--direct-target"),
    ((*GOOD, "--direct-target=any", "--direct-port=5432"),
     "--direct-port and --port are both 5432"),
    ((*GOOD, "--direct-max-lag=16"), "it needs a unit"),
    ((*GOOD, "--members=a"), 'it goes with --store-backend=postgres, not "file"'),
    (("--store-backend=postgres",), "--members must say which"),
    (("--members=a", "--probe=postgres"), "--probe=postgres needs --probe-conninfo"),
    ((*GOOD, "--port"), "--port"),
    ((*GOOD, "--no-such-flag"), "unknown flag: --no-such-flag"),
    ((*GOOD, "stray"), "stray"),
])
def test_bad_command_line_is_one_line_and_exit_1(args, said):
    r = run_to_end(*args)
    assert r.returncode == 1
    assert said in r.stderr
    assert len(r.stderr.splitlines()) == 1
    assert r.stdout == ""


def test_refusal_names_flag_value_and_what_is_allowed():
    r = run_to_end(*GOOD, "--workers=1000")
    assert all(part in r.stderr for part in ("--workers", "1000", "0 to 64")), r.stderr


def test_help_lists_every_flag_of_stolon_proxy():
    r = run_to_end("--help")
    assert r.returncode == 0 and r.stderr == ""
    for flag in ("cluster-name", "store-backend", "store-endpoints", "store-prefix",
                 "store-timeout", "store-cert-file", "store-key", "store-ca-file",
                 "store-skip-tls-verify", "kube-resource-kind", "listen-address", "port",
                 "stop-listening", "tcp-keepalive-idle", "tcp-keepalive-count",
                 "tcp-keepalive-interval", "metrics-listen-address", "log-level", "log-color",
                 "version", "help", "pidfile", "workers", "connect-timeout", "log-format"):
        assert f"--{flag}" in r.stdout, flag


def test_version_is_one_line_on_stdout():
    r = run_to_end("--version")
    assert r.returncode == 0 and r.stderr == ""
    assert r.stdout.startswith("pgsplice version ") and len(r.stdout.splitlines()) == 1


@pytest.mark.parametrize("env, args, said", [
    ({"STPROXY_WORKERS": "1000", "PGSPLICE_WORKERS": "1001"}, (), "1001"),
    ({"STPROXY_LOG_LEVEL": "bad"}, ("--log-level=info",), "bad"),
    ({"PGSPLICE_LOG_LEVEL": "bad"}, ("--log-level=info",), "bad"),
])
def test_bad_variable_is_fatal_even_when_the_flag_is_given(env, args, said):
    r = run_to_end(*GOOD, *args, env=env)
    assert r.returncode == 1 and said in r.stderr and len(r.stderr.splitlines()) == 1


@pytest.mark.parametrize("env, args, cluster", [
    ({"STPROXY_CLUSTER_NAME": "st"}, (), "st"),
    ({"STPROXY_CLUSTER_NAME": "st", "PGSPLICE_CLUSTER_NAME": "pg"}, (), "pg"),
    ({"STPROXY_CLUSTER_NAME": "st", "PGSPLICE_CLUSTER_NAME": ""}, (), "st"),
    ({"STPROXY_CLUSTER_NAME": "st", "PGSPLICE_CLUSTER_NAME": "pg"},
     ("--cluster-name=flag",), "flag"),
    ({"STPROXY_CLUSTER_NAME": ""}, ("--cluster-name=flag",), "flag"),
])
def test_command_line_beats_pgsplice_beats_stproxy(start_pgsplice, tmp_path, env, args, cluster):
    proxy = start_pgsplice("--store-backend=file", f"--store-endpoints={tmp_path}", *args,
                           store=None, env=env)
    assert f"cluster={cluster}" in proxy.wait_for_log("pgsplice starts")


def test_environment_alone_is_enough(start_pgsplice, tmp_path):
    proxy = start_pgsplice(store=None, env={
        "STPROXY_CLUSTER_NAME": "c", "STPROXY_STORE_BACKEND": "file",
        "STPROXY_STORE_ENDPOINTS": str(tmp_path), "STPROXY_DEBUG": "true"})
    proxy.wait_for_log("proxy uid")
    proxy.wait_for_log("listening")


def test_cluster_without_a_name_is_logged_without_one(start_pgsplice):
    proxy = start_pgsplice("--members=127.0.0.1:1", store=None)
    assert "cluster=" not in proxy.wait_for_log("pgsplice starts")


def test_metrics_address_is_accepted_with_one_warning(start_pgsplice):
    proxy = start_pgsplice("--metrics-listen-address=127.0.0.1:1")
    proxy.wait_for_log("listening")
    assert len(proxy.find_log("level=warn")) == 1
    assert "metrics-listen-address" in proxy.find_log("level=warn")[0]


def test_pidfile_holds_the_pid_and_goes_at_the_end(start_pgsplice, tmp_path):
    path = tmp_path / "pid"
    proxy = start_pgsplice(f"--pidfile={path}")
    proxy.wait_for_log("proxy uid")
    assert path.read_text(encoding="utf-8") == f"{proxy.pid}\n"
    proxy.stop()
    assert not path.exists()


def test_pidfile_that_cannot_be_written_is_fatal(store):
    r = run_to_end("--cluster-name=c", "--store-backend=file",
                   f"--store-endpoints={store.directory}", "--pidfile=/nonexistent/pid")
    assert r.returncode == 1
    assert "--pidfile" in r.stderr and "/nonexistent/pid" in r.stderr
    assert not os.path.exists("/nonexistent")
