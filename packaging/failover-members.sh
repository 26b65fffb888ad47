# shellcheck shell=bash disable=SC2034,SC2154
# (Variables are shared with quickstart, which sources this.)
# quickstart --once without a store: the leader is lost under pgbench, and the
# standby is promoted by hand, as an operator or a cluster manager does it.
# Nobody tells pgsplice of either. Then the lost one comes back as a standby.

roles= # the table of what the two ports said, moment by moment
promoted=

# So that no acknowledged write is lost with the leader: without this
# PostgreSQL acknowledges before the standby has it.
make_synchronous() {
	sql_on db1 "alter system set synchronous_standby_names = '*'" 'select pg_reload_conf()' >/dev/null ||
		die 'the leader takes no settings' "$work/psql.log"
	wait_until 10 is_synchronous || die 'the standby is not synchronous' "$work/db1.log"
}

is_synchronous() {
	[ "$(sql_on db1 "select count(*) from pg_stat_replication where sync_state = 'sync'")" = 1 ]
}

# Prints who answers on a port of pgsplice, and what it says.
role_on() {
	sql "$1" 127.0.0.1 "select format('%s, by %s', case when pg_is_in_recovery() then 't' else 'f' end,
		current_setting('cluster_name'))" || printf nobody
}

has_role_on() {
	role=$(role_on "$1")
	[ "$role" = "$2" ]
}

# row WHAT VALUE
row() {
	printf '  %-42s %s\n' "$1" "$2"
}

# note_roles MOMENT LEADER STANDBY: what the ports have to come to say then.
note_roles() {
	local role
	wait_until 10 has_role_on "$port" "$2" ||
		die "$1: on port $port $role in place of $2" "$work/pgsplice.log"
	wait_until 10 has_role_on "$direct_port" "$3" ||
		die "$1: on port $direct_port $role in place of $3" "$work/pgsplice.log"
	roles+=$(row "$1" "$(printf '%-12s %s' "$2" "$3")")$'\n'
}

# pgsplice's own word for it, since the kill; its log has milliseconds.
dropped_at() {
	local line time=0
	while read -r line; do
		time=$(date -d "$(cut -d ' ' -f 1 <<<"${line#time=}")" +%s%6N)
		if [ "$time" -ge $((killed / 1000 * 1000)) ]; then
			printf '%d' $((time > killed ? time : killed))
			return
		fi
	done < <(grep 'msg="nobody is routed' "$work/pgsplice.log")
	return 1
}

is_dropped() {
	dropped_at >/dev/null
}

# Sets promoted to when a session of the server itself found it writable: that
# looks each millisecond, pg_promote() by itself each 100.
promote_standby() {
	local answers
	# shellcheck disable=SC2016
	answers=$(sql_on db2 "set statement_timeout = '30s'" 'select pg_promote(false)' \
		'do $$ begin while pg_is_in_recovery() loop perform pg_sleep(0.001); end loop; end $$' \
		'select (extract(epoch from clock_timestamp()) * 1000000)::bigint') ||
		die 'the standby could not be promoted' "$work/db2.log"
	promoted=${answers##*$'\n'}
}

report() {
	local before write ends lost
	before=$(last_write_on db1)
	write=$(first_write_on db2)
	mapfile -t ends < <(session_ends)
	lost=$(count_lost_rows db2) || die 'could not count the rows' "$work/db2.log"
	echo "Failover under pgbench, $pgbench_clients sessions:"
	row 'leader killed -> sessions ended' "${#ends[@]} of $pgbench_clients, first after $(ms_between "$killed" "${ends[0]}"), last after $(ms_between "$killed" "${ends[-1]}")"
	row 'leader killed -> nobody is routed' "$(ms_between "$killed" "$(dropped_at)"), by pgsplice's log"
	row 'leader killed -> standby promoted' "$(ms_between "$killed" "$promoted"), by this script"
	row "promoted, by SQL -> first write on $port" "$(ms_between "$promoted" "$write")"
	row 'last write before -> first write after' "$(ms_between "$before" "$write"): the blackout that a client sees"
	row 'writes acknowledged to a client and lost' "$lost"
	[ "$lost" -eq 0 ] || die 'acknowledged writes were lost'
	report_reads "$write"
}

# report_reads WRITE: pgsplice asks every 50 ms, so reads may still reach the
# new leader when it is one already; from its first write on none may.
report_reads() {
	local end standby refused early
	end=$(now_us)
	standby=$(count_reads 0 "$end" any t)
	refused=$(count_reads 0 "$end" - -)
	early=$(count_reads 0 "$end" any f)
	row "reads on $direct_port" "$standby by a standby, $refused refused, $early by db2 before pgsplice saw its promotion"
	echo 'select pg_is_in_recovery():'
	row '' "$(printf '%-12s %s' "port $port" "port $direct_port")"
	printf '%s' "$roles"
	[ "$(count_reads "$1" "$end" any f)" -eq 0 ] ||
		die "port $direct_port led to the leader" "$work/pgsplice.log"
}

show_failover() {
	make_synchronous
	start_load
	note_roles 'before' 'f, by db1' 't, by db2'
	say 'killing the leader: SIGKILL to all of db1'
	kill_server db1
	wait_until 10 all_sessions_ended || die 'not every session has ended' "$pgbench_log"
	wait_until 10 is_dropped || die 'pgsplice did not see it' "$work/pgsplice.log"
	note_roles 'leader killed' nobody 't, by db2'
	say 'promoting the standby, as an operator or a cluster manager does it'
	promote_standby
	wait_until 30 has_write_on db2 || die 'no write succeeded on the new leader' "$work/pgsplice.log"
	note_roles 'standby promoted' 'f, by db2' nobody
	rejoin_server db1 db2
	note_roles 'db1 is back, as a standby' 'f, by db2' 't, by db1'
	stop_load
	report
	pgbench_again
}
