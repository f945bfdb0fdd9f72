#!/bin/bash
# SPDX-License-Identifier: MIT
#
# test_determinism.sh SNPUD SNPUCTL PROGRAM: runs the program beside snpuds of different numbers of
# threads, with threads and doorbells that are late at random, and compares what it was told of
# virtual time, and the hash of the trace. Then the snpuctl timing commands.

snpud=$1 snpuctl=$2 program=$3
dir=$(mktemp -d /tmp/snpu-det.XXXXXX) || exit 1
pid=''
n=0

finish()
{
	[[ -n $pid ]] && kill -TERM "$pid" 2>/dev/null && wait "$pid"
	rm -rf -- "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

ok()
{
	n=$((n + 1))
	echo "ok $n - $1"
}

fail()
{
	n=$((n + 1))
	echo "not ok $n - $1"
	sed 's/^/# /' "$dir/out" "$dir/err" "$dir/log" 2>/dev/null | tail -n 40
	exit 1
}

start()
{
	rm -rf -- "$dir/npu" "$dir/ready"
	mkfifo "$dir/ready" && exec 3<>"$dir/ready" || exit 1
	"$snpud" --socket-dir "$dir/npu" --npus 8 --log "$dir/log" --ready-fd 3 --timing "$@" \
		</dev/null >"$dir/err" 2>&1 &
	pid=$!
	read -r -t 60 -u 3 _ || fail "snpud was not ready within 60 s"
	exec 3>&-
}

stop()
{
	kill -TERM "$pid" && wait "$pid" || fail "snpud ended with $?"
	pid=''
}

ctl()
{
	"$snpuctl" --dir "$dir/npu" "$@" >"$dir/ctl" 2>"$dir/ctl.err"
}

run()
{
	SNPU_TEST_SEED=$1 SNPU_TRANSPORT=direct SNPU_SOCKET_DIR=$dir/npu "$program" \
		</dev/null >"$dir/out" 2>&1
}

once()
{
	local name=$1 seed=$2
	shift 2

	start "$@"
	run "$seed" || fail "$name: the program failed"
	ctl --json timing summary || fail "$name: no summary"
	{ grep '^# time' "$dir/out"; grep -E '"(now_ns|packets|transfers|hash|freed_by_cpu)"' "$dir/ctl"; } \
		>"$dir/times"
	stop
	[[ -f $dir/want ]] || cp "$dir/times" "$dir/want"
	diff "$dir/want" "$dir/times" >"$dir/err" || fail "$name: other times"
	ok "$name: $(grep -c '^# time' "$dir/times") times, $(grep hash "$dir/times" | tr -d ' ",')"
}

echo 'TAP version 13'
echo 1..12
once "1 worker" '' --workers 1
once "4 workers" '' --workers 4
once "1 worker that stalls" '' --workers 1 --test-delays 3
once "4 workers that stall, late doorbells" 5 --workers 4 --test-delays 7
once "2 workers that stall, late doorbells" 11 --workers 2 --test-delays 12345
once "late doorbells" 77 --workers 2
once "with a packet log beside" '' --workers 2 --packet-log "$dir/plog"
ctl log "$dir/plog" || fail "the packet log is damaged"
want=$(sed -nE 's/.*"packets": *([0-9]+).*/\1/p' "$dir/times")
grep -q ", $want packets" "$dir/ctl" && ok "and both have the same packets" ||
	fail "packet log: $(head -n 1 "$dir/ctl"), virtual time: $want packets"

start --workers 2
run '' || fail "the program failed"
ctl timing links && [[ $(wc -l <"$dir/ctl") -gt 16 ]] && ok "links" || fail "links: $(cat "$dir/ctl")"
ctl timing trace "$dir/trace.json" && grep -q MATMUL "$dir/trace.json" && tail -n 1 "$dir/trace.json" |
	grep -qx ']}' && ok "trace" || fail "trace: $(cat "$dir/ctl.err")"
ctl timing trace /dev/null && fail "a trace to a device"
grep -q 'descriptor is not one of a file' "$dir/ctl.err" || fail "$(cat "$dir/ctl.err")"
ctl timing reset && ctl --json timing summary && grep -qE '"now_ns": *0' "$dir/ctl" &&
	grep -qE '"packets": *0' "$dir/ctl" && ok "reset" || fail "reset: $(cat "$dir/ctl" "$dir/ctl.err")"
stop

start --timing-records 50
run '' && fail "times of more packets than are kept"
ctl timing summary && fail "a summary of more packets than are kept"
grep -q 'more packets ran than are kept' "$dir/ctl.err" || fail "$(cat "$dir/ctl.err")"
grep -q 'virtual time is lost: more than 50 packets' "$dir/log" || fail "no message in the log"
ctl timing reset && ctl timing summary && ok "more packets than are kept, then reset" ||
	fail "$(cat "$dir/ctl.err")"
stop
