# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The guest image, put together inside the tree: kernel, base cpio (busybox,
# kernel modules; cached) and project cpio (what this checkout built). Sourced.

# Modules that a guest may want though snpu.ko does not depend on them
base_modules='virtio_mem drm drm_exec drm_gpuvm drm_shmem_helper drm_buddy drm_suballoc_helper gpu-sched virtio_blk'

recipe_key()
{
	sha256sum "$vm_dir/image.sh" "$vm_dir/packages.txt" | sha256sum | cut -c1-8
}

# le FILE OFFSET SIZE: a little-endian number
le()
{
	od -An -v -t "u$3" -j "$2" -N "$3" -- "$1" | tr -d ' \n'
}

# vmlinux_of BZIMAGE OUT: the ELF kernel in a bzImage, where its setup header
# (Documentation/arch/x86/boot.rst) says it is. Started through PVH it saves
# the guest the unpacking, a third of the boot under TCG.
vmlinux_of()
{
	local sects off len magic tool

	sects=$(le "$1" 497 1)
	off=$(($(le "$1" 584 4) + (sects + 1) * 512))
	len=$(le "$1" 588 4)
	magic=$(od -An -v -t x1 -j "$off" -N 4 -- "$1" | tr -d ' \n')
	case $magic in
	28b52ffd) tool='zstd -dqc' ;;
	fd377a58) tool='xz -dqc' ;;
	02214c18) tool='lz4 -dqc' ;;
	1f8b*) tool='gzip -dqc' ;;
	*) return 1 ;;
	esac
	# the unpacked size follows the payload, and is none of the tool's business
	tail -c +$((off + 1)) -- "$1" | head -c $((len - 4)) | $tool >"$2" 2>/dev/null
	[[ $(head -c 4 -- "$2" | tail -c 3) == ELF ]]
}

# pack DIR OUT: DIR as an uncompressed cpio owned by root
pack()
{
	(cd -- "$1" && find . -mindepth 1 -print0 | LC_ALL=C sort -z |
		cpio --quiet -0 -o -H newc -R 0:0 --reproducible) >"$2"
}

# use_kernel KIND: sets kver, kernel_bz, kernel_boot, kernel_mods,
# kernel_build, module_dir, image_base
use_kernel()
{
	local kind=$1 dbg

	case $kind in
	debian)
		kver=$(echo /usr/lib/modules/7.3.*)
		kver=${kver##*/}
		kernel_bz=/usr/lib/modules/$kver/vmlinuz
		kernel_mods=/usr/lib/modules/$kver
		kernel_build=/usr/lib/modules/$kver/build
		module_dir=$build/module-$kver
		image_base=$cache/image-$kver-$(recipe_key)
		kernel_boot=$image_base/vmlinux
		;;
	debug)
		"$vm_dir/debug-kernel" status || die "the debug kernel is not built; run 'make debug-kernel'"
		dbg=$("$vm_dir/debug-kernel" path)
		kernel_bz=$dbg/bzImage
		kernel_build=$dbg/build
		kernel_mods=
		module_dir=$build/module-debug
		kver=$(cat "$kernel_build/include/config/kernel.release")
		image_base=$cache/image-debug-${dbg##*-}-$(recipe_key)
		# KASAN does not survive the PVH entry, which runs C before its shadow is there
		kernel_boot=$kernel_bz
		;;
	esac
}

# The part of the image that only the tree and the kernel decide
base_image()
{
	local tmp=$image_base.tmp root m f

	[[ -f $image_base/.stamp ]] && return 0
	take_lock "${image_base##*/}" 6
	[[ -f $image_base/.stamp ]] && return 0
	rm -rf -- "$tmp" "$image_base"
	# images of earlier recipes that nothing used for a day
	find "$cache" -maxdepth 1 -name "image-*" -mtime +0 -exec rm -rf --one-file-system {} +
	root=$tmp/root
	mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,dev,proc,sys,tmp,run,root,etc,lib64,boot,snpu} \
		"$root/usr/lib/x86_64-linux-gnu" "$root/lib/modules/$kver/kernel" || return 1
	ln -s ../usr/lib/x86_64-linux-gnu "$root/lib/x86_64-linux-gnu"
	cp /bin/busybox "$root/bin/busybox" || return 1
	for m in $(busybox --list-full); do
		[[ -e $root/$m ]] || ln -s /bin/busybox "$root/$m"
	done
	for f in kmod setpriv numactl stdbuf; do
		install_elf "$root" "$(command -v "$f")" "/usr/sbin/$f" ||
			{ msg "image: cannot install $f"; return 1; }
	done
	for m in lsmod rmmod insmod modprobe modinfo depmod; do
		ln -sf /usr/sbin/kmod "$root/usr/sbin/$m"
		rm -f "$root/sbin/$m" "$root/bin/$m" "$root/usr/bin/$m"
	done
	printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$root/etc/passwd"
	printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
	cp "$kernel_bz" "$root/boot/vmlinuz" || return 1
	if [[ -n $kernel_mods ]]; then
		for m in $base_modules; do
			add_module "$root" "$m" || return 1
		done
		cp "$kernel_mods"/modules.{order,builtin,builtin.modinfo} "$root/lib/modules/$kver/"
	else
		cp "$kernel_build"/modules.{order,builtin,builtin.modinfo} "$root/lib/modules/$kver/" || return 1
	fi
	depmod -b "$root" "$kver" || return 1
	[[ $kernel_boot == "$kernel_bz" ]] || vmlinux_of "$kernel_bz" "$tmp/vmlinux" ||
		{ msg "$kernel_bz: no ELF kernel found in it"; return 1; }
	pack "$root" "$tmp/base.cpio" || return 1
	mv -T -- "$tmp" "$image_base" && : >"$image_base/.stamp"
}

# add_module ROOT NAME: a stock module and what it depends on, unpacked
add_module()
{
	local line file to

	modprobe -d / -S "$kver" --show-depends -q "$2" | while read -r line file _; do
		[[ $line == insmod ]] || continue
		to=$1/lib/modules/$kver/${file#*/"$kver"/}
		to=${to%.xz}
		[[ -e $to ]] && continue
		mkdir -p "${to%/*}"
		case $file in
		*.xz) xz -dc "$file" >"$to" ;;
		*) cp "$file" "$to" ;;
		esac || return 1
	done
}

# install_elf ROOT FILE TO: a program or library, and every library it loads,
# each at the path it was found at
install_elf()
{
	mkdir -p "$1$(dirname "$3")" && cp -fL -- "$2" "$1$3" || return 1
	add_libs "$1" "$2"
}

# add_libs ROOT FILE...: shared libraries of ELF files. Those the checkout
# built are looked for in the staged image first.
add_libs()
{
	local root=$1 lib

	shift
	LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/usr/lib ldd "$@" 2>/dev/null |
		sed -nE 's/.*(=> |^[[:space:]]+)(\/[^ ]+) \(0x.*/\2/p; s/.* => not found.*/MISSING &/p' |
		sort -u | while read -r lib; do
			case $lib in
			MISSING*) msg "image: library missing:${lib#MISSING}"; return 1 ;;
			"$root"/*) ;;
			*)
				[[ $lib == /lib/* ]] && lib=/usr$lib
				[[ -e $root$lib || -e $image_base/root$lib ]] && continue
				mkdir -p "$root${lib%/*}" && cp -fL -- "$lib" "$root$lib" || return 1
				;;
			esac
		done
}

# project_image OUT: what the checkout built, in a cpio laid over the base
project_image()
{
	local out=$1 root=$2 f rel elves=()

	mkdir -p "$root"/{snpu,opt/snpu} || return 1
	cp "$vm_dir/guest-init" "$root/init" && chmod 755 "$root/init" || return 1
	cp "$vm_dir/guest-tests" "$root/snpu/guest-tests" || return 1
	if [[ -f $build/host/build.ninja ]]; then
		DESTDIR=$root meson install -C "$build/host" --no-rebuild --quiet >&2 ||
			{ msg "meson install failed"; return 1; }
		rm -rf "$root"/usr/{include,share/man} "$root"/usr/lib/x86_64-linux-gnu/pkgconfig
		# test and example programs that are built but not installed
		while IFS= read -r f; do
			is_elf "$f" || continue
			rel=${f#"$build"/host/userspace/}
			mkdir -p "$root/opt/snpu/${rel%/*}" && cp -- "$f" "$root/opt/snpu/$rel" || return 1
		done < <(find "$build/host/userspace" -type f -perm -u+x \
			-not -name '*.so*' -not -path '*.p/*' 2>/dev/null)
	fi
	if [[ -d $build/selftests ]]; then
		mkdir -p "$root/opt/snpu/selftests" &&
		cp -a -- "$build/selftests/." "$root/opt/snpu/selftests/" || return 1
	fi
	if [[ -f $module_dir/driver/snpu.ko || -f $module_dir/snpu.ko ]]; then
		f=$module_dir/driver/snpu.ko
		[[ -f $f ]] || f=$module_dir/snpu.ko
		[[ $(modinfo -F vermagic "$f" | cut -d' ' -f1) == "$kver" ]] ||
			{ msg "$f was built for $(modinfo -F vermagic "$f"), not for $kver"; return 1; }
		# depmod needs all modules in one place; links cost nothing
		mkdir -p "$root/lib/modules" && cp -al "$image_base/root/lib/modules/$kver" "$root/lib/modules/" &&
		mkdir -p "$root/lib/modules/$kver/extra" &&
		cp "$f" "$root/lib/modules/$kver/extra/snpu.ko" || return 1
		strip --strip-debug "$root/lib/modules/$kver/extra/snpu.ko" || return 1
		[[ -z $kernel_mods ]] || add_module_needs "$root" || return 1
		find "$root/lib/modules/$kver" -maxdepth 1 -type f -links +1 \
			-name 'modules.[adsw]*' -delete
		depmod -b "$root" "$kver" || return 1
		# what the base holds need not be sent twice
		find "$root/lib/modules/$kver" -type f -links +1 -delete
	fi
	while IFS= read -r f; do
		is_elf "$f" && elves+=("$f")
	done < <(find "$root/usr" "$root/opt" -type f 2>/dev/null)
	((${#elves[@]} == 0)) || add_libs "$root" "${elves[@]}" || return 1
	pack "$root" "$out"
}

# stock modules that snpu.ko depends on and the base does not hold
add_module_needs()
{
	local m

	for m in $(modinfo -F depends "$1/lib/modules/$kver/extra/snpu.ko" | tr ',' ' '); do
		add_module "$1" "$m" || return 1
	done
}
