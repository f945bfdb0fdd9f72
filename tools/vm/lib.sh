# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Shared by the scripts of tools/vm: messages, places, locks, progress.
# Sourced with $self set to the script's name for messages.

set -uo pipefail

vm_dir=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
top=$(cd -- "$vm_dir/../.." && pwd -P)
cache=${SNPU_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/snpu}
build=$top/build

msg()
{
	printf '%s: %s\n' "$self" "$*" >&2
}

die()
{
	msg "error: $*"
	exit 1
}

# usage_die TEXT: bad command line; 2 as most tools do
usage_die()
{
	msg "$*"
	msg "try '$self --help'"
	exit 2
}

# need_int NAME VALUE MIN MAX: a number from the command line, checked once
need_int()
{
	[[ $2 =~ ^[0-9]{1,9}$ ]] && ((10#$2 >= $3 && 10#$2 <= $4)) ||
		usage_die "$1: '$2' is not a number from $3 to $4"
}

make_cache()
{
	mkdir -p -- "$cache" || die "cannot create the cache directory $cache"
	cache=$(cd -- "$cache" && pwd -P)
	[[ -w $cache ]] || die "the cache directory $cache is not writable; set SNPU_CACHE"
	[[ $cache != "$top" && $cache != "$top"/* ]] ||
		die "the cache $cache lies inside the checkout; set SNPU_CACHE to a place outside"
}

# take_lock NAME FD: wait for the makers of NAME that came first
take_lock()
{
	local file=$cache/$1.lock fd=$2

	eval "exec $fd>>\"\$file\"" || die "cannot open lock file $file"
	if ! flock -n "$fd"; then
		msg "waiting for another run that is making $1"
		flock "$fd" || die "cannot lock $file"
	fi
}

# own_dir NAME PREFIX: sets NAME to a new directory PREFIX-XXXXXX. It is locked for as long as this
# script lives, or anything that it has started; before it has that name, so that nobody finds it
# without.
own_dir()
{
	local new fd

	new=$(mktemp -d "$2.XXXXXX") || die "cannot create a directory in ${2%/*}"
	exec {fd}<"$new" && flock -n "$fd" && mv -T -- "$new" "$2-${new##*.}" ||
		{ rmdir -- "$new"; die "cannot lock a directory in ${2%/*}"; }
	printf -v "$1" '%s' "$2-${new##*.}"
}

# sweep PREFIX...: removes the directories of own_dir whose owners were killed
sweep()
{
	local prefix d

	for prefix; do
		for d in "$prefix"-??????; do
			[[ -d $d && ! -L $d && -O $d ]] || continue
			{ flock -n 9 && rm -rf --one-file-system -- "$d"; } 9<"$d"
		done
	done 2>/dev/null
	return 0
}

# Work that is waited for is put in the background, with a process group of its
# own: only so does a signal end this script, and the work with it, at once.
# start_job CMD...: $job is the group. stop_job ends it, if it still runs.
job=

start_job()
{
	set -m
	"$@" &
	job=$!
	set +m
}

wait_job()
{
	local rc

	wait "$job"
	rc=$?
	job=
	return $rc
}

# group_lives GROUP: some of it run; who waits to be reaped does not, and may wait for long
group_lives()
{
	local f line state group

	kill -0 -- "-$1" 2>/dev/null || return 1
	for f in /proc/[0-9]*/stat; do
		{ read -r line <"$f"; } 2>/dev/null || continue
		# after the name, which may be anything
		read -r state _ group _ <<<"${line##*) }"
		[[ $group != "$1" || $state == Z ]] || return 0
	done
	return 1
}

stop_job()
{
	local i

	[[ -n $job ]] || return 0
	kill -TERM -- "-$job" 2>/dev/null && wait "$job" 2>/dev/null
	# its leader is gone; others of the group may still write to what is removed next
	for ((i = 0; i < 100; i++)); do
		group_lives "$job" || break
		sleep 0.05
	done
	job=
}

# progress LABEL ESTIMATE FUNC: until $job ends, show how far FUNC says it
# is (it prints 0..1000) and the time left; ESTIMATE (seconds) serves until
# there is something measured. One line redrawn on a terminal; else one line
# each 15 seconds. Returns the exit code of the job.
progress()
{
	local label=$1 est=$2 func=$3
	local start=$SECONDS last=-15 done left line rc

	while kill -0 "$job" 2>/dev/null; do
		done=$($func)
		local t=$((SECONDS - start))
		if ((done >= 50)); then
			left=$((t * (1000 - done) / done))
		else
			left=$((est > t ? est - t : 1))
		fi
		line="$label: $((done / 10))%, ${t} s, about ${left} s left"
		if [[ -t 2 ]]; then
			printf '\r%-78s' "$line" >&2
		elif ((SECONDS - last >= 15)); then
			msg "$line"
			last=$SECONDS
		fi
		sleep 1
	done
	wait_job
	rc=$?
	[[ -t 2 ]] && printf '\r%-78s\r' '' >&2
	((rc)) || msg "$label: done in $((SECONDS - start)) s"
	return $rc
}

# The package lists of the tree in use: a layer (SNPU_TREE_LAYER) is a tree of its own that has its
# packages on top.
tree_lists()
{
	local l=${SNPU_TREE_LAYER:-}

	[[ -z $l || ( $l =~ ^[a-z]+$ && -r $vm_dir/packages-$l.txt ) ]] ||
		die "there is no layer '$l': no tools/vm/packages-$l.txt"
	cat "$vm_dir/packages.txt" ${l:+"$vm_dir/packages-$l.txt"}
}

tree_key()
{
	tree_lists | sha256sum | cut -c1-12
}

# The tree is whole only if its stamp, written last, is whole.
tree_ok()
{
	local stamp=$1/.snpu-stamp

	[[ -s $stamp ]] || return 1
	[[ $(head -n1 -- "$stamp") == "key $(tree_key)" && $(tail -n1 -- "$stamp") == end ]]
}

# bind_dir DIR: adds DIR to $binds, the directories of this machine that are seen in the tree as well
bind_dir()
{
	[[ -d $1 ]] || return 0
	case $1/ in
	//|/usr/*|/bin/*|/sbin/*|/lib*|/etc/*|/boot/*|/opt/|/var/|/tmp/*|/proc/*|/sys/*|/dev/*|"$top"/*) ;;
	*) binds+=(--bind "$1") ;;
	esac
}

is_elf()
{
	[[ -f $1 && $(head -c 4 -- "$1" | tail -c 3 2>/dev/null) == ELF ]]
}
