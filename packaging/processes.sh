# shellcheck shell=bash disable=SC2034,SC2154
# (Variables are shared with quickstart, which sources this.)
# Starts and ends the processes of quickstart. Each one is a job of its own
# process group: Ctrl-C at the terminal reaches this script only, which then
# ends them in the right order, and nothing but what it started.

spawned=    # process id, and group, of the last one
run_as=     # the unprivileged user, when run as root
starts_s=30 # limit for a server to start

# exec_server COMMAND...: becomes COMMAND, as the unprivileged user. Should
# this script be killed outright, the kernel ends the servers for it.
exec_server() {
	if [ -n "$run_as" ]; then
		exec setpriv --reuid="$run_as" --regid="$(id -g "$run_as")" --init-groups \
			--pdeathsig TERM env HOME="$work" "$@"
	fi
	exec setpriv --pdeathsig TERM "$@"
}

# spawn LOG COMMAND...: job control is what gives a job its own group.
spawn() {
	local log=$1
	shift
	set -m
	"$@" </dev/null >>"$log" 2>&1 &
	spawned=$!
	set +m
}

# run_step WHAT LOG COMMAND...: runs to the end, in the background so that a
# signal does not have to wait for it.
run_step() {
	local what=$1 log=$2 code=0
	shift
	spawn "$@"
	wait "$spawned" || code=$?
	[ "$code" -eq 0 ] || die "$what failed (exit $code)" "$log"
}

is_running() {
	kill -0 -- "$1" 2>/dev/null
}

is_gone() {
	! is_running "$1"
}

# check_running NAME PID: ends quickstart if that process has ended.
check_running() {
	is_running "$2" || die "$1 ended" "$work/$1.log"
}

# stop_group PID SIGNAL...: sends each signal in turn until the group is empty.
stop_group() {
	local pid=$1 signal
	shift
	for signal in "$@"; do
		if is_gone "-$pid"; then
			break
		fi
		# One that is stopped, as by kill_server(), gets none otherwise.
		kill -s "$signal" -- "-$pid" 2>/dev/null || true
		kill -s CONT -- "-$pid" 2>/dev/null || true
		wait_until 10 is_gone "-$pid" && break
	done
	wait "$pid" 2>/dev/null || true
}

# For a server INT is the fast shutdown and QUIT the immediate one.
stop_all() {
	local pid
	for pid in $writer_pid $reader_pid $pgbench_pid; do
		stop_group "$pid" TERM KILL
	done
	if [ -n "$pgsplice_pid" ]; then
		stop_group "$pgsplice_pid" TERM KILL
	fi
	for pid in ${server_pid[db2]:-} ${server_pid[db1]:-}; do
		stop_group "$pid" INT QUIT KILL
	done
	# A step under way, or one whose id was not yet noted when a signal came.
	for pid in $(jobs -p); do
		stop_group "$pid" TERM INT KILL
	done
}
