#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run-direct.sh SNPUD PROGRAM ARGS: runs a test of libsnpu next to an snpud of its
# own with 8 NPUs, or SNPU_TEST_NPUS, and options of SNPU_TEST_OPTS. Fails when the
# test does, or when snpud died or reported errors.

snpud=$1
shift
dir=$(mktemp -d /tmp/snpu-test.XXXXXX) || exit 1
pid=''

finish()
{
	[[ -n $pid ]] && kill -TERM "$pid" 2>/dev/null && wait "$pid"
	rm -rf -- "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

mkfifo "$dir/ready" && exec 3<>"$dir/ready" || exit 1
"$snpud" --socket-dir "$dir/npu" --npus "${SNPU_TEST_NPUS:-8}" --log "$dir/log" --ready-fd 3 \
	${SNPU_TEST_OPTS:-} </dev/null >"$dir/err" 2>&1 &
pid=$!
if ! read -r -t 60 -u 3 _; then
	echo "Bail out! snpud was not ready within 60 s"
	cat "$dir/log" "$dir/err" >&2
	exit 1
fi
exec 3>&-

SNPU_TRANSPORT=direct SNPU_SOCKET_DIR=$dir/npu SNPU_TEST_SNPUD=$snpud "$@" </dev/null
rc=$?
if ! kill -TERM "$pid" 2>/dev/null; then
	echo "Bail out! snpud died while the test ran"
	rc=1
fi
# with the sanitizers it may have more to say at its end
wait "$pid"
snpud_rc=$?
pid=''
if ((snpud_rc != 0 || rc != 0)); then
	echo "snpud ended with $snpud_rc; its last words:" >&2
	tail -n 40 -- "$dir/log" "$dir/err" >&2
fi
((snpud_rc == 0)) || rc=1
exit $rc
