# shellcheck shell=bash disable=SC2034,SC2154
# (Variables are shared with quickstart, which sources this.)
# The file store, as quickstart uses it. Another store is another
# store-NAME.sh with the same five functions.

store_packages= # group of install-deps that the store needs

# store_open DIR USER: prepares the store below DIR, for servers run by USER.
store_open() {
	store_root=$1/store/stolon/cluster/$cluster_name
	mkdir -p -- "$store_root/proxies/info"
	if [ "$(id -u)" -eq 0 ]; then
		chown -R -- "$2" "$1/store"
	fi
}

# store_check: ends quickstart if the store has ended.
store_check() {
	:
}

# Prints pgsplice's store flags, one a line.
store_flags() {
	printf '%s\n' --store-backend=file "--store-endpoints=${store_root%/stolon/cluster/*}"
}

# store_put JSON: replaces the cluster data. The rename makes it atomic.
store_put() {
	printf '%s\n' "$1" >"$store_root/.clusterdata.new"
	mv -fT -- "$store_root/.clusterdata.new" "$store_root/clusterdata"
}

# store_list_proxies SECONDS: prints the ProxyInfo of every proxy heard of in
# that time, one a line.
store_list_proxies() {
	local file line
	while read -r file; do
		line=
		# Without a newline at the end read fails, but has read.
		IFS= read -r -d '' line <"$file" || true
		printf '%s\n' "${line//$'\n'/ }"
	done < <(find "$store_root/proxies/info" -maxdepth 1 -type f ! -name '.*' \
		-newermt "-$1 seconds" 2>/dev/null | sort)
}
