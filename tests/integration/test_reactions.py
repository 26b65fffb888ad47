"""Every cluster data that stolon-proxy was shown by hand, shown to pgsplice.

All rows run side by side, each with a proxy of its own that forwards when its
row is put. As in the recording, the outcome is looked at 3 s later, with a
check interval of 300 ms and a timeout of 2 s."""

import json
import time
from pathlib import Path

import pytest

from harness import FileStore, RecordingServer, Stage, holds_for, member, probe, wait_until

DATA = Path(__file__).parent.parent / "data" / "stolon" / "proxy-reactions.jsonl"
ROWS = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
RECORDED_PORT = "21451"
LOOK_AFTER = 3.0

# Where pgsplice is meant to differ from what was recorded.
EXCEPTIONS = {
    # stolon-proxy connects to its own host
    "empty listenAddress": {"forwards": False},
    # stolon-proxy panics; an invalid spec instead
    "spec null": {"process_exited": False, "listening_after_3s": True},
}


class Outcome:
    """One row against one proxy."""

    def __init__(self, row, folder):
        self.row = row
        self.stage = Stage(FileStore(folder), "300ms", "2s")
        self.server = RecordingServer()
        self.stage.members["db1"] = member("db1", self.server.port)
        self.proxy = self.stage.start_proxy("--workers=1")

    def forward(self):
        self.stage.open("db1")
        self.sessions = [self.stage.client()]

    def put(self):
        text = self.row["clusterdata"].replace("@UID@", self.proxy.uid)
        self.stage.store.put(text.replace(RECORDED_PORT, str(self.server.port)))
        self.put_at = time.monotonic()

    def settle(self):
        """Past a publish that the change overtook."""
        self.settled = self.stage.store.info(self.proxy.uid)

    def look(self):
        found = probe(self.proxy.port)
        self.listening_after_3s = found != "refused"
        self.forwards = found == "forwards"
        self.published = self.stage.store.info(self.proxy.uid)
        self.publishes_proxyinfo = self.published["infoUID"] != self.settled["infoUID"]
        self.process_exited = not self.proxy.is_running()

    def close(self):
        for s in self.sessions:
            s.close()
        self.stage.close()
        self.server.close()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reactions")
    all_rows = [Outcome(row, folder / str(i)) for i, row in enumerate(ROWS)]
    try:
        for o in all_rows:
            o.forward()
        for o in all_rows:
            o.put()
        last = all_rows[-1].put_at
        wait_until(lambda: time.monotonic() >= last + 0.5, 5)
        for o in all_rows:
            o.settle()
        wait_until(lambda: time.monotonic() >= last + LOOK_AFTER, 10)
        for o in all_rows:
            o.look()
        yield {o.row["case"]: o for o in all_rows}
    finally:
        for o in all_rows:
            o.close()


@pytest.mark.parametrize("case", [row["case"] for row in ROWS])
def test_reacts_as_stolon_proxy_did(outcomes, case):
    o = outcomes[case]
    expected = {**o.row["observed"], **EXCEPTIONS.get(case, {})}
    for name in ("process_exited", "listening_after_3s", "forwards", "publishes_proxyinfo"):
        assert getattr(o, name) == expected[name], name + "\n" + "\n".join(o.proxy.log())
    if expected["published"] is not None:
        assert o.published["Generation"] == expected["published"]["Generation"]
        assert o.published["ProxyTimeout"] == expected["published"]["ProxyTimeout"]
        assert o.published["UID"] == o.proxy.uid


def test_session_ends_with_every_row_that_does_not_forward_to_its_server(outcomes):
    """The first session of each proxy was open when the row came."""
    for case, o in outcomes.items():
        first = o.server.connections[1]  # after the probe of open()
        moved = case in ("localhost", "0.0.0.0")
        if o.forwards and not moved:
            assert first.is_live(), case
        elif not o.forwards:
            assert first.end == "rst", (case, first.end)


def test_nothing_is_connected_to_the_own_host_for_an_empty_address(outcomes):
    o = outcomes["empty listenAddress"]
    assert o.proxy.find_log("address or port is empty")
    assert len(o.server.connections) == len([c for c in o.server.connections
                                             if c.accepted_at < o.put_at])


def test_empty_address_is_explained_once(outcomes):
    assert len(outcomes["empty listenAddress"].proxy.find_log("address or port is empty")) == 1


def test_unresolvable_name_is_explained_once(outcomes):
    lines = outcomes["unresolvable"].proxy.find_log("cannot be resolved")
    assert len(lines) == 1, "\n".join(lines)


def test_proxies_still_run(outcomes):
    for o in outcomes.values():
        holds_for(o.proxy.is_running, 0)
