# shellcheck shell=bash disable=SC2034,SC2154
# (Variables are shared with quickstart, which sources this.)
# quickstart --store: a minimal sentinel for the two servers. It keeps the
# cluster data, enables the proxies it hears of, and changes the leader in the
# two steps that stolon's sentinel takes.

cluster_name=quickstart
generation=0
current_db=db1 # whose leadership is meant, as in cluster.status.master
routed_db=     # proxy.spec.masterDbUid
enabled=()     # proxy.spec.enabledProxies
# Twice the proxyTimeout below, but not under stolon's 20 s.
proxy_ttl_s=20

# db_json UID KEEPER PORT: the current leader leads, the other one follows it.
db_json() {
	local role='"role":"master"' healthy=true generation=1
	if [ "$1" != "$current_db" ]; then
		role='"role":"standby","followConfig":{"type":"internal","dbuid":"'$current_db'"}'
		# The old leader is not rebuilt as a standby here: that generation of it
		# is carried out by nobody.
		[ "$current_db" = db1 ] || healthy=false generation=2
	fi
	printf '"%s":{"uid":"%s","generation":%d,"spec":{"keeperUID":"%s",%s},' "$1" "$1" "$generation" \
		"$2" "$role"
	printf '"status":{"healthy":%s,"currentGeneration":1,' "$healthy"
	printf '"listenAddress":"127.0.0.1","port":"%s"}}' "$3"
}

quoted_list() {
	local IFS=,
	local quoted=("${@/#/\"}")
	printf '[%s]' "${quoted[*]/%/\"}"
}

clusterdata_json() {
	printf '{"formatVersion":1,"cluster":{"uid":"quickstart","generation":1,'
	printf '"spec":{"initMode":"new","proxyCheckInterval":"1s","proxyTimeout":"5s"},'
	printf '"status":{"phase":"normal","master":"%s"}},"keepers":{},"dbs":{' "$current_db"
	db_json db1 keeper1 "${server_port[db1]}"
	printf ','
	db_json db2 keeper2 "${server_port[db2]}"
	printf '},"proxy":{"generation":%d,"spec":{"masterDbUid":"%s"' "$generation" "$routed_db"
	if [ "${#enabled[@]}" -gt 0 ]; then
		printf ',"enabledProxies":'
		quoted_list "${enabled[@]}"
	fi
	printf '}}}'
}

# Every change of the proxy part is a new generation.
sentinel_publish() {
	generation=$((generation + 1))
	store_put "$(clusterdata_json)"
}

sentinel_withdraw() {
	current_db=$1
	routed_db=
	sentinel_publish
}

sentinel_lead() {
	current_db=$1
	routed_db=$1
	sentinel_publish
}

# Enables the proxies that are alive, if that is a change.
sentinel_tick() {
	local line alive=()
	while read -r line; do
		if [[ $line =~ \"UID\"[[:space:]]*:[[:space:]]*\"([^\"\\]+)\" ]]; then
			alive+=("${BASH_REMATCH[1]}")
		fi
	done < <(store_list_proxies "$proxy_ttl_s")
	if [ "${alive[*]}" != "${enabled[*]}" ]; then
		enabled=("${alive[@]}")
		sentinel_publish
	fi
}

# Has every enabled proxy carried out the current generation?
sentinel_converged() {
	local line waiting=${#enabled[@]}
	while read -r line; do
		if [[ $line =~ \"Generation\"[[:space:]]*:[[:space:]]*([0-9]+) ]] &&
			[ "${BASH_REMATCH[1]}" -eq "$generation" ]; then
			waiting=$((waiting - 1))
		fi
	done < <(store_list_proxies "$proxy_ttl_s")
	[ "$waiting" -le 0 ]
}

# What quickstart asks of a cluster; members.sh has the same four functions.

# Its servers run. Makes it known that db1 leads.
cluster_open() {
	store_open "$work" "${run_as:-$(id -un)}"
	sentinel_lead db1
}

# Prints what pgsplice has to be told, one flag a line. With one standby, the
# leader is who else could be read from.
cluster_flags() {
	printf '%s\n' --cluster-name="$cluster_name"
	store_flags
	printf '%s\n' --direct-target=replicas --direct-fallback=leader
}

# Has pgsplice made itself known to whom that matters?
cluster_has_proxy() {
	sentinel_tick
	[ "${#enabled[@]}" -gt 0 ]
}

# Once a second while quickstart waits.
cluster_tick() {
	store_check
	sentinel_tick
}
