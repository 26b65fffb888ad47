"""The direct port in front of servers that only answer for themselves, as the test has
them answer."""

import struct

from harness import echoes, free_port, receive, wait_until
from harness.client import connect
from harness.direct import STARTUP, MemberServer
from harness.members import by_sql

SYSTEM = b"7"
POSITION = b"0/3000060"


def standby(timeline):
    number = str(timeline).encode()
    return [b"t", b"on", None, None, None, POSITION, POSITION, b"0", b"t", number, number, SYSTEM]


def leader(timeline):
    return [b"f", b"off", None, b"%08X0000000000000003" % timeline, POSITION, None, None, None,
            b"f", None, str(timeline).encode(), SYSTEM]


def message(kind, *parts):
    body = b"".join(parts)
    return kind + struct.pack("!I", len(body) + 4) + body


class SqlMember(MemberServer):
    """Clients have an echo; whoever connects as probe gets `row` for every query."""

    address = "127.0.0.1"

    def __init__(self, name, row):
        self.row = row
        self.asked = 0
        super().__init__(name)

    def _received(self, c, data):
        c.query = getattr(c, "query", b"") + data
        if b"user\0probe" not in c.query and not getattr(c, "asks", False):
            super()._received(c, data)
            return
        if not getattr(c, "asks", False):
            c.asks = True
            c.out += message(b"R", struct.pack("!I", 0))
            c.out += message(b"S", b"server_version\x0015.4\0")
            c.out += message(b"Z", b"I")
        elif data[:1] == b"Q":
            self.asked += 1
            c.out += self._answer_row()
        c.query = b""

    def _answer_row(self):
        column = b"x\0" + struct.pack("!IhIhih", 0, 0, 25, -1, -1, 0)
        count = struct.pack("!h", len(self.row))
        values = [struct.pack("!i", -1) if v is None else struct.pack("!I", len(v)) + v
                  for v in self.row]
        return (message(b"T", count, column * len(self.row)) + message(b"D", count, *values) +
                message(b"C", b"SELECT 1\0") + message(b"Z", b"I"))


def test_session_stays_on_a_standby_that_is_first_to_follow_the_next_leader(start_pgsplice):
    """Its timeline tells of a promotion before the new leader itself was heard."""
    a, b = SqlMember("a", leader(1)), SqlMember("b", standby(1))
    direct_port = free_port()
    try:
        proxy = start_pgsplice(*by_sql(a, b, conninfo="user=probe sslmode=disable"),
                               "--direct-target=replicas", f"--direct-port={direct_port}",
                               store=None)
        proxy.wait_for_log("direct port: members.*count=1")
        sock = connect(direct_port)
        sock.sendall(STARTUP)
        assert receive(sock, 2) == b"b\n"
        b.row = standby(2)
        asked = b.asked
        wait_until(lambda: b.asked > asked + 20)  # in a hurry: a change is pending
        assert echoes(sock)
        a.row = standby(2)
        wait_until(lambda: proxy.find_log("routing to nobody"))
        assert echoes(sock)
    finally:
        a.close()
        b.close()
