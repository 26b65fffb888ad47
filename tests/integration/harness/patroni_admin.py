"""What an administrator does with a Patroni cluster over its REST interface, and what
befalls its members."""

import http.client
import json
import os
import signal
import urllib.request

from .wait import wait_until


def call(member, method, path, body=None, timeout=60):
    """Raises OSError if it is refused."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{member.api_port}{path}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=timeout) as reply:
        return reply.read().decode()


def call_until_done(cluster, members, method, path, body, timeout=30):
    """At any of these members, again while it is refused."""
    refusals = []

    def done():
        for member in members:
            try:
                call(member, method, path, body)
                return True
            except (OSError, http.client.HTTPException) as error:
                refusals.append(f"{member.name}: {error}")
        return False

    wait_until(done, timeout, lambda: f"{refusals[-3:]}\n{cluster.logs()}", step=0.3)


def configure(cluster, **settings):
    """Options that Patroni keeps in its store; None takes one away."""
    call_until_done(cluster, cluster.members, "PATCH", "/config", settings)


def ttl_s(cluster):
    """In force: a new Patroni keeps no less than 20 s, whatever it is told."""
    return json.loads(call(cluster.leader(), "GET", "/config"))["ttl"]


def wait_for_loops(member, count):
    """Until its Patroni has looked at the store so often again, each in a second of its own:
    what was configured before is in force then."""
    seen = {member.status().get("dcs_last_seen")}

    def looked():
        seen.add(member.status().get("dcs_last_seen"))
        return len(seen - {None}) > count

    wait_until(looked, 30, member.cluster.logs, step=0.1)


def pause(cluster, is_paused=True):
    """Until all running members have seen it."""
    configure(cluster, pause=is_paused or None)

    def seen():
        known = [m.status() for m in cluster.members if is_running(m)]
        return all(s and s.get("pause", False) == is_paused for s in known)

    wait_until(seen, 30, cluster.logs, step=0.1)


def resume(cluster):
    pause(cluster, False)


def is_running(member):
    return member.process is not None and member.process.poll() is None


def sync_standbys(cluster):
    """Those that Patroni lets win, by the store, and that the leader waits for: after its
    restart it does not at once."""
    leader = cluster.leader()
    if leader is None:
        return []
    names = leader.query("select coalesce(array_agg(application_name), '{}') "
                         "from pg_stat_replication where sync_state = 'sync'")[0]

    def is_one(member):
        try:
            call(member, "GET", "/sync", timeout=5)
            return True
        except OSError:
            return False

    return [m for m in cluster.members if m.name in names and is_running(m) and is_one(m)]


def make_synchronous(cluster, is_synchronous=True):
    configure(cluster, synchronous_mode=is_synchronous or None)
    wait_until(lambda: bool(sync_standbys(cluster)) == is_synchronous, 30, cluster.logs, step=0.2)


def switch_over(cluster, old):
    """To whom Patroni likes; returns when that is the leader."""
    call_until_done(cluster, [old], "POST", "/switchover", {"leader": old.name})


def heal(cluster):
    """Until all members follow one leader. Who does not find back in time is made anew: that
    some do not, rewound or not, is between Patroni and PostgreSQL."""
    try:
        cluster.wait_until_healthy(40)
        return
    except AssertionError:
        leader = cluster.leader()
    names = leader and leader.query(
        "select coalesce(array_agg(application_name), '{}') from pg_stat_replication "
        "where state = 'streaming'")[0]
    for member in cluster.members:
        if leader is not None and member is not leader and member.name not in names:
            replace(member)
    cluster.wait_until_healthy()


# What befalls a member, and its end


def replace(member):
    """By a new machine of the same name."""
    try:
        member.kill()
    except OSError:
        pass  # its server has ended just now
    try:
        os.killpg(member.process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # nor was it being copied
    member.replace()


def thaw_patroni(member):
    os.kill(member.process.pid, signal.SIGCONT)


def end_patroni(member):
    """In a pause that leaves its server running."""
    member.process.send_signal(signal.SIGTERM)
    member.process.wait(30)


def stop_postgres(member):
    """As its owner does; a live Patroni starts it again unless paused."""
    os.kill(member.postmaster(), signal.SIGINT)
    wait_until(lambda: not os.path.exists(os.path.join(member.data, "postmaster.pid")), 20)


def kill_remains(cluster):
    """Of a cluster that is given up: a paused Patroni leaves its server running."""
    for member in cluster.members:
        if is_running(member):
            member.process.kill()
            member.process.wait(20)
        try:
            pid = member.postmaster()
            if os.readlink(f"/proc/{pid}/cwd") == os.path.realpath(member.data):
                os.kill(pid, signal.SIGQUIT)
        except (OSError, ValueError):
            pass  # there is none
    for member in cluster.members:
        wait_until(lambda m=member: not _has_server(m), 20, "the servers' end", step=0.05)


def _has_server(member):
    try:
        return os.readlink(f"/proc/{member.postmaster()}/cwd") == os.path.realpath(member.data)
    except (OSError, ValueError):
        return False
