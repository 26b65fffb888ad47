"""The log: its three forms, what operators search for, and that it blocks nothing."""

import fcntl
import json
import os
import re
import time

import pytest

from harness import connect, echoes, end_of, probe, wait_for_probe, wait_until

F_SETPIPE_SZ = 1031


def drive_all_situations(stage):
    """Each of them once, so that each line of it has been written."""
    proxy, store = stage.proxy, stage.store
    stage.timings = {"check_interval": "50ms", "proxy_timeout": "400ms"}
    stage.open("db1")
    store.wait_for_info(proxy.uid, lambda i: i["ProxyTimeout"] == 400000000)
    store.delete()
    wait_for_probe(proxy.port, "closed")
    for document in ({**stage.document("db1"), "proxy": None},
                     stage.document("nosuch"),
                     stage.document("db1", enabled=["00000000"]),
                     {**stage.document("db1"), "formatVersion": 3},
                     stage.document("db1", spec={"initMode": "odd"})):
        mark = proxy.mark()
        store.put(document)
        proxy.wait_for_log("initMode|format version|proxy object|enabled|db object|named",
                           start=mark)
    stage.members["db1"]["status"]["listenAddress"] = "no-such-host.invalid"
    stage.publish("db1")
    proxy.wait_for_log("resolve")
    stage.members["db1"]["status"]["listenAddress"] = "127.0.0.1"
    stage.open("db1")
    store.refuse_info()
    proxy.wait_for_log("proxy info|proxyInfo")
    store.accept_info()
    store.wait_for_info(proxy.uid)
    mark = proxy.mark()
    store.put("{")
    proxy.wait_for_log("in time|timer fired", start=mark)
    wait_for_probe(proxy.port, "refused")
    store.lose()
    proxy.wait_for_log("No such file")


STOLON_LINES = [
    ("INFO", "proxy uid", {"uid": r"[0-9a-f]{8}"}),
    ("INFO", "Starting proxying", {}),
    ("INFO", "Stopping listening", {}),
    ("INFO", "master address", {"address": r"127\.0\.0\.1:\d+"}),
    ("INFO", "proxying to master address", {"address": r"127\.0\.0\.1:\d+"}),
    ("INFO", "not proxying to master address since we aren't in the enabled proxies list",
     {"address": r"127\.0\.0\.1:\d+"}),
    ("INFO", "no clusterdata available, closing connections to master", {}),
    ("INFO", "no proxy object available, closing connections to master", {}),
    ("INFO", "no db object available, closing connections to master", {"db": "nosuch"}),
    ("", "check timeout timer fired", {}),
    ("", "check function error", {"error": "cannot get cluster data: .*"}),
    ("", "check function error", {"error": "unsupported clusterdata format version: 3"}),
    ("", "check function error", {"error": "clusterdata validation failed: .*"}),
    ("ERROR", "cannot resolve db address", {"error": ".+"}),
    ("ERROR", "failed to update proxyInfo", {"error": ".+"}),
]


@pytest.fixture
def stolon_lines(stage):
    stage.start_proxy("--log-format=stolon")
    drive_all_situations(stage)
    stage.proxy.stop()
    lines = []
    for text in stage.proxy.log():
        parts = text.split("\t")
        assert len(parts) in (4, 5), text
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", parts[0])
        assert re.fullmatch(r"[\w.]+:\d+", parts[2])
        lines.append((parts[1], parts[3], json.loads(parts[4]) if len(parts) == 5 else {}))
    return lines


def test_stolon_format_has_each_message_operators_search_for(stolon_lines):
    missing = []
    for level, message, fields in STOLON_LINES:
        found = [line for line in stolon_lines if line[1] == message
                 and line[0].startswith(level)
                 and all(re.fullmatch(v, str(line[2].get(k))) for k, v in fields.items())]
        if not found:
            missing.append((level, message, fields))
    assert not missing, "\n".join(map(str, stolon_lines))


def test_stolon_format_tells_why_it_cannot_listen(opened):
    second = opened.start_proxy("--log-format=stolon", port=opened.proxy.port)
    line = second.wait_for_log("check function error")
    assert "failed to start proxy" in line


def test_json_format_is_one_object_a_line(stage):
    stage.start_proxy("--log-format=json")
    drive_all_situations(stage)
    stage.proxy.stop()
    for text in stage.proxy.log():
        line = json.loads(text)
        assert re.fullmatch(r"[\d-]+T[\d:.]+Z", line["time"])
        assert line["level"] in ("debug", "info", "warn", "error")
        assert line["msg"]


def test_logfmt_is_the_default_and_parses(stage):
    stage.start_proxy()
    drive_all_situations(stage)
    stage.proxy.stop()
    pair = r'[a-z_]+=(?:"(?:[^"\\]|\\.)*"|[^\s"=]+)'
    for text in stage.proxy.log():
        assert re.fullmatch(rf"time=\S+ level=(debug|info|warn|error) msg=\".*?\"( {pair})*", text)


def test_repeats_are_counted_not_repeated(stage):
    """A fault that lasts is one line, and one more at its end."""
    stage.start_proxy()
    stage.open("db1", 10)
    stage.publish("db1", check_interval="20ms", proxy_timeout="15s")
    stage.store.wait_for_info(stage.proxy.uid, lambda i: i["ProxyTimeout"] == 15000000000)
    for _ in range(3):
        stage.store.wait_for_new_info(stage.proxy.uid)
    stage.store.lose()
    stage.proxy.wait_for_log("cannot read")
    until = time.monotonic() + 1
    wait_until(lambda: time.monotonic() > until)
    stage.store.bring_back()
    line = stage.proxy.wait_for_log("can be read again")
    assert int(re.search(r"failed=(\d+)", line).group(1)) > 3
    assert len(stage.proxy.find_log("cannot read")) == 1


def test_level_is_respected(opened):
    opened.proxy.stop()
    proxy = opened.start_proxy("--log-level=error")
    wait_until(lambda: len(opened.store.proxies()) == 1)
    proxy.set_uid(opened.store.proxies()[0])
    opened.open("db1")
    proxy.stop()
    assert proxy.log() == []


def test_session_line_says_who_why_and_how_much(opened):
    with connect(opened.proxy.port) as client:
        assert echoes(client, b"0123456789")
        name = "127.0.0.1:%d" % client.getsockname()[1]
    line = opened.proxy.wait_for_log(f"client={re.escape(name)} ")
    connection = opened.servers["db1"].connections[-1]
    for part in ("reason=client-closed", "by=client", f"local_port={connection.peer_port}",
                 "sent=10", "received=10", f"server=127.0.0.1:{opened.servers['db1'].port}"):
        assert part in line


def test_thousand_sessions_do_not_write_a_thousand_lines_at_once(opened):
    mark = opened.proxy.mark()
    for _ in range(600):
        connect(opened.proxy.port).close()
    wait_until(lambda: not opened.servers["db1"].live())
    opened.publish("")
    opened.acknowledged()
    lines = opened.proxy.find_log(r"session \d+: closed", mark)
    assert len(lines) < 500


@pytest.fixture
def blocked(stage):
    """A proxy whose stderr is a full pipe that nobody reads."""
    proxy = stage.start_proxy("--log-level=debug", read_log=False)
    fcntl.fcntl(proxy.process.stderr, F_SETPIPE_SZ, 4096)
    stage.publish("db1", enabled=[])
    proxy.set_uid(wait_until(stage.store.proxies)[0])
    stage.open("db1")
    for _ in range(800):
        assert probe(proxy.port) == "forwards"
    return stage


def test_blocked_stderr_blocks_neither_sessions_nor_fencing_nor_exit(blocked):
    client = blocked.client()
    began = time.monotonic()
    blocked.publish("")
    blocked.acknowledged()
    assert time.monotonic() - began < 0.2
    assert end_of(client) == "rst"
    blocked.open("db1")
    code, took = blocked.proxy.stop()
    assert code == 0 and took < 2


def test_lines_lost_to_a_blocked_stderr_are_counted(blocked):
    blocked.proxy.start_reading_log()
    line = blocked.proxy.wait_for_log("lines were lost")
    assert int(re.search(r"count=(\d+)", line).group(1)) > 100
    mark = blocked.proxy.mark()
    probe(blocked.proxy.port)
    blocked.proxy.wait_for_log("session", start=mark)


def test_closed_stderr_does_not_end_it(opened):
    """The reader of the pipe has died."""
    proxy = opened.start_proxy(read_log=False)
    proxy.process.stderr.close()
    proxy.process.stderr = open(os.devnull, "rb")
    wait_until(lambda: len(opened.store.proxies()) == 2)
    proxy.set_uid(next(u for u in opened.store.proxies() if u != opened.proxies[0].uid))
    opened.open("db1")
    code, _ = proxy.stop()
    assert code == 0
