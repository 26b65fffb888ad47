# shellcheck shell=bash disable=SC2034,SC2154
# (Variables are shared with quickstart, which sources this.)
# The two PostgreSQL servers of quickstart, db1 and db2: a leader, a standby
# that streams from it, and what becomes of them. Other users of the machine
# can reach 127.0.0.1, hence the password; the socket lies in a directory that
# is closed to them.

declare -A server_port=() server_pid=()
killed= # when kill_server() did so, in microseconds

# sql PORT HOST STATEMENT...
sql() {
	local port=$1 host=$2
	shift 2
	"$pg_bin/psql" -XAtqw -v ON_ERROR_STOP=1 -h "$host" -p "$port" -U postgres \
		"${@/#/--command=}" postgres 2>>"$work/psql.log"
}

# sql_on NAME STATEMENT...: of a server itself, not through pgsplice.
sql_on() {
	sql "${server_port[$1]}" "$work" "${@:2}"
}

# secret_file FILE: holds what it reads, for the servers' user alone.
secret_file() {
	(umask 077 && cat >"$1")
	if [ -n "$run_as" ]; then
		chown -- "$run_as" "$1"
	fi
}

start_leader() {
	say "starting $1, the leader, on port ${server_port[$1]}"
	secret_file "$work/password" <<<"$password"
	run_step initdb "$work/initdb.log" exec_server "$pg_bin/initdb" -D "$work/$1" -U postgres \
		--auth-local=trust --auth-host=scram-sha-256 --pwfile="$work/password" \
		--encoding=UTF8 --locale=C --no-sync
	start_server "$1" f
}

# start_standby NAME LEADER
start_standby() {
	say "starting $1, a standby of $2, on port ${server_port[$1]}"
	run_step pg_basebackup "$work/basebackup.log" exec_server "$pg_bin/pg_basebackup" \
		-D "$work/$1" -h "$work" -p "${server_port[$2]}" -U postgres -w -R --checkpoint=fast --no-sync
	start_server "$1" t
	wait_until "$starts_s" is_streaming_from "$2" ||
		die 'the standby is not streaming' "$work/$1.log"
}

# start_server NAME RECOVERY: until it answers, RECOVERY being what
# pg_is_in_recovery() has to say. Its shared memory is in files of its own, so
# that a server that was killed leaves none.
start_server() {
	spawn "$work/$1.log" exec_server "$pg_bin/postgres" -D "$work/$1" \
		-c port="${server_port[$1]}" -c listen_addresses=127.0.0.1 \
		-c unix_socket_directories="$work" -c cluster_name="$1" -c fsync=off \
		-c wal_keep_size=256MB -c shared_buffers=64MB -c dynamic_shared_memory_type=mmap
	server_pid[$1]=$spawned
	wait_until "$starts_s" answers_or_ended "$1" "$2" || die "$1 does not answer" "$work/$1.log"
	check_running "$1" "${server_pid[$1]}"
}

# A server that has ended needs no more waiting.
answers_or_ended() {
	is_gone "${server_pid[$1]}" || [ "$(sql_on "$1" 'select pg_is_in_recovery()')" = "$2" ]
}

is_streaming_from() {
	[ "$(sql_on "$1" "select count(*) from pg_stat_replication where state = 'streaming'")" = 1 ]
}

# Prints the processes that PID has started. What stands before their state
# and their parent is a name in parentheses.
children_of() {
	local file line
	for file in /proc/[0-9]*/stat; do
		if read -r line 2>/dev/null <"$file" && [[ ${line##*) } == ?" $1 "* ]]; then
			printf '%d\n' "${line%% *}"
		fi
	done 2>/dev/null
}

# The server with all its processes, at once, as when its machine is lost; but
# the kernel still closes their connections. It is stopped first, so that it
# starts no more of them while they are looked for.
kill_server() {
	local pid=${server_pid[$1]} children
	kill -s STOP -- "$pid"
	mapfile -t children < <(children_of "$pid")
	server_pid[$1]=
	killed=${EPOCHREALTIME/[.,]/}
	{
		kill -s KILL -- "$pid" "${children[@]}"
		wait "$pid"
	} 2>/dev/null || true
}

# rejoin_server NAME LEADER: one that was killed, as a standby. What it still
# had is thrown away: it may hold writes that the new leader never got.
rejoin_server() {
	remove_shared_memory "$1"
	rm -rf -- "${work:?}/$1" "$work/.s.PGSQL.${server_port[$1]}"*
	start_standby "$1" "$2"
}

# The segment by which a server finds out whether another one has its data, if
# it could not remove that itself. Its number is in line 7 of the file, the
# server's process in line 1, with a minus while initdb is at work.
remove_shared_memory() {
	local lines id
	[ -s "$work/$1/postmaster.pid" ] || return 0
	mapfile -t lines <"$work/$1/postmaster.pid"
	id=$(awk -v pid="${lines[0]#-}" -v key_and_id="${lines[6]:-}" '
		BEGIN { split(key_and_id, wanted) }
		$2 == wanted[2] && $5 == pid { print $2 }' /proc/sysvipc/shm)
	if [ -n "$id" ]; then
		ipcrm -m "$id"
	fi
}
