# shellcheck shell=bash disable=SC2034,SC2154
# (Variables are shared with quickstart, which sources this.)
# quickstart --once: a failover under pgbench, and how long it took.

pgbench_clients=8
pgbench_log=
writer_log=
reader_log=

# Puts the time in microseconds before each line it reads.
stamp_lines() {
	local line
	while IFS= read -r line; do
		printf '%s %s\n' "${EPOCHREALTIME/[.,]/}" "$line"
	done
}

pgbench_through() {
	"$pg_bin/pgbench" -h 127.0.0.1 -p "$port" -U postgres "$@" postgres
}

pgbench_stamped() {
	pgbench_through -n -c "$pgbench_clients" -j 2 -T 600 -P 1 2>&1 | stamp_lines
}

# One row a connection: the shortest way to see from when writes succeed. A
# log line is: start, end, row, port of the server that took it or "-".
writer() {
	local row=0 start server
	while :; do
		row=$((row + 1))
		start=${EPOCHREALTIME/[.,]/}
		server=$(timeout --foreground 5 "$pg_bin/psql" -XAtqw -h 127.0.0.1 -p "$port" -U postgres \
			-c "insert into quickstart_writes values ($row) returning inet_server_port()" \
			postgres 2>/dev/null) || server=-
		printf '%s %s %s %s\n' "$start" "${EPOCHREALTIME/[.,]/}" "$row" "$server"
		if [ "$server" = - ]; then
			sleep 0.01
		fi
	done
}

# The same on the direct port, with reads: start, end, port of the server and
# whether it is in recovery ("t"), or "- -".
reader() {
	local start server
	while :; do
		start=${EPOCHREALTIME/[.,]/}
		server=$(timeout --foreground 5 "$pg_bin/psql" -XAtqw -F ' ' -h 127.0.0.1 -p "$direct_port" \
			-U postgres -c 'select inet_server_port(), pg_is_in_recovery()' \
			postgres 2>/dev/null) || server='- -'
		printf '%s %s %s\n' "$start" "${EPOCHREALTIME/[.,]/}" "$server"
		sleep 0.01
	done
}

load_is_running() {
	grep -q ' progress: ' "$pgbench_log" && [ "$(grep -vc -- ' -$' "$writer_log")" -ge 20 ] &&
		[ "$(wc -l <"$reader_log")" -ge 20 ]
}

start_load() {
	writer_log=$work/writer.log
	reader_log=$work/reader.log
	pgbench_log=$work/pgbench.log
	say "filling pgbench's tables through pgsplice"
	run_step 'pgbench -i' "$work/pgbench-init.log" pgbench_through -i -q -s 2
	sql "$port" 127.0.0.1 'create table quickstart_writes (n int primary key)' >/dev/null ||
		die 'could not create a table through pgsplice' "$work/pgsplice.log"
	say "pgbench with $pgbench_clients sessions, a writer with a connection for each row, and a reader on port $direct_port"
	spawn "$pgbench_log" pgbench_stamped
	pgbench_pid=$spawned
	spawn "$writer_log" writer
	writer_pid=$spawned
	spawn "$reader_log" reader
	reader_pid=$spawned
	wait_until 30 load_is_running || die 'pgbench did not get going' "$pgbench_log"
}

# What the old leader has flushed is all that was ever acknowledged, since
# nothing reaches it through pgsplice any more.
standby_has_caught_up() {
	[ "$(sql "$standby_port" "$work" "select pg_last_wal_replay_lsn() >= '$1'")" = t ]
}

promote_standby() {
	local lsn
	lsn=$(sql "$leader_port" "$work" 'select pg_current_wal_flush_lsn()') ||
		die 'the old leader does not answer' "$work/leader.log"
	wait_until 30 standby_has_caught_up "$lsn" ||
		die 'the standby did not catch up' "$work/standby.log"
	[ "$(sql "$standby_port" "$work" 'select pg_promote(true, 30)')" = t ] ||
		die 'the standby could not be promoted' "$work/standby.log"
}

# first_write_after TIME: prints when the first write that began later ended.
first_write_after() {
	awk -v after="$1" '$4 != "-" && $1 > after { print $2; found = 1; exit }
		END { exit !found }' "$writer_log"
}

has_write_after() {
	first_write_after "$1" >/dev/null
}

# count_reads FROM TO PORT RECOVERY: reads that began after FROM and ended before
# TO, with this result; each of the two may be "any", which an error is not.
count_reads() {
	awk -v from="$1" -v to="$2" -v port="$3" -v recovery="$4" '
		$1 >= from && $2 < to && (port == "any" ? $3 != "-" : $3 == port) &&
			(recovery == "any" || $4 == recovery) { n++ }
		END { print n + 0 }' "$reader_log"
}

has_read_after() {
	[ "$(count_reads "$1" "$(now_us)" any any)" -gt 0 ]
}

# Prints the times at which pgbench's sessions ended.
session_ends() {
	grep -E ' client [0-9]+ .*aborted' "$pgbench_log" | cut -d' ' -f1 | sort -n || true
}

all_sessions_ended() {
	[ "$(session_ends | wc -l)" -ge "$pgbench_clients" ]
}

# Rows that were acknowledged to the writer and are not on the new leader.
count_lost_rows() {
	local rows
	rows=$(awk '$4 != "-" { printf "%s%s", sep, $3; sep = "," }' "$writer_log")
	"$pg_bin/psql" -XAtqw -h "$work" -p "$standby_port" -U postgres postgres <<END
select count(*) from unnest('{$rows}'::int[]) as r(n)
where not exists (select from quickstart_writes w where w.n = r.n)
END
}

ms_between() {
	local us=$(($2 - $1))
	printf '%d.%d ms' $((us / 1000)) $((us % 1000 / 100))
}

# Acknowledged writes of a server that began after a time.
writes_on_after() {
	awk -v port="$1" -v after="$2" '$4 == port && $1 > after { n++ } END { print n + 0 }' \
		"$writer_log"
}

report() {
	local withdrawn=$1 converged=$2 promoted=$3 published=$4 write ends
	write=$(first_write_after "$published")
	mapfile -t ends < <(session_ends)
	local lost wrong
	lost=$(count_lost_rows) || die 'could not count the rows' "$work/standby.log"
	wrong=$(writes_on_after "$leader_port" "$converged")
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
	[ "$before" -eq "$(count_reads 0 "$1" "$standby_port" t)" ] ||
		die 'not all reads were led to the standby' "$work/pgsplice.log"
	[ "$between" -eq 0 ] || die 'a standby that was being promoted was still read from'
	[ "$after" -eq "$(count_reads "$3" "$end" "$standby_port" f)" ] ||
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
	stop_group "$writer_pid" TERM KILL
	writer_pid=
	stop_group "$reader_pid" TERM KILL
	reader_pid=
	report "$withdrawn" "$converged" "$promoted" "$published"
	report_reads "$withdrawn" "$converged" "$published"
	say 'pgbench again, on the new leader'
	run_step 'pgbench on the new leader' "$work/pgbench-after.log" \
		pgbench_through -n -c "$pgbench_clients" -j 2 -T 2
	grep '^tps' "$work/pgbench-after.log" | sed 's/^/  /'
}
