#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run-direct.sh SNPUD NPUS PROGRAM ARGS: runs PROGRAM next to an snpud of its own,
# over the transport direct. Fails when the program does, or when snpud died.

snpud=$1 npus=$2
shift 2
dir=$(mktemp -d) || exit 1
pid=''

finish()
{
	[[ -n $pid ]] && kill -TERM "$pid" 2>/dev/null && wait "$pid"
	rm -rf -- "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

mkfifo "$dir/ready" && exec 3<>"$dir/ready" || exit 1
"$snpud" --socket-dir "$dir/npu" --npus "$npus" --log "$dir/log" --ready-fd 3 </dev/null &
pid=$!
if ! read -r -t 30 -u 3 _; then
	echo "snpud was not ready within 30 s; its log:" >&2
	cat "$dir/log" >&2
	exit 1
fi
exec 3>&-

SNPU_TRANSPORT=direct SNPU_SOCKET_DIR=$dir/npu "$@" </dev/null
rc=$?
if ! kill -0 "$pid" 2>/dev/null; then
	echo "snpud died while the program ran; its log:" >&2
	cat "$dir/log" >&2
	exit 1
fi
exit $rc
