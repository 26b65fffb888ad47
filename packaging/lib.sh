# shellcheck shell=bash
# What install-deps and quickstart share: messages and waiting.

program=${0##*/}

say() {
	printf '%s: %s\n' "$program" "$*" >&2
}

# die WHAT [LOG]: says what failed, shows the end of its log, ends with 1.
die() {
	say "error: $1"
	if [ -n "${2:-}" ] && [ -s "$2" ]; then
		say "last lines of ${2##*/}:"
		tail -n 20 -- "$2" | sed 's/^/    /' >&2
	fi
	exit 1
}

# wait_until SECONDS COMMAND...: true as soon as COMMAND is, false when the
# time is up. The clock is bash's own, so a slow COMMAND counts too.
wait_until() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		if [ "$SECONDS" -ge "$end" ]; then
			return 1
		fi
		sleep 0.02
	done
}

# Microseconds since 1970. The separator follows the locale, so both are cut.
now_us() {
	printf '%s' "${EPOCHREALTIME/[.,]/}"
}
