"""Cluster data as a stolon sentinel writes it, as far as a proxy reads it."""


def member(uid, port, address="127.0.0.1", **status):
    return {
        "uid": uid,
        "generation": 1,
        "spec": {"keeperUID": "keeper-" + uid, "role": "master"},
        "status": {"healthy": True, "listenAddress": address, "port": str(port), **status},
    }


def cluster_data(generation, leader, enabled=(), members=(), check_interval="5s",
                 proxy_timeout="15s", spec=None):
    """A document; members come from member(). leader is a uid, "" for none."""
    return {
        "formatVersion": 1,
        "changeTime": "2026-01-01T00:00:00Z",
        "cluster": {
            "uid": "cluster1",
            "generation": 1,
            "spec": {
                "initMode": "new",
                "proxyCheckInterval": check_interval,
                "proxyTimeout": proxy_timeout,
                **(spec or {}),
            },
            "status": {"phase": "normal", "master": leader},
        },
        "keepers": {},
        "dbs": {m["uid"]: m for m in members},
        "proxy": {
            "uid": "",
            "generation": generation,
            "spec": {"masterDbUid": leader, "enabledProxies": list(enabled)},
            "status": {},
        },
    }
