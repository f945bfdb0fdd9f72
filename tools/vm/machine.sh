# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# snpud and QEMU: starting, watching and ending them. Sourced by snpu-vm.

snpud_uid=61384
snpud_pid= qemu_pid= cmd_pid= snpud_log= snpud_rc= snpud_why=

# Kernel words that mean a fault. "Call Trace" is not one of them: fault
# injection prints it for what it was asked to do.
fault_words='WARNING:|BUG:|KASAN:|UBSAN:|Oops:|Oops |general protection fault|Kernel panic|INFO: task |rcu:.*(stall|detected expedited)|possible (circular|recursive|irq lock inversion)|inconsistent lock state|suspicious RCU usage|unreferenced object|ODEBUG:|list_(add|del) corruption|refcount_t:|soft lockup|hard LOCKUP|workqueue lockup|invalid opcode:|divide error:|double fault|scheduling while atomic|sleeping function called|cut here \]|kobject.*(already|tried to init)|sysfs: cannot create duplicate|Trying to vfree|page allocation failure|Out of memory'

cleanup()
{
	local p

	stop_job
	for p in "$qemu_pid" "$cmd_pid" "$snpud_pid"; do
		[[ -n $p ]] && kill -TERM "$p" 2>/dev/null
	done
	if [[ -n $snpud_pid ]]; then
		# a daemon that does not end when told to is ended
		timeout 5 tail --pid="$snpud_pid" -f /dev/null 2>/dev/null || kill -KILL "$snpud_pid" 2>/dev/null
	fi
	[[ -n $qemu_pid ]] && kill -KILL "$qemu_pid" 2>/dev/null
	wait 2>/dev/null
	rm -rf --one-file-system -- "$dir" "$stage" "${carry:-$stage}"
}

snpud_alive()
{
	[[ -n $snpud_pid ]] && kill -0 "$snpud_pid" 2>/dev/null
}

# snpud_end: $snpud_why says how an snpud that is gone has ended
snpud_end()
{
	if [[ -z $snpud_rc ]]; then
		wait "$snpud_pid" 2>/dev/null
		snpud_rc=$?
	fi
	snpud_why=$(ended_by "$snpud_rc")
}

# snpud never runs as root: it needs no privilege, and it talks to guests. Started again it serves
# the same directory.
start_snpud()
{
	local bin=$build/host/tools/snpud/snpud opts ready= tries=0

	[[ -x $bin ]] || die "snpud is not built; run 'make build'"
	sockets=$dir/npu
	snpud_log=$dir/npu/snpud.log
	snpud_rc=
	mkdir -p "$sockets" && chown "$snpud_uid:$snpud_uid" "$sockets" && chmod 711 "$dir" || return 1
	opts=(--socket-dir "$sockets" --npus "$npus" --log "$snpud_log" --foreground --ready-fd 4)
	opts+=("${snpud_opts[@]}")
	[[ -n $profile ]] && opts+=(--profile "$profile")
	((timing)) && opts+=(--timing)
	if [[ -n $packet_log ]]; then
		: >"$packet_log" && chown "$snpud_uid" "$packet_log" || die "cannot write $packet_log"
		opts+=(--packet-log "$packet_log")
	fi
	rm -f -- "$dir/ready"
	mkfifo "$dir/ready" && exec 4<>"$dir/ready" || die "cannot make a pipe in $dir"
	# a user's programs outside of the tree could not connect to another user id of the user's namespace
	local as=(--reuid $snpud_uid --regid $snpud_uid --clear-groups)
	if [[ ${mode:-} == serve && ${SNPU_VM_UID:-0} != 0 ]]; then
		as=()
		chown 0:0 "$sockets"
	fi
	setpriv "${as[@]}" --no-new-privs --inh-caps=-all \
		--pdeathsig KILL -- "$bin" "${opts[@]}" >"$dir/snpud.out" 2>&1 </dev/null &
	snpud_pid=$!
	while ! read -r -t 0.2 -u 4 ready; do
		snpud_alive || { cat "$dir/snpud.out" "$snpud_log" >&2 2>/dev/null; die "snpud did not start"; }
		((++tries < 150)) || die "snpud was not ready within 30 seconds"
	done
	exec 4>&-
	return 0
}

# snpud_serves DIR: false if nobody answers there
snpud_serves()
{
	local real

	# DIR may hold just links to the sockets of some NPUs
	real=$(readlink -f -- "$1/npu0.sock") || return 1
	timeout 10 "$build/host/tools/snpuctl/snpuctl" --dir "${real%/*}" ping >/dev/null 2>&1
}

# ended_by RC: how a process ended that was waited for
ended_by()
{
	if (($1 > 128)); then
		echo "signal SIG$(kill -l $(($1 - 128)))"
	else
		echo "exit code $1"
	fi
}

# timing_summary: where virtual time stands, into the file that was asked for
timing_summary()
{
	[[ -n $vtime ]] || return 0
	"$build/host/tools/snpuctl/snpuctl" --dir "$sockets" --json timing summary >"$vtime" ||
		die "snpud does not say where virtual time stands"
}

# Where the machine's memory is, one share a node; all of it a memfd, so that
# the NPUs, in another process, reach it
machine_opts()
{
	local n k share left=$mem cpu=0 slot chassis=1 accel=$1 bus huge=

	qemu=(-nodefaults -no-user-config -display none
	      -machine q35,usb=off,smm=off,hpet=off,graphics=off -smp "$smp,sockets=$smp,cores=1,threads=1"
	      -m "$mem${maxmem:+,slots=8,maxmem=${maxmem}M}" -kernel "$kernel_boot" -initrd "$dir/initrd")
	((reboot)) || qemu+=(-no-reboot)
	# a guest started like this does not wake from suspend to RAM, so it is not offered
	qemu+=(-global ICH9-LPC.disable_s3=1)
	if [[ $accel == kvm ]]; then
		qemu+=(-accel kvm -cpu host,host-phys-bits=on)
	else
		# 5-level tables make each TLB miss dearer; PCI windows need more than 40 bits
		qemu+=(-accel tcg,thread=multi -cpu max,la57=off,phys-bits=46)
	fi
	((hugetlb)) && huge=,hugetlb=on,hugetlbsize=2M
	for ((n = 0; n < nodes; n++)); do
		share=$((left / (nodes - n)))
		left=$((left - share))
		qemu+=(-object "memory-backend-memfd,id=mem$n,size=${share}M,share=on$huge"
		       -numa "node,nodeid=$n,memdev=mem$n")
	done
	for ((cpu = 0; cpu < smp; cpu++)); do
		qemu+=(-numa "cpu,node-id=$((cpu * nodes / smp)),socket-id=$cpu")
	done
	qemu+=(-chardev "socket,id=kcon,path=$dir/kcon.sock,server=on,wait=off,logfile=$dir/console"
	       -serial chardev:kcon
	       -monitor "unix:$dir/mon.sock,server=on,wait=off"
	       -device virtio-serial-pci,id=vser)
	if [[ $mode == shell ]]; then
		qemu+=(-chardev stdio,id=out,signal=off -device virtconsole,chardev=out,nr=0)
	else
		qemu+=(-chardev "file,id=out,path=$dir/out"
		       -device virtserialport,chardev=out,name=snpu.out,nr=1)
	fi
	qemu+=(-chardev "file,id=status,path=$dir/status"
	       -device virtserialport,chardev=status,name=snpu.status,nr=2
	       -chardev "file,id=klog,path=$dir/klog"
	       -device virtserialport,chardev=klog,name=snpu.klog,nr=3)

	# QEMU wants it before the devices whose DMA it translates. Interrupts are not remapped: that
	# works with every accelerator. caching-mode has the kernel announce each mapping.
	[[ -z $viommu ]] || qemu+=(-device intel-iommu,intremap=off,caching-mode=on)

	# A host bridge for each node, so that the guest knows the NPUs' nodes; one
	# root port for each NPU, so that each can be reset and removed alone.
	# The last node first: QEMU lists host bridges newest first, and the guest
	# should meet NPU 0 first.
	for ((n = npus ? nodes - 1 : -1; n >= 0; n--)); do
		bus=$((32 + n * (224 / nodes)))
		if ((nodes > 1)); then
			qemu+=(-device "pxb-pcie,id=node$n,bus_nr=$bus,numa_node=$n,bus=pcie.0")
		else
			qemu+=(-device "pxb-pcie,id=node$n,bus_nr=$bus,bus=pcie.0")
		fi
		slot=0
		for ((k = n * npus / nodes; k < (n + 1) * npus / nodes; k++)); do
			qemu+=(-device "pcie-root-port,id=port$k,bus=node$n,chassis=$chassis,slot=$k,addr=$(printf %x "$slot").0,io-reserve=0"
			       -device "$(npu_device "$k")")
			((++slot, ++chassis))
		done
	done
	share_opts
	qemu+=("${qemu_opts[@]}")
}

# share_opts: directories of this machine over 9p, see guest-init
share_opts()
{
	local i

	for i in "${!shares[@]}"; do
		qemu+=(-fsdev "local,id=share$i,path=${shares[i]//,/,,},security_model=none,multidevs=remap$([[ ${share_ro[i]} != ro ]] || echo ,readonly=on)"
		       -device "virtio-9p-pci,bus=pcie.0,fsdev=share$i,mount_tag=share$i")
	done
}

# share_modules: 9p for the guest, and the list of what it mounts
share_modules()
{
	local i m file

	((${#shares[@]})) || return 0
	for i in "${!shares[@]}"; do
		printf 'share%d %s %s\n' "$i" "${share_ro[i]}" "${shares[i]}"
	done >"$dir/cmd/snpu/shares"
	[[ -n $kernel_mods ]] || {
		grep -qx CONFIG_9P_FS=y "$kernel_build/include/config/auto.conf" && return 0
		die "--share: the debug kernel is built without 9P_FS; use --file, or Debian's kernel"
	}
	for m in 9pnet_virtio 9p; do
		add_module "$dir/cmd" "$m" || return 1
		modprobe -d / -S "$kver" --show-depends -q "$m" | while read -r _ file _; do
			file=/lib/modules/$kver/${file#*/"$kver"/}
			echo "${file%.xz}"
		done
	done | awk '!seen[$0]++' >"$dir/cmd/snpu/share-modules"
}

# print_qemu: the command line that run_guest would start QEMU with
print_qemu()
{
	local word

	machine_opts "$accel"
	for word in qemu-system-x86_64 "${qemu[@]}" -append "$(kernel_line)"; do
		[[ $word =~ ^[A-Za-z0-9_,.:/=@%+-]+$ ]] || word=$(sq "$word")
		printf '%s ' "$word"
	done
	echo
}

# npu_device K: JSON, because a socket address is a structure. A model that
# works on a long request must not be taken for dead (x-msg-timeout).
npu_device()
{
	if [[ -n $stand_in ]]; then
		echo "$stand_in,bus=port$1"
		return
	fi
	printf '{"driver":"vfio-user-pci","id":"npu%d","bus":"port%d","x-msg-timeout":30000,' "$1" "$1"
	printf '"socket":{"type":"unix","path":"%s/npu%d.sock"}}' "$sockets" "$1"
}

kernel_line()
{
	local line="console=ttyS0 panic=-1 oops=panic tsc=reliable no_timer_check random.trust_cpu=on"

	line+=" rdinit=/init mitigations=off audit=0 apparmor=0 selinux=0 nokaslr sysrq_always_enabled pci=hpiosize=0"
	line+=" rcupdate.rcu_expedited=1 log_buf_len=4M"
	((verbose)) && line+=" ignore_loglevel" || line+=" loglevel=5"
	# a kernel that panics must not start again and again
	((reboot)) && line=${line/panic=-1/panic=0}
	[[ -z $viommu ]] || line+=" intel_iommu=on"
	[[ $viommu != pt ]] || line+=" iommu=pt"
	echo "$line guest.mode=$mode guest.npus=$npus guest.module=$module guest.loglevel=$loglevel $append"
}

# ask_hung_guest: a break and a letter on its console make even a stuck kernel
# tell its blocked tasks (w) and what its CPUs do (l)
ask_hung_guest()
{
	local key

	for key in w l; do
		echo 'chardev-send-break kcon' | timeout 2 socat - "UNIX-CONNECT:$dir/mon.sock" >/dev/null
		printf %s "$key" | timeout 2 socat - "UNIX-CONNECT:$dir/kcon.sock" >/dev/null
	done
	sleep 1
}

show_snpud_log()
{
	local f

	for f in "$snpud_log" "$dir/snpud.out"; do
		[[ -n $f && -s $f ]] || continue
		msg "${f##*/} (last 40 lines):"
		tail -n 40 -- "$f" | sed 's/^/  | /' >&2
	done
}

show_log()
{
	local n

	n=$(wc -l <"$dir/console" 2>/dev/null || echo 0)
	msg "kernel log of the guest (the last 200 lines at most, of $n):"
	tail -n 200 -- "$dir/console" | tr -d '\r' | sed 's/^/  | /' >&2
	show_snpud_log
}

# watch_guest: until QEMU ends; 124 after the time limit. Without snpud a guest
# may wait for its devices for ever: it gets ten seconds to say what it sees.
watch_guest()
{
	local who rc

	start_job timeout "$timeout" tail -s 0.05 --pid="$qemu_pid" -f /dev/null
	wait -n -p who "$job" ${snpud_pid:+"$snpud_pid"}
	rc=$?
	if [[ ${who:-} == "$snpud_pid" && -n $snpud_pid ]]; then
		snpud_rc=$rc
		timeout 10 tail -s 0.05 --pid="$qemu_pid" -f /dev/null
		kill -TERM "$qemu_pid" 2>/dev/null
		stop_job
		return 0
	fi
	job=
	return $rc
}

# run_guest CMD...: returns as the command did, 124 after the time limit, 125
# when guest or kernel failed
run_guest()
{
	local start rc faults why= word up rest cmd_rc= cat_pid= hung=0 ready_at=

	mkdir -p "$dir/cmd/snpu" || return 1
	share_modules || die "cannot put the modules of --share into the guest"
	{
		local v
		for v in $(compgen -e | grep '^SNPU_' |
			   grep -vE '^SNPU_(CACHE|IN_TREE|MIRROR|SOCKET_DIR|ACCEL|TREE_LAYER|VM_.*)$'); do
			printf 'export %s=%q\n' "$v" "${!v}"
		done
		[[ ! -d $dir/cmd/opt/snpu/carried ]] || echo 'export LD_LIBRARY_PATH=/opt/snpu/carried'
		for v in "${guest_env[@]}"; do
			printf 'export %s=%s\n' "${v%%=*}" "$(sq "${v#*=}")"
		done
		[[ -z $guest_cwd ]] || printf 'cd -- %s || exit 125\n' "$(sq "$guest_cwd")"
		printf '%s ' "$(for v; do printf '%s ' "$(sq "$v")"; done)"
		echo
	} >"$dir/cmd/snpu/command"
	pack "$dir/cmd" "$dir/cmd.cpio" &&
	cat "$image_base/base.cpio" "$dir/project.cpio" "$dir/cmd.cpio" >"$dir/initrd" ||
		die "cannot write the guest image in $dir"
	: >"$dir/console" && : >"$dir/klog" && : >"$dir/status" || return 1
	machine_opts "$accel"
	qemu+=(-append "$(kernel_line)")

	start=${EPOCHREALTIME/./}
	if [[ $mode == shell ]]; then
		msg "guest with $npus NPUs; exit or ^D leaves"
		qemu-system-x86_64 "${qemu[@]}" <&0 2>"$dir/qemu.err" &
		qemu_pid=$!
		wait "$qemu_pid"
		rc=$?
		qemu_pid=
	else
		mkfifo "$dir/out" || return 1
		cat "$dir/out" &
		cat_pid=$!
		setpriv --pdeathsig KILL -- qemu-system-x86_64 "${qemu[@]}" \
			</dev/null 2>"$dir/qemu.err" >/dev/null &
		qemu_pid=$!
		watch_guest
		if (($? == 124)); then
			hung=1
			ask_hung_guest
			kill -TERM "$qemu_pid" 2>/dev/null
		fi
		wait "$qemu_pid"
		rc=$?
		qemu_pid=
		# QEMU may have ended before it opened the pipe; this end lets cat end
		: 1<>"$dir/out"
		wait "$cat_pid"
	fi
	((rc == 0)) || why="QEMU ended by $(ended_by "$rc")"
	! snpud_alive || timing_summary
	((hung)) && why="the time limit of $timeout s is over"
	[[ -s $dir/qemu.err ]] && grep -v '^qemu-system-x86_64: terminating on signal' "$dir/qemu.err" >&2

	while read -r word up rest; do
		case $word in
		ready) ready_at=$up ;;
		exit) cmd_rc=$rest ;;
		fail) why=${why:-$rest} ;;
		esac
	done <"$dir/status"
	# both: a panic is only on the console, early words only in the log
	if faults=$(grep -hE -- "$fault_words" "$dir/console" "$dir/klog" 2>/dev/null | grep -avE 'CONFIG_|Command line:' | head -n 5) &&
	   [[ -n $faults ]]; then
		why=${why:-"the guest's kernel reported: ${faults%%$'\n'*}"}
	fi
	[[ -z $cmd_rc && -z $why ]] && why="the guest ended without saying how the command ended"
	# whatever else went wrong, this comes first
	if [[ -n $snpud_pid ]] && ! snpud_alive; then
		snpud_end
		why="snpud died: $snpud_why${why:+; $why}"
	elif [[ -z $snpud_pid && -n $sockets && -z $stand_in ]] && ((npus)) && ! snpud_serves "$sockets"; then
		why="snpud is gone, $sockets is not served any more${why:+; $why}"
	fi
	if [[ -n $keep_log ]]; then
		if [[ -s $dir/klog ]]; then
			cp -- "$dir/klog" "$keep_log"
		else
			tr -d '\r' <"$dir/console" >"$keep_log"
		fi || msg "cannot write $keep_log"
	fi
	if [[ -n $why ]]; then
		show_log
		msg "error: $why"
		((hung)) && return 124
		return 125
	fi
	((verbose)) && msg "guest up ${ready_at:-?} s after its start, done after $(((${EPOCHREALTIME/./} - start) / 1000)) ms"
	return "$cmd_rc"
}

# sq WORD: quoted for any POSIX shell
sq()
{
	printf "'%s'" "${1//\'/\'\\\'\'}"
}
