# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What a command needs of this machine goes into the guest: programs, the interpreters of scripts,
# shared libraries, data files. Collecting is done on this machine, before the Debian tree is
# entered; what the guest has itself is preferred, and is known only inside. Sourced, after
# image.sh where functions of the second half are used.

carry_limit=64		# MiB of all files carried; more belongs into a shared directory

# number FILE OFFSET SIZE: little-endian, from a file that may be too short: then 0
number()
{
	local n

	n=$(od -An -v -t "u$3" -j "$2" -N "$3" -- "$1" 2>/dev/null | tr -d ' \n')
	echo "${n:-0}"
}

# elf_interp FILE: the interpreter that a dynamic program names; nothing if it is static.
# Fails, with the reason on standard output, if the guest cannot run such a file.
elf_interp()
{
	local f=$1 machine phoff size count i at

	machine=$(number "$f" 18 2)
	case $machine in
	62) ;;
	3) echo "it is for 32-bit x86"; return 1 ;;
	40) echo "it is for 32-bit Arm"; return 1 ;;
	183) echo "it is for arm64"; return 1 ;;
	243) echo "it is for RISC-V"; return 1 ;;
	*) echo "it is for ELF machine $machine"; return 1 ;;
	esac
	[[ $(number "$f" 4 1) == 2 ]] || { echo "it is for x32"; return 1; }
	phoff=$(number "$f" 32 8) size=$(number "$f" 54 2) count=$(number "$f" 56 2)
	((phoff > 0 && phoff < 1 << 20 && count < 256)) || { echo "its ELF header is damaged"; return 1; }
	for ((i = 0; i < count; i++)); do
		at=$((phoff + i * size))
		(($(number "$f" "$at" 4) == 3)) || continue
		tail -c +$(($(number "$f" $((at + 8)) 8) + 1)) -- "$f" | head -c 4096 | head -z -n 1 | tr -d '\0'
		return 0
	done
}

# trace_libs LOADER [OPTION...] FILE: the loader's list, which goes on after a missing library; musl's
# loader has --list alone
trace_libs()
{
	case ${1##*/} in
	ld-linux*) LC_ALL=C LD_TRACE_LOADED_OBJECTS=1 LD_WARN=yes "$@" 2>&1 ;;
	*) LC_ALL=C "$1" --list "${@:2}" 2>&1 ;;
	esac
}

# libs_of INTERP FILE: what its loader finds: lines "NAME PATH" or "NAME -"; complaints about versions
# as they are, after "!"
libs_of()
{
	trace_libs "$1" "$2" 2>&1 | sed -nE \
		-e 's/^[[:space:]]*([^ ]+) => ([^ ]*\/[^ ]+) \(0x.*/\1 \2/p' \
		-e 's/^[[:space:]]*([^ ]+) => not found.*/\1 -/p' \
		-e 's/^.*: ([^: ]+: )?(version .* not found.*)$/! \2/p' | sort -u
}

# here_runs FILE: true if this machine runs it: with its own loader, libraries and versions; else it
# prints what is missing
here_runs()
{
	local interp miss

	is_elf "$1" || return 0
	interp=$(elf_interp "$1") || { echo "$interp"; return 1; }
	[[ -n $interp ]] || return 0
	[[ -x $interp ]] || { echo "$interp"; return 1; }
	miss=$(libs_of "$interp" "$1" | sed -nE 's/^! (version [^ ]+).*/\1/p; s/^([^ ]+) -$/\1/p' | sort -u |
		paste -sd' ')
	[[ -z $miss ]] || { echo "$miss"; return 1; }
}

# words_of CMD...: the words of a command, those of "sh -c TEXT" too
words_of()
{
	local w

	for w; do
		[[ $w == *[[:space:]\;\&\|]* ]] && tr -s '[:space:];&|<>()"'\' '\n' <<<"$w" || printf '%s\n' "$w"
	done
}

# may_carry PATH: not what belongs to the system, of which the guest has its own
may_carry()
{
	case $1 in
	/proc/*|/sys/*|/dev/*|/run/*|/etc/*|/boot/*|/var/*) return 1 ;;
	/usr/*|/bin/*|/sbin/*|/lib*) [[ -x $1 ]] ;;
	esac
}

# copy_in PATH: a copy in $carry/files, at its own path, and in $carry/libs the libraries of a program
copy_in()
{
	local file=$1 interp name path

	[[ ! -e $carry/files$file ]] || return 0
	mkdir -p "$carry/files${file%/*}" "$carry/libs" && cp -fL -- "$file" "$carry/files$file" ||
		die "cannot copy $file"
	[[ -x $file && $(head -c 4 -- "$file" | tr -d '\0') == $'\x7f'ELF ]] || return 0
	interp=$(elf_interp "$file") || die "$file cannot run in the guest: $interp, the guest is x86-64"
	[[ -n $interp && -x $interp ]] || return 0
	while read -r name path; do
		[[ $name == '!' || $path != */* || -e $carry/libs/$name ]] || cp -fL -- "$path" "$carry/libs/$name"
	done < <(libs_of "$interp" "$file")
	[[ $interp == /lib64/ld-linux-x86-64.so.2 ]] || {
		mkdir -p "$carry/files${interp%/*}" && cp -fL -- "$interp" "$carry/files$interp"
	}
}

# collect_file PATH: a file that the guest is to have; the interpreter of a script comes with it
collect_file()
{
	local interp

	copy_in "$1"
	printf '%s\n' "$1" >>"$carry/list"
	[[ -x $1 && $(head -c 2 -- "$1" | tr -d '\0') == '#!' ]] || return 0
	interp=$(script_interp "$1")
	[[ $interp == /* && -f $interp && -x $interp ]] || return 0
	[[ $(head -c 4 -- "$interp" | tr -d '\0') != $'\x7f'ELF ]] || copy_in "$interp"
}

# script_interp FILE: the program that its first line names; for env the one that env looks for
script_interp()
{
	local line words

	IFS= read -r line <"$1" || true
	read -ra words <<<"${line#'#!'}"
	case ${words[0]:-} in
	*/env)
		[[ ${words[1]:-} == -S ]] && words=("${words[0]}" "${words[@]:2}")
		type -P -- "${words[1]:-}" || printf '%s\n' "${words[1]:-}" ;;
	*) printf '%s\n' "${words[0]:-}" ;;
	esac
}

# collect CMD...: all that CMD names and this machine has; $carry_files come too. What exists and stays
# here is listed in $carry/left.
collect()
{
	local w path f

	: >"$carry/list" && : >"$carry/left" || die "cannot write to $carry"
	for f in "${carry_files[@]}"; do
		[[ -f $f && -r $f ]] ||
			usage_die "--file: '$f' is not a file that can be read; --share takes directories"
		collect_file "$(realpath -s -- "$f")"
	done
	while IFS= read -r w; do
		[[ -n $w && $w != -* && -e $w ]] || continue
		path=$(realpath -s -- "$w")
		for f in "${shares[@]}"; do
			[[ $(readlink -f -- "$path")/ != "$f"/* ]] || continue 2
		done
		if [[ -f $w && -r $w ]] && may_carry "$path"; then
			collect_file "$path"
		elif [[ $w == */* && $path != /proc/* && $path != /sys/* && $path != /dev/* ]]; then
			printf '%s\n' "$path" >>"$carry/left"
		fi
	done < <(words_of "$@")
	[[ -s $carry/list ]] || return 0
	f=$(du -sm -- "$carry" | cut -f1)
	((f <= carry_limit)) ||
		die "the files of this command are $f MiB, up to $carry_limit MiB are carried: use --share"
}

# What follows runs in the tree, with the image's directories known

# guest_has PATH: in the image that was built
guest_has()
{
	[[ -e $stage$1 || -L $stage$1 || -e $image_base/root$1 || -L $image_base/root$1 ]]
}

# guest_program NAME: true if the guest finds it in its PATH
guest_program()
{
	local d

	for d in /usr/sbin /usr/bin /sbin /bin; do
		guest_has "$d/$1" && return 0
	done
	return 1
}

# place_elf ROOT FROM TO: a program into the guest, with the libraries that the guest lacks. Those of the
# guest and the tree come first, for their versions agree with each other; if they are too old for
# the program, those of this machine.
place_elf()
{
	local root=$1 from=$2 to=$3 interp order try name path bad loader=$image_base/root/lib64/ld-linux-x86-64.so.2
	local sys=$stage/usr/lib/x86_64-linux-gnu:$image_base/root/usr/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu

	interp=$(elf_interp "$from") || die "$to cannot run in the guest: $interp, the guest is x86-64"
	mkdir -p "$root${to%/*}" && cp -fL -- "$from" "$root$to" || die "cannot put $to into the guest"
	[[ -n $interp ]] || return 0
	if [[ $interp != /lib64/ld-linux-x86-64.so.2 ]]; then
		[[ -e $root$interp || -e $carry/files$interp ]] ||
			die "$to needs the interpreter $interp, which neither this machine nor the guest has"
		mkdir -p "$root/lib" && cp -n -- "$carry"/libs/* "$root/lib/" 2>/dev/null
		return 0
	fi
	for order in "$sys:$carry/libs" "$carry/near:$sys:$carry/libs"; do
		try=$(trace_libs "$loader" --library-path "$order" "$from")
		bad=$(grep -E 'not found' <<<"$try")
		[[ -n $bad ]] || break
		# all of this machine's but libc, which goes with the loader
		mkdir -p "$carry/near" && cp -n -- "$carry"/libs/* "$carry/near/" 2>/dev/null
		rm -f -- "$carry/near"/{libc,libm,libdl,libpthread,librt,ld-linux-x86-64}.so.*
	done
	[[ -z $bad ]] || die "$to cannot run in the guest: $(explain_missing "$bad")"
	while read -r name path; do
		case $path in
		"$stage"/*|"$image_base/root"/*) ;;
		/usr/lib/*|/lib/*)
			[[ $path == /usr/* ]] || path=/usr$path
			guest_has "$path" || { mkdir -p "$root${path%/*}" && cp -fL -- "$path" "$root$path"; } ;;
		/*) mkdir -p "$root/opt/snpu/carried" && cp -fL -- "$path" "$root/opt/snpu/carried/$name" ;;
		esac || die "cannot put $path into the guest"
	done < <(sed -nE 's/^[[:space:]]*([^ ]+) => (\/[^ ]+) \(0x.*/\1 \2/p' <<<"$try")
}

# explain_missing TEXT: the loader's complaint, for a person
explain_missing()
{
	local v lib

	v=$(grep -oE "GLIBC_2\.[0-9]+' not found" <<<"$1" | grep -oE '[0-9.]+' | sort -V | tail -n 1)
	if [[ -n $v ]]; then
		echo "it needs glibc $v, the guest has $(ldd --version | sed -n '1s/.* //p'):" \
			"link it statically, or compile it in the tree: tools/vm/snpu-tree run -- cc ..."
		return
	fi
	lib=$(sed -nE 's/^[[:space:]]*([^ ]+) => not found.*/\1/p' <<<"$1" | sort -u | paste -sd' ')
	if [[ -n $lib ]]; then
		echo "library missing, here and in the guest: $lib (LD_LIBRARY_PATH says where to look)"
		return
	fi
	head -n 1 <<<"$1"
}

# place_system ROOT PROGRAM: a program of the tree that the guest lacks, an interpreter mostly, with
# the modules that come with it
place_system()
{
	local root=$1 prog=$2 real d

	real=$(readlink -f -- "$prog")
	place_elf "$root" "$real" "$prog"
	case ${real##*/} in
	python3*) set -- /usr/lib/python3 "/usr/lib/${real##*/}" ;;
	perl*) set -- /usr/share/perl* /usr/lib/x86_64-linux-gnu/perl* ;;
	*) return 0 ;;
	esac
	for d; do
		[[ -d $d && ! -L $d ]] || continue
		mkdir -p "$root${d%/*}" && cp -a -- "$d" "$root$d" || die "cannot put $d into the guest"
		[[ ! -L /usr/share/perl/${d##*/} ]] || cp -a "/usr/share/perl/${d##*/}" "$root/usr/share/perl/"
	done
	rm -rf -- "$root"/usr/lib/python3*/{test,idlelib,ensurepip,lib2to3}
	find "$root/usr" -name __pycache__ -prune -exec rm -rf {} +
	while IFS= read -r d; do
		add_libs "$root" "$d" 2>/dev/null
	done < <(find "$root/usr" -path '*/lib-dynload/*.so' -o -path '*/perl*/*.so')
}

# place_script ROOT FILE NAME: the interpreter of a script, if the guest has none: the tree's, else this machine's
place_script()
{
	local interp

	interp=$(script_interp "$2")
	[[ -n $interp ]] || die "$3: its first line names no interpreter"
	if [[ $interp != /* ]]; then
		guest_program "$interp" && return 0
		die "$3 needs $interp, which neither the guest, nor the tree, nor this machine has"
	fi
	[[ ! -e $1$interp ]] && ! guest_has "$interp" || return 0
	if [[ -x $interp && $interp == /*bin/* && $interp != "$top"/* ]]; then
		place_system "$1" "$interp"
	elif [[ -f $carry/files$interp ]]; then
		place_elf "$1" "$carry/files$interp" "$interp"
	else
		die "$3 needs $interp, which neither the guest, nor the tree, nor this machine has"
	fi
}

# place ROOT CMD...: what was collected into the guest image in ROOT, unless the guest has it
place()
{
	local root=$1 f said=''

	shift
	# a bare name that the guest does not have and the tree does
	[[ $1 == */* ]] || guest_program "$1" || [[ ! -x /usr/bin/$1 ]] || place_system "$root" "/usr/bin/$1"
	while IFS= read -r f; do
		guest_has "$f" && continue
		case $(head -c 4 -- "$carry/files$f" | tr -d '\0') in
		$'\x7f'ELF)
			if [[ -x $carry/files$f ]]; then
				place_elf "$root" "$carry/files$f" "$f"
			else
				mkdir -p "$root${f%/*}" && cp -f -- "$carry/files$f" "$root$f"
			fi ;;
		'#!'*)
			[[ ! -x $carry/files$f ]] || place_script "$root" "$carry/files$f" "$f"
			mkdir -p "$root${f%/*}" && cp -f -- "$carry/files$f" "$root$f" ;;
		*) mkdir -p "$root${f%/*}" && cp -f -- "$carry/files$f" "$root$f" ;;
		esac || die "cannot put $f into the guest"
		said+=" $f"
	done < <(sort -u -- "$carry/list" 2>/dev/null)
	[[ -z $said ]] || msg "in the guest too:$said"
}

# left_here: names what CMD may have missed, after it failed
left_here()
{
	local f

	while IFS= read -r f; do
		guest_has "$f" ||
			msg "not in the guest: $f of this machine; --file takes a file there, --share a directory"
	done <"$carry/left"
}
