# What the scripts share. Sourced, never run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/.cache
cd "$root"

# As the Makefile has them, for a script that is run by itself.
export GOEXPERIMENT=jsonv2 CGO_ENABLED=0

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# retry TIMES COMMAND...: package mirrors and module proxies fail for a moment
# now and then, and a moment later they do not.
retry() {
	local times=$1 n=1
	shift
	until "$@"; do
		if [ "$n" -ge "$times" ]; then
			return 1
		fi
		say "  attempt $n of $times failed: $*"
		sleep $((n * 3))
		n=$((n + 1))
	done
}

# go_tool NAME PATH@VERSION: installs a pinned tool into .cache/bin, once. The
# version is part of a stamp, so that a new pin is a new build.
go_tool() {
	local name=$1 pin=$2
	local stamp=$cache/bin/.$name.version
	if [ -x "$cache/bin/$name" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$pin" ]; then
		return 0
	fi
	mkdir -p "$cache/bin"
	say "  go install $pin"
	# From outside the module: the tool's own go.mod decides, not ours.
	(cd / && GOBIN=$cache/bin GOEXPERIMENT='' GOFLAGS='' CGO_ENABLED=0 retry 3 go install "$pin")
	printf '%s\n' "$pin" >"$stamp"
}
