# shellcheck shell=bash disable=SC2034,SC2154
# (Variables are shared with quickstart, which sources this.)
# An etcd of quickstart's own, spoken to over its JSON gateway; see
# store-file.sh for what each function is to do.

store_packages=etcd
etcd_pid=
etcd_port=
# HTTP/1.0, so that an answer ends with its connection and is not in chunks.
etcd_request='POST %s HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%s'

# etcd 3.4 runs on ARM only when told that this is meant.
etcd_arch() {
	case $(uname -m) in
	aarch64) printf arm64 ;;
	*) uname -m ;;
	esac
}

store_open() {
	local peer etcd
	etcd=$(command -v etcd) || die 'no etcd; install etcd-server'
	etcd_port=$(random_free_port)
	taken_ports+=" $etcd_port"
	peer=$(random_free_port)
	say "starting etcd on port $etcd_port"
	spawn "$1/etcd.log" exec_server env ETCD_UNSUPPORTED_ARCH="$(etcd_arch)" "$etcd" \
		--name=quickstart --data-dir="$1/etcd" --log-level=warn \
		--listen-client-urls="http://127.0.0.1:$etcd_port" \
		--advertise-client-urls="http://127.0.0.1:$etcd_port" \
		--listen-peer-urls="http://127.0.0.1:$peer" \
		--initial-advertise-peer-urls="http://127.0.0.1:$peer" \
		--initial-cluster="quickstart=http://127.0.0.1:$peer"
	etcd_pid=$spawned
	wait_until "$starts_s" etcd_answers_or_ended || die 'etcd does not answer' "$1/etcd.log"
	store_check
}

store_check() {
	check_running etcd "$etcd_pid"
}

store_flags() {
	printf '%s\n' --store-backend=etcdv3 "--store-endpoints=http://127.0.0.1:$etcd_port"
}

store_put() {
	etcd_call /v3/kv/put '{"key":"%s","value":"%s"}' "$(etcd_key clusterdata)" \
		"$(base64 -w 0 <<<"$1")" >/dev/null || die 'etcd took no cluster data' "$work/etcd.log"
}

# A proxy's key is on a lease, so those that are there are heard of.
store_list_proxies() {
	local value
	{ etcd_call /v3/kv/range '{"key":"%s","range_end":"%s"}' "$(etcd_key proxies/info/)" \
		"$(etcd_key proxies/info0)" || true; } |
		grep -o '"value": *"[A-Za-z0-9+/=]*"' | cut -d '"' -f 4 |
		while read -r value; do
			base64 -d <<<"$value" | tr '\n' ' '
			echo
		done
}

etcd_key() {
	printf 'stolon/cluster/%s/%s' "$cluster_name" "$1" | base64 -w 0
}

# etcd_call PATH FORMAT VALUE...: prints the answer's body.
etcd_call() {
	local path=$1 format=$2 body answer
	shift 2
	# shellcheck disable=SC2059
	body=$(printf "$format" "$@")
	answer=$(
		exec 2>/dev/null
		exec 3<>"/dev/tcp/127.0.0.1/$etcd_port" || exit 1
		# shellcheck disable=SC2059
		printf "$etcd_request" "$path" "${#body}" "$body" >&3
		exec timeout 5 cat <&3
	) || return 1
	[[ $answer =~ ^HTTP/1\.[01]\ 200\  ]] || return 1
	printf '%s\n' "${answer#*$'\r\n\r\n'}"
}

etcd_answers_or_ended() {
	is_gone "$etcd_pid" || etcd_call /v3/kv/range '{"key":"%s"}' "$(etcd_key clusterdata)" >/dev/null
}
