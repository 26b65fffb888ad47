# shellcheck shell=bash disable=SC2034,SC2154
# (Variables are shared with quickstart, which sources this.)
# quickstart --store --once: the sentinel withdraws the leader under pgbench and
# waits for pgsplice's acknowledgement before the standby is promoted.

# What the old leader has flushed is all that was ever acknowledged, since
# nothing reaches it through pgsplice any more.
standby_has_caught_up() {
	[ "$(sql_on db2 "select pg_last_wal_replay_lsn() >= '$1'")" = t ]
}

promote_standby() {
	local lsn
	lsn=$(sql_on db1 'select pg_current_wal_flush_lsn()') ||
		die 'the old leader does not answer' "$work/db1.log"
	wait_until 30 standby_has_caught_up "$lsn" ||
		die 'the standby did not catch up' "$work/db2.log"
	[ "$(sql_on db2 'select pg_promote(true, 30)')" = t ] ||
		die 'the standby could not be promoted' "$work/db2.log"
}

report() {
	local withdrawn=$1 converged=$2 promoted=$3 published=$4 write ends
	write=$(first_write_after "$published")
	mapfile -t ends < <(session_ends)
	local lost wrong
	lost=$(count_lost_rows db2) || die 'could not count the rows' "$work/db2.log"
	wrong=$(writes_on_after db1 "$converged")
	cat <<END
Failover under pgbench, $pgbench_clients sessions:
  leader withdrawn -> sessions cut           ${#ends[@]} of $pgbench_clients, first after $(ms_between "$withdrawn" "${ends[0]}"), last after $(ms_between "$withdrawn" "${ends[-1]}")
  leader withdrawn -> acknowledged           $(ms_between "$withdrawn" "$converged")
  acknowledged -> standby promoted           $(ms_between "$converged" "$promoted")
  new leader published -> first write        $(ms_between "$published" "$write")
  leader withdrawn -> first write            $(ms_between "$withdrawn" "$write")
  writes the old leader took after the acknowledgement: $wrong
  writes acknowledged to a client and lost: $lost
END
	[ "$wrong" -eq 0 ] || die 'the old leader still took writes'
	[ "$lost" -eq 0 ] || die 'acknowledged writes were lost'
}

# report_reads WITHDRAWN CONVERGED PUBLISHED
report_reads() {
	local before between refused after end
	end=$(now_us)
	before=$(count_reads 0 "$1" any any)
	between=$(count_reads "$2" "$3" any any)
	refused=$(count_reads "$1" "$3" - -)
	after=$(count_reads "$3" "$end" any any)
	cat <<END
Reads on port $direct_port, a connection for each (--direct-target=replicas --direct-fallback=leader):
  before the withdrawal                      $before, all by the standby
  acknowledged -> new leader published       $between, since the standby is being promoted; $refused refused
  after that                                 $after, all by the new leader, for want of a standby
END
	[ "$before" -eq "$(count_reads 0 "$1" db2 t)" ] ||
		die 'not all reads were led to the standby' "$work/pgsplice.log"
	[ "$between" -eq 0 ] || die 'a standby that was being promoted was still read from'
	[ "$after" -eq "$(count_reads "$3" "$end" db2 f)" ] ||
		die 'not all reads were led to the new leader' "$work/pgsplice.log"
}

show_failover() {
	local withdrawn converged promoted published
	start_load
	say 'withdrawing the leader'
	withdrawn=$(now_us)
	sentinel_withdraw db2
	wait_until 30 sentinel_converged ||
		die "pgsplice did not acknowledge generation $generation" "$work/pgsplice.log"
	converged=$(now_us)
	wait_until 10 all_sessions_ended ||
		die 'pgsplice acknowledged, but did not cut every session' "$pgbench_log"
	say 'acknowledged; promoting the standby'
	promote_standby
	promoted=$(now_us)
	published=$(now_us)
	sentinel_lead db2
	wait_until 30 has_write_after "$published" ||
		die 'no write succeeded on the new leader' "$work/pgsplice.log"
	wait_until 10 has_read_after "$published" ||
		die 'no read succeeded on the new leader' "$work/pgsplice.log"
	stop_load
	report "$withdrawn" "$converged" "$promoted" "$published"
	report_reads "$withdrawn" "$converged" "$published"
	pgbench_again
}
