# shellcheck shell=bash disable=SC2034,SC2154
# (Variables are shared with quickstart, which sources this.)
# quickstart without a store: pgsplice asks the two servers themselves who
# leads, by a role that may do no more than log in; see sentinel.sh for what
# each function is to do.

cluster_open() {
	local probe_password
	probe_password=$(new_password)
	secret_file "$work/pgpass" <<<"*:*:*:probe:$probe_password"
	# Not as an argument, which all users of the machine could see.
	"$pg_bin/psql" -XAtqw -v ON_ERROR_STOP=1 -h "$work" -p "${server_port[db1]}" -U postgres postgres \
		2>>"$work/psql.log" <<<"create role probe login password '$probe_password'" ||
		die 'could not create a role' "$work/psql.log"
}

cluster_flags() {
	printf '%s\n' --members="127.0.0.1:${server_port[db1]},127.0.0.1:${server_port[db2]}" \
		--probe-conninfo="user=probe passfile='$work/pgpass'" --direct-target=replicas
}

# Nobody waits for it.
cluster_has_proxy() {
	:
}

cluster_tick() {
	:
}
