"""Real PostgreSQL behind the proxy."""

from harness import psql


def test_psql_reaches_the_leader(stage, postgres):
    stage.add_member("pg", port=postgres.leader.port)
    stage.start_proxy()
    stage.publish("pg")
    stage.acknowledged()
    assert psql("select pg_is_in_recovery()", stage.proxy.port) == "f"
