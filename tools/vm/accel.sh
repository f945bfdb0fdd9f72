# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Which accelerator QEMU uses: KVM only where a kernel was seen to run with it. Sourced, after
# image.sh.

kvm_limit=15	# seconds that the probe's kernel has; one that runs needs about two

# probe_boot: boots Debian's kernel with KVM; prints "yes" or "no" and what was seen
probe_boot()
{
	local m=$mode start=$SECONDS log=$dir/probe.log rc

	mkdir -p "$dir/probe" && cp "$vm_dir/guest-init" "$dir/probe/init" &&
	chmod 755 "$dir/probe/init" && pack "$dir/probe" "$dir/probe.cpio" || return 1
	cat "$image_base/base.cpio" "$dir/probe.cpio" >"$dir/probe.img" || return 1
	mode=probe
	timeout -k 1 "$kvm_limit" qemu-system-x86_64 -nodefaults -no-user-config -display none \
		-no-reboot -machine q35 -accel kvm -cpu host -m 512 -smp 2 \
		-kernel "$kernel_boot" -initrd "$dir/probe.img" \
		-append "$(kernel_line)" -serial "file:$log" >"$dir/probe.qemu" 2>&1 </dev/null
	rc=$?
	mode=$m
	if grep -q snpu-probe-alive "$log" 2>/dev/null; then
		echo "yes a kernel answered after $((SECONDS - start)) s"
	elif ((rc == 124 || rc == 137)); then
		echo "no /dev/kvm opens, but a kernel did not answer within $kvm_limit s"
	else
		echo "no /dev/kvm opens, but QEMU $(ended_by "$rc"): $(head -n 1 "$dir/probe.qemu" | cut -c1-160)"
	fi
}

# kvm_probe: true if a kernel runs with KVM; $probed says what was seen. A boot is tried once, and
# its outcome holds until this machine boots again.
kvm_probe()
{
	local cached word

	cached=$cache/kvm-$(cat /proc/sys/kernel/random/boot_id)
	if [[ ! -e /dev/kvm ]]; then
		probed="there is no /dev/kvm"
		return 1
	fi
	if [[ ! -w /dev/kvm ]]; then
		probed="no permission for /dev/kvm: group $(stat -c %G /dev/kvm)"
		return 1
	fi
	if [[ ! -s $cached ]]; then
		take_lock kvm-probe 7
		if [[ ! -s $cached ]]; then
			msg "trying KVM, once (at most $kvm_limit s)"
			rm -f -- "$cache"/kvm-*-*
			use_kernel debian
			base_image && probe_boot >"$cached.new" || die "cannot make the guest of the KVM probe"
			mv -- "$cached.new" "$cached"
		fi
		exec 7>&-
	fi
	read -r word probed <"$cached"
	[[ $word == yes ]]
}

# choose_accel: sets $accel to kvm or tcg, and says which and why
choose_accel()
{
	local why="asked for"

	accel=$want_accel
	if [[ $want_accel == auto ]]; then
		accel=tcg
		! kvm_probe || accel=kvm
		why="probe: $probed"
	fi
	accel_text="accel: $accel ($why)"
	msg "$accel_text"
}
