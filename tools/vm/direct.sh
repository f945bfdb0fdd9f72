# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# snpu-vm direct for programs of this machine: they run here, with the user's own environment; only
# snpud runs in the Debian tree. Sourced, after carry.sh.

# built_program NAME: where a program that was built in the checkout lies
built_program()
{
	local d

	for d in tools/snpud tools/snpuctl tools/snpu-bench userspace/demo; do
		[[ -x $build/host/$d/$1 && -f $build/host/$d/$1 ]] && { echo "$build/host/$d/$1"; return 0; }
	done
	return 1
}

# direct_here CMD ARGS: returns if CMD has to run in the tree instead
direct_here()
{
	local prog w why rc serve_rc

	# names of built programs are not looked for on this machine
	[[ $1 == */* ]] || ! built_program "$1" >/dev/null || return 0
	prog=$(type -P -- "$1")
	if [[ -z $prog ]]; then
		[[ ! -e $1 ]] || die "direct: '$1' is not an executable file (chmod +x if it is a program)"
		die "direct: '$1': there is no such program on this machine"
	fi
	for w; do
		w=$(readlink -m -- "$w")
		[[ $w != "$build"/host/* ]] || return 0
	done
	[[ "$*" != *build/host/* ]] || return 0
	if is_elf "$prog"; then
		why=$(elf_interp "$prog") || die "direct: $1 cannot run here: $why, this machine is x86-64"
	fi
	why=$(here_runs "$prog") || {
		msg "$1 runs in the Debian tree: this machine lacks $why"
		return 0
	}

	export SNPU_VM_UID=$EUID
	coproc SERVE { exec "$vm_dir/snpu-tree" run "${binds[@]}" -- "$me" serve "${opts[@]}"; }
	serve_pid=$SERVE_PID serve_in=${SERVE[1]} cmd_pid=
	trap 'direct_end' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	read -r sockets <&"${SERVE[0]}" || { wait "$serve_pid"; exit 1; }
	env -u SNPU_VM_UID SNPU_SOCKET_DIR="$sockets" "$prog" "${@:2}" <&0 &
	cmd_pid=$!
	wait "$cmd_pid"
	rc=$?
	cmd_pid=
	exec {serve_in}>&-
	wait "$serve_pid"
	serve_rc=$?
	serve_pid=
	((serve_rc == 0)) || exit 1
	exit $rc
}

direct_end()
{
	[[ -z $cmd_pid ]] || kill -TERM "$cmd_pid" 2>/dev/null
	exec {serve_in}>&-
	[[ -z $serve_pid ]] || wait "$serve_pid" 2>/dev/null
}
