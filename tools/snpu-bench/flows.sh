#!/bin/bash
# SPDX-License-Identifier: MIT
#
# flows.sh [OPTIONS OF snpu-flows]: flows that the timing plane simulates a second
# of CPU, and SimGrid with the same traffic on the same machine, in the same run. Prints
# one line: ours/s, SimGrid's/s, ratio, our CPU seconds, virtual seconds of both.
# --limit S: SimGrid gets S seconds (default 300); stopped then, its rate is below
# flows/S, which is what is printed, with a "<" before it.

set -uo pipefail

self=flows
top=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../.." && pwd -P)
tree=$top/tools/vm/snpu-tree
limit=300
args=()

while (($#)); do
	case $1 in
	--limit) (($# > 1)) || { echo "$self: --limit: seconds are missing" >&2; exit 2; }
		limit=$2; shift ;;
	-h|--help) sed -n '4,8s/^# //p' "${BASH_SOURCE[0]}"; exit 0 ;;
	*) args+=("$1") ;;
	esac
	shift
done

dir=$(mktemp -d /tmp/snpu-flows.XXXXXX) || exit 1
trap 'rm -rf -- "$dir"' EXIT
"$tree" run --layer bench --bind "$dir" -- g++ -O2 -o "$dir/simgrid-flows" \
	"$top/tools/snpu-bench/simgrid-flows.cpp" -lsimgrid >&2 || {
	echo "$self: the peer cannot be built: is the layer 'bench' there?" >&2
	exit 1
}
ours=$("$tree" run --bind "$dir" -- "$top/build/host/tools/snpu-bench/snpu-flows" \
	--traffic "$dir/traffic" ${args[@]+"${args[@]}"}) || exit 1
theirs=$("$tree" run --layer bench --bind "$dir" -- \
	timeout "$limit" "$dir/simgrid-flows" "$dir/traffic" 2>"$dir/err")
rc=$?
if ((rc == 124)); then
	theirs="0 $limit ${ours#* * }"
elif ((rc)); then
	cat -- "$dir/err" >&2
	exit 1
fi
awk -v o="$ours" -v t="$theirs" -v rc="$rc" 'BEGIN {
	split(o, a); split(t, b)
	if (rc == 0 && a[3] != b[3]) { print "flows differ" >"/dev/stderr"; exit 1 }
	x = a[3] / a[2]; y = b[3] / b[2]
	printf "%.0f %s%.0f %.2f %.3f %.9g %.9g\n", x, rc ? "<" : "", y, x / y, a[2], a[1], b[1]
}'
