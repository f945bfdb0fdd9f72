# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Tests of several guests of one snpud, which all run snpu-test-guests: starting them, waiting for
# their words and their ends. Sourced, after lib.sh.

# shellcheck source=machine.sh
. "$vm_dir/machine.sh"

limit=300		# seconds for each wait; a guest boots in a few
program=/opt/snpu/tests/snpu-test-guests
npus=16 profile='' timing=0 packet_log='' stage=''
sweep /tmp/snpu-vm
own_dir dir /tmp/snpu-vm
pids=()

finish()
{
	local p

	for p in "${pids[@]}"; do
		kill -TERM "$p" 2>/dev/null
	done
	# they take their QEMU along
	wait "${pids[@]}" 2>/dev/null
	cleanup
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# guest NAME HOST ROLE...: host 0 has the first eight NPUs, host 1 the others
guest()
{
	local name=$1 host=$2 k
	shift 2

	mkdir -p "$dir/host$host" || die "cannot write to $dir"
	for ((k = 0; k < 8; k++)); do
		ln -sfn "$sockets/npu$((host * 8 + k)).sock" "$dir/host$host/npu$k.sock"
	done
	: >"$dir/$name.out"
	"$vm_dir/snpu-vm" run --no-snpud "$dir/host$host" --smp 1 --nodes 1 --mem 1024 \
		--timeout $((2 * limit)) --qemu-opt -pidfile --qemu-opt "$dir/$name.qemu" \
		-- "$program" "$@" >"$dir/$name.out" 2>"$dir/$name.err" </dev/null &
	pid=$!
	pids+=("$pid")
}

# until_says NAME WORDS: a guest that ends will not say it any more
until_says()
{
	if ! timeout "$limit" grep -q -m1 "^# $2" < <(exec tail -n +1 -s 0.1 --pid="${!1}" -f "$dir/$1.out"); then
		show "$1"
		die "guest '$1' did not say '$2' within $limit s"
	fi
}

show()
{
	msg "guest '$1':"
	tail -n 60 -- "$dir/$1.out" "$dir/$1.err" >&2
}

# ends_well NAME PID
ends_well()
{
	wait "$2" || { show "$1"; die "guest '$1' failed"; }
	snpud_alive || { show_snpud_log; die "snpud died"; }
}
