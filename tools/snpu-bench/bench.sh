#!/bin/bash
# SPDX-License-Identifier: MIT
#
# bench.sh [--json FILE] [ROW...]: every figure of snpu-bench against its bar:
# direct rows next to a private snpud, guest rows in guests of tools/vm/snpu-vm.
# ROW: direct, daemon, guest, idle, start, demo, coll, memory, model, flows (default: all of these),
# supernode (48 guests; takes minutes). Exits 0 whatever falls short; a row that cannot be measured
# says why.

set -uo pipefail

self=bench
top=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../.." && pwd -P)
vm=$top/tools/vm
bin=$top/build/host/tools
parts=() json=''

msg()
{
	printf '%s: %s\n' "$self" "$*" >&2
}

while (($#)); do
	case $1 in
	--json)
		(($# > 1)) || { msg "--json: a file is missing"; exit 2; }
		json=$2; shift ;;
	--json=*) json=${1#*=} ;;
	-h|--help) sed -n '4,8s/^# //p' "${BASH_SOURCE[0]}"; exit 0 ;;
	direct|daemon|guest|idle|start|demo|coll|memory|model|flows|supernode) parts+=("$1") ;;
	*) msg "unknown argument '$1'; --help shows what there is"; exit 2 ;;
	esac
	shift
done
((${#parts[@]})) || parts=(direct daemon guest idle start demo coll memory model flows)

# Outside the tree: make the place for the rows, measure inside, write the JSON
if [[ -z ${SNPU_BENCH_DIR:-} ]]; then
	if [[ -n $json ]]; then
		: >>"$json" || { msg "$json: cannot be written"; exit 2; }
	fi
	SNPU_BENCH_DIR=$(mktemp -d /tmp/snpu-bench.XXXXXX) || exit 1
	export SNPU_BENCH_DIR
	peer_openmpi_file=$SNPU_BENCH_DIR/openmpi
	trap 'rm -rf -- "$SNPU_BENCH_DIR"' EXIT
	chmod 711 "$SNPU_BENCH_DIR"
	if [[ " ${parts[*]} " == *" coll "* ]]; then
		# the peer has a tree of its own; shared memory only, and it yields when idle
		"$vm/snpu-tree" run --layer bench -- sh -c 'd=$1; shift
			mpicc -O2 -o "$d/peer_mpi" "$1" && mpirun --allow-run-as-root --oversubscribe \
				--mca mpi_yield_when_idle 1 --mca pml ob1 --mca btl self,sm -n 384 \
				"$d/peer_mpi" 4194304 3 1' sh "$SNPU_BENCH_DIR" \
			"$top/tools/snpu-bench/peer_mpi.c" >"$peer_openmpi_file" 2>&1 ||
			tail -n 3 -- "$peer_openmpi_file" >&2
	fi
	if [[ " ${parts[*]} " == *" flows "* ]]; then
		for order in rotated same; do
			"$top/tools/snpu-bench/flows.sh" --order $order >"$SNPU_BENCH_DIR/flows-$order"
		done
	fi
	if [[ " ${parts[*]} " == *" supernode "* ]]; then
		"$vm/supernode" --json "$SNPU_BENCH_DIR/supernode" >&2
	fi
	"$vm/snpu-tree" run -- "$top/tools/snpu-bench/bench.sh" "${parts[@]}" || exit 1
	if [[ -n $json ]]; then
		{
			echo '['
			sed -e 's/,$//' -e '$!s/$/,/' "$SNPU_BENCH_DIR/rows"
			echo ']'
		} >"$json" || { msg "$json: cannot be written"; exit 1; }
	fi
	exit 0
fi

dir=$SNPU_BENCH_DIR
daemon='' guest=''

finish()
{
	local p

	for p in $guest $daemon; do
		kill -TERM "$p" 2>/dev/null
	done
	wait 2>/dev/null
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# bench ARGS: snpu-bench, its rows added to the others
bench()
{
	local rc

	"$bin/snpu-bench/snpu-bench" --no-header --json "$dir/one" "$@"
	rc=$?
	sed -n '/^{/p' "$dir/one" >>"$dir/rows" 2>/dev/null
	rm -f -- "$dir/one"
	return "$rc"
}

row()
{
	bench row "$@"
}

missing()
{
	row "$1" - - "not measured: $2"
}

# start_daemon NPUS [OPTION...]: an snpud of its own, as the unprivileged user it is made for;
# sets daemon, sockets and took (seconds until it said that it is ready)
start_daemon()
{
	local as=() t0 t1 ready

	sockets=$(mktemp -d "$dir/npu.XXXXXX") || return 1
	if ((EUID == 0)); then
		chown 61384:61384 "$sockets"
		as=(setpriv --reuid 61384 --regid 61384 --clear-groups --no-new-privs --inh-caps=-all --)
	fi
	rm -f -- "$dir/ready"
	mkfifo "$dir/ready" && exec 4<>"$dir/ready" || return 1
	t0=${EPOCHREALTIME/./}
	"${as[@]}" "$bin/snpud/snpud" --socket-dir "$sockets" --npus "$1" "${@:2}" --log "$sockets/log" \
		--ready-fd 4 >/dev/null 2>&1 </dev/null &
	daemon=$!
	read -r -t 30 -u 4 ready
	t1=${EPOCHREALTIME/./}
	exec 4>&-
	if [[ -z ${ready:-} ]]; then
		tail -n 5 -- "$sockets/log" >&2 2>/dev/null
		stop_daemon
		return 1
	fi
	took=$(awk -v us=$((t1 - t0)) 'BEGIN { printf "%.4f", us / 1e6 }')
}

stop_daemon()
{
	[[ -n $daemon ]] || return 0
	kill -TERM "$daemon" 2>/dev/null
	wait "$daemon" 2>/dev/null
	daemon=
}

# rss PID: MiB
rss()
{
	awk '/^VmRSS:/ { printf "%.1f", $2 / 1024 }' "/proc/$1/status"
}

# ticks PID: CPU time, in clock ticks; fields after the name, which may hold anything
ticks()
{
	local line

	line=$(<"/proc/$1/stat") || return 1
	# shellcheck disable=SC2086
	set -- ${line##*) }
	echo $((${12} + ${13}))
}

# child PID NAME: the child process of that name
child()
{
	local p

	for p in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
		[[ $(cat "/proc/$p/comm" 2>/dev/null) == "$2"* ]] && echo "$p" && return 0
	done
	return 1
}

# wait_for FILE TEXT SECONDS: until a line of FILE begins with TEXT or $guest ended
wait_for()
{
	local end=$((SECONDS + $3))

	until grep -q "^$2" "$1" 2>/dev/null; do
		kill -0 "$guest" 2>/dev/null && ((SECONDS < end)) || return 1
		sleep 0.02
	done
}

part_direct()
{
	local r

	if ! start_daemon 2; then
		for r in nop-latency-direct nop-throughput-direct peer-copy-direct matmul-bf16 matmul-int8; do
			missing "$r" "snpud did not start"
		done
		return
	fi
	bench --transport direct --socket-dir "$sockets" nop throughput peer-copy matmul ||
		msg "snpu-bench failed; its message is above"
	stop_daemon
}

part_daemon()
{
	local base count one

	base=$("$bin/snpu-bench/snpu-bench" socket-limit 384)
	start_daemon 1 && one=$(rss "$daemon")
	stop_daemon
	if ! start_daemon 384; then
		missing snpud-384-start "snpud did not start"
		missing snpud-384-rss "snpud did not start"
		return
	fi
	count=$(find "$sockets" -name 'npu*.sock' -type s | wc -l)
	if ((count == 384)); then
		row snpud-384-start "$took" "${base:--}"
	else
		missing snpud-384-start "$count of 384 sockets are there"
	fi
	row snpud-384-rss "$(rss "$daemon")" "${one:--}"
	stop_daemon
}

# The rows come out of the guest as text, between two marks
part_guest()
{
	local limit rc r

	limit=$("$bin/snpu-bench/snpu-bench" copy-limit)
	"$vm/snpu-vm" run --npus 2 --timeout 120 -- sh -c \
		"snpu-bench -t kmd -l ${limit:-1} -j /tmp/rows nop dma; cat /tmp/rows" \
		>"$dir/out" 2>"$dir/err"
	rc=$?
	if ((rc)) || ! grep -q '^{' "$dir/out"; then
		tail -n 5 -- "$dir/err" "$dir/out" >&2
		for r in nop-latency-guest host-to-hbm-guest hbm-to-host-guest; do
			missing "$r" "the guest failed with $rc"
		done
		return
	fi
	grep '^[a-z]' "$dir/out" | grep -v '^name '
	grep '^{' "$dir/out" >>"$dir/rows"
}

# share PID TICKS0 SECONDS: percent of a core
share()
{
	awk -v t=$(($(ticks "$1") - $2)) -v hz="$(getconf CLK_TCK)" -v s="$3" \
		'BEGIN { printf "%.3f", 100 * t / hz / s }'
}

# A guest that has its NPUs and does nothing: what do the two processes use?
part_idle()
{
	local d q d0 q0 seconds=8

	: >"$dir/out"
	"$vm/snpu-vm" run --npus 8 --timeout 120 -- sh -c \
		"echo up; sleep $((seconds + 4)); echo over" >"$dir/out" 2>"$dir/err" &
	guest=$!
	if ! wait_for "$dir/out" up 60; then
		tail -n 5 -- "$dir/err" >&2
		missing snpud-idle-guest "the guest did not start"
	elif ! d=$(child "$guest" snpud) || ! q=$(child "$guest" qemu-system); then
		missing snpud-idle-guest "snpud or QEMU not found among the children of snpu-vm"
	else
		sleep 2		# what the start left to do is over
		d0=$(ticks "$d")
		q0=$(ticks "$q")
		sleep "$seconds"
		if grep -q '^over' "$dir/out"; then
			missing snpud-idle-guest "the guest ended too soon"
		else
			row snpud-idle-guest "$(share "$d" "$d0" "$seconds")" \
				"$(share "$q" "$q0" "$seconds")" "over $seconds s, 8 NPUs"
		fi
	fi
	wait "$guest"
	guest=
}

# boot NPUS OPTIONS: seconds from the start of QEMU until the command runs, which
# snpu-vm starts when all NPUs have their device nodes
boot()
{
	local q start up hz

	: >"$dir/out"
	"$vm/snpu-vm" run --timeout 120 "$@" -- sh -c 'echo up' >"$dir/out" 2>"$dir/err" &
	guest=$!
	until q=$(child "$guest" qemu-system); do
		kill -0 "$guest" 2>/dev/null || break
		sleep 0.02
	done
	if [[ -n $q ]]; then
		start=$(<"/proc/$q/stat")
		# shellcheck disable=SC2086
		set -- ${start##*) }
		start=${20}
		wait_for "$dir/out" up 100 && read -r up _ </proc/uptime
	fi
	wait "$guest" || up=
	guest=
	[[ -n ${up:-} ]] || return 1
	hz=$(getconf CLK_TCK)
	awk -v up="$up" -v t="$start" -v hz="$hz" 'BEGIN { printf "%.2f", up - t / hz }'
}

# best CMD...: the smaller of the numbers that two runs print
best()
{
	local a b

	a=$("$@") && b=$("$@") || return 1
	printf '%s\n' "$a" "$b" | sort -n | head -n 1
}

part_start()
{
	local with without

	without=$(best boot --npus 0 --no-module) || without=-
	if with=$(best boot --npus 8); then
		row guest-start "$with" "$without" "8 NPUs, best of 2"
	else
		tail -n 5 -- "$dir/err" >&2
		missing guest-start "the guest did not start"
	fi
}

# number KEY: of the one JSON line that is read
number()
{
	sed -n "s/.*\"$1\": \([0-9.]*\)[,}].*/\1/p" | head -n 1
}

# coll ARGS: snpu-bench coll next to the daemon, its line
coll()
{
	"$bin/snpu-bench/snpu-bench" -t direct -d "$sockets" coll --json-lines "$@"
}

# busbw ROW PROFILE NPUS PUBLISHED ARGS: all-reduce in virtual time
busbw()
{
	local name=$1 published=$4 v

	if ! start_daemon "$3" --profile "$2" --timing; then
		missing "$name" "snpud did not start"
		return
	fi
	v=$(coll --timing-only --warmup 0 --iters 1 "${@:5}" | number virtual_busbw)
	stop_daemon
	if [[ -n $v ]]; then
		row "$name" "$v" "$published" "virtual time"
	else
		missing "$name" "snpu-bench coll failed; its message is above"
	fi
}

part_coll()
{
	local line us wrong peer peer_wrong

	peer=$(number wall_us <"$dir/openmpi" 2>/dev/null)
	peer_wrong=$(number wrong <"$dir/openmpi" 2>/dev/null)
	if ! start_daemon 384; then
		missing all-reduce-384 "snpud did not start"
	else
		line=$(coll -b 4M -n 5 -w 5 --register)
		us=$(number wall_us <<<"$line")
		wrong=$(number wrong <<<"$line")
		stop_daemon
		if [[ -z $us || $wrong != 0 ]]; then
			missing all-reduce-384 "failed, or wrong results: ${wrong:-none}"
		elif [[ -z $peer || $peer_wrong != 0 ]]; then
			row all-reduce-384 "$(awk -v t="$us" 'BEGIN { print 1e6 / t }')" - \
				"Open MPI failed, or has wrong results: ${peer_wrong:-none}"
		else
			row all-reduce-384 "$(awk -v t="$us" 'BEGIN { print 1e6 / t }')" \
				"$(awk -v t="$peer" 'BEGIN { print 1e6 / t }')" "4 MiB fp32 each"
		fi
	fi
	busbw busbw-h100-8 hgx-h100 8 370 -b 1G -a ring -S 4M
	busbw busbw-h100-8-switch hgx-h100 8 480 -b 1G -a switch -u -S 4M
	busbw busbw-nvl72-512m nvl72 72 586 -b 512M -a switch -u -S 4M
	busbw busbw-nvl72-8g nvl72 72 835 -b 8G -a switch -u -S 4M
}

# Peak of snpud with operands of 1 MiB on each of N NPUs; mailboxes come on top
part_memory()
{
	local n used=() note=''

	for n in 48 96 192 384; do
		if ! start_daemon "$n"; then
			missing snpud-384-used "snpud did not start with $n NPUs"
			return
		fi
		coll -o broadcast -b 512K -n 1 -w 0 >/dev/null || note='wrong results'
		used+=("$(awk '/^VmHWM:/ { printf "%.1f", $2 / 1024 }' "/proc/$daemon/status")")
		stop_daemon
	done
	if [[ -n $note ]]; then
		missing snpud-384-used "$note"
		return
	fi
	row snpud-384-used "${used[3]}" "${used[0]}" "48, 96, 192, 384 NPUs: ${used[*]} MiB; $(
		awk -v a="${used[0]}" -v b="${used[3]}" \
			'BEGIN { printf "%.2f MiB an NPU", (b - a) / 336 }')"
}

# modelled ROW COMMAND...: the table, then the row for its largest error
modelled()
{
	local name=$1 v
	shift

	"$bin/snpu-bench/snpu-bench" "$@" --row >"$dir/table" 2>"$dir/err"
	grep -v "^$name " "$dir/table"
	v=$(awk -v n="$name" '$1 == n { print $2 }' "$dir/table")
	if [[ -n $v ]]; then
		row "$name" "$v" - "largest error above"
	else
		tail -n 3 -- "$dir/err" >&2
		missing "$name" "snpu-bench $1 failed"
	fi
}

part_model()
{
	modelled p2p-cm384 p2p
	modelled ep-cm384 ep
	modelled gemm-int8 gemm -w int8,mla
	modelled gemm-bf16-cm384-781 gemm -w bf16 --profile cm384-781
	modelled gemm-bf16-nvl72 gemm -w bf16 --profile nvl72
	modelled decode-cm384 decode
}

part_flows()
{
	local order ours peer cpu

	for order in rotated same; do
		read -r ours peer _ cpu _ <"$dir/flows-$order"
		if [[ -n ${peer:-} ]]; then
			row "flows-$order" "$ours" "${peer#<}" "147,072 flows in $cpu s of CPU"
		else
			missing "flows-$order" "flows.sh failed; its message is above"
		fi
	done
}

part_supernode()
{
	local s

	s=$(number total_s <"$dir/supernode" 2>/dev/null)
	if [[ -n $s && $(number exit <"$dir/supernode") == 0 ]]; then
		row supernode-48 "$s" - "384 ranks verified, $(number memory_mib <"$dir/supernode") MiB"
	else
		missing supernode-48 "it failed; its message is above"
	fi
}

# timed CMD...: seconds
timed()
{
	local t0=${EPOCHREALTIME/./}

	"$@" >"$dir/out" 2>&1 </dev/null || return 1
	awk -v us=$((${EPOCHREALTIME/./} - t0)) 'BEGIN { printf "%.2f", us / 1e6 }'
}

part_demo()
{
	local guest_s direct_s

	direct_s=$(timed make -C "$top" --no-print-directory demo DIRECT=1) || direct_s=-
	if guest_s=$(timed make -C "$top" --no-print-directory demo); then
		row demo-cached "$guest_s" "$direct_s" "all caches there"
	else
		tail -n 5 -- "$dir/out" >&2
		missing demo-cached "make demo failed"
	fi
}

[[ -x $bin/snpu-bench/snpu-bench && -x $bin/snpud/snpud ]] || {
	msg "not built; run 'make build'"
	exit 1
}
: >"$dir/rows"
printf '%-22s %10s %-12s %10s %-31s %9s %-8s\n' name value unit reference '' ratio bar
for p in "${parts[@]}"; do
	"part_$p"
done
exit 0
