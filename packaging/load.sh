# shellcheck shell=bash disable=SC2034,SC2154
# (Variables are shared with quickstart, which sources this.)
# What runs through pgsplice while quickstart --once shows a failover: pgbench,
# a writer and a reader, and what their logs say. Times are in microseconds.

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

# first_write_after TIME: prints when the first write that began later ended.
first_write_after() {
	awk -v after="$1" '$4 != "-" && $1 > after { print $2; found = 1; exit }
		END { exit !found }' "$writer_log"
}

# first_write_on NAME, last_write_on NAME: print when it was acknowledged.
first_write_on() {
	awk -v port="${server_port[$1]}" '$4 == port { print $2; found = 1; exit }
		END { exit !found }' "$writer_log"
}

last_write_on() {
	awk -v port="${server_port[$1]}" '$4 == port { last = $2 } END { print last }' "$writer_log"
}

has_write_on() {
	first_write_on "$1" >/dev/null
}

has_write_after() {
	first_write_after "$1" >/dev/null
}

# count_reads FROM TO NAME RECOVERY: reads that began after FROM and ended before
# TO, with this result; each of the two may be "any", which an error is not.
count_reads() {
	awk -v from="$1" -v to="$2" -v port="${server_port[$3]:-$3}" -v recovery="$4" '
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

# count_lost_rows NAME: that were acknowledged to the writer and are not there.
count_lost_rows() {
	local rows
	rows=$(awk '$4 != "-" { printf "%s%s", sep, $3; sep = "," }' "$writer_log")
	"$pg_bin/psql" -XAtqw -h "$work" -p "${server_port[$1]}" -U postgres postgres <<END
select count(*) from unnest('{$rows}'::int[]) as r(n)
where not exists (select from quickstart_writes w where w.n = r.n)
END
}

ms_between() {
	local us=$(($2 - $1))
	printf '%d.%d ms' $((us / 1000)) $((us % 1000 / 100))
}

# writes_on_after NAME TIME: acknowledged ones that began later.
writes_on_after() {
	awk -v port="${server_port[$1]}" -v after="$2" '$4 == port && $1 > after { n++ } END { print n + 0 }' \
		"$writer_log"
}

stop_load() {
	stop_group "$writer_pid" TERM KILL
	writer_pid=
	stop_group "$reader_pid" TERM KILL
	reader_pid=
}

pgbench_again() {
	say 'pgbench again, on the new leader'
	run_step 'pgbench on the new leader' "$work/pgbench-after.log" \
		pgbench_through -n -c "$pgbench_clients" -j 2 -T 2
	grep '^tps' "$work/pgbench-after.log" | sed 's/^/  /'
}
