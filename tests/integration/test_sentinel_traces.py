"""The test sentinel takes the steps that recorded sentinels took."""

import json
import pathlib

import pytest

from harness.sentinel import ProxyHistory, decide, leader_of

FOLDER = pathlib.Path(__file__).parent.parent / "data" / "stolon"

# A cycle reads the proxies first and writes last. In d2 a proxy came back in
# between, and the recorded sentinel did not know of it.
READ_BEFORE_WRITE_S = 0.02


def rows(name):
    for line in (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["src"] == "store":
            yield row


def routing(document):
    proxy = document["proxy"]
    return (proxy.get("generation", 0), proxy["spec"].get("masterDbUid"),
            proxy["spec"].get("enabledProxies"), leader_of(document))


def cycles(name):
    """(time, proxies present, document before, document after) for each time the
    recorded sentinel wrote."""
    infos, before = [(0, {})], None
    for row in rows(name):
        folder, _, uid = row["key"].rpartition("/")
        if folder.endswith("proxies/info"):
            present = dict(infos[-1][1])
            present.pop(uid, None)
            if row["type"] != "delete":
                present[uid] = json.loads(row["value"])
            infos.append((row["t"], present))
        elif row["key"].endswith("/clusterdata"):
            after = json.loads(row["value"])
            if before is not None:
                read = [p for t, p in infos if t <= max(0, row["t"] - READ_BEFORE_WRITE_S)]
                yield row["t"], read[-1], before, after
            before = after


@pytest.mark.parametrize("name", [
    "a-init-first-leader", "b-failkeeper-planned", "c-kill9-master", "d-proxy-frozen-failover",
    "d2-two-proxies-one-frozen", "e-update-proxy-timings", "e2-standby-cluster-promote"])
def test_decides_as_the_recorded_sentinel(name):
    history = ProxyHistory()
    steps = 0
    for t, infos, before, after in cycles(name):
        # Which keeper failed and which standby is best are not the proxies' matter.
        was, becomes = leader_of(before), leader_of(after)
        failed = {was} if was != becomes else set()
        decided, _ = decide(before, history.active(infos, t), failed, lambda _, b=becomes: b)
        if before["cluster"]["status"]["phase"] == "normal":
            assert routing(decided) == routing(after), f"at {t} from {routing(before)}"
            steps += routing(decided) != routing(before)
    expected = {"a": 2, "b": 2, "c": 2, "d": 6, "d2": 4, "e": 0, "e2": 2}
    assert steps == expected[name.split("-")[0]]


def info(generation, uid="aaaaaaaa", info_uid="00000001", timeout_s=2):
    return {"infoUID": info_uid, "UID": uid, "Generation": generation,
            "ProxyTimeout": timeout_s * 10**9}


def withdrawn(generation):
    return {"cluster": {"status": {"phase": "normal", "master": "db2"}}, "dbs": {},
            "proxy": {"generation": generation, "spec": {"enabledProxies": ["aaaaaaaa"]}}}


@pytest.mark.parametrize("generation", [0, 6, 8])
def test_waits_for_any_other_generation_older_or_newer(generation):
    new, waiting = decide(withdrawn(7), {"aaaaaaaa": info(generation)}, set(), None)
    assert waiting == ["aaaaaaaa"] and new == withdrawn(7)


def test_a_proxy_is_dead_after_twice_its_timeout_with_one_info_uid():
    history = ProxyHistory()
    silent = {"aaaaaaaa": info(7)}
    assert history.active(silent, 100.0)
    assert history.active(silent, 104.0)
    assert not history.active(silent, 104.1)
    assert history.active({"aaaaaaaa": info(7, info_uid="00000002")}, 104.2)
    assert ProxyHistory().active(silent, 104.1), "a new sentinel takes all that are present"
