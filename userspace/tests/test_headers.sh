#!/bin/bash
# SPDX-License-Identifier: MIT
#
# test_headers.sh BUILD: installs BUILD into a directory and uses it as a program's build does,
# through pkg-config: each header alone, then a program, in every language that they promise.

build=$1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf -- "$tmp"' EXIT
root=$tmp/root

n=0 rc=0

# result TEXT: by the status before it, with what $tmp/out says
result()
{
	local bad=$?

	n=$((n + 1))
	if ((bad)); then
		echo "not ok $n - $1"
		head -n 20 "$tmp/out" | sed 's/^/# /'
		rc=1
	else
		echo "ok $n - $1"
	fi
}

# pc OPTION... PACKAGE: pkg-config as for a system below $root
pc()
{
	local dir

	dir=$(dirname -- "$(find "$root" -name snpu.pc)")
	PKG_CONFIG_PATH=$dir PKG_CONFIG_SYSROOT_DIR=$root pkg-config "$@"
}

# standard COMPILER STANDARD: its name there; before it was published, C23 was c2x
standard()
{
	if [[ $2 == c23 ]] && ! "$1" -std=c23 -fsyntax-only -x c /dev/null 2>/dev/null; then
		echo c2x
	else
		echo "$2"
	fi
}

# have COMPILER TEXT: is it installed? Otherwise skips the test TEXT
have()
{
	command -v "$1" >/dev/null && return
	n=$((n + 1))
	echo "ok $n - $2 # SKIP $1 is not installed"
	return 1
}

echo "TAP version 13"
meson install -C "$build" --no-rebuild --destdir "$root" >"$tmp/out" 2>&1
result "meson install"

headers=(snpu/snpu.h snpu/snpu_prep.h snpu/snpu_hw.h snpu/snpu_pt.h snpu/coll.h drm/snpu_accel.h)
flags=(-Wall -Wextra -Werror)
# the prefix is /usr, /usr/local or another one: BUILD decides
installed=$(find "$root" -path '*/include/*.h' -printf '%P\n' | sed 's|.*/include/||' | sort)
[[ $installed == "$(printf '%s\n' "${headers[@]}" | sort)" ]] || {
	printf 'installed: %s\n' $installed >"$tmp/out"
	false
}
result "the headers installed are: ${headers[*]}"

# libdrm is not below $root
cflags="$(pc --cflags snpu_coll 2>"$tmp/out") $(pkg-config --cflags libdrm 2>>"$tmp/out")"
[[ ! -s $tmp/out ]]
result "pkg-config knows snpu_coll and libdrm"

for use in gcc:c11 gcc:c17 gcc:c23 gcc:gnu11 g++:c++17 g++:c++20 \
	   clang:c11 clang:c17 clang:c23 clang++:c++17 clang++:c++20; do
	cc=${use%%:*} std=$(standard "${use%%:*}" "${use#*:}")
	lang=c
	[[ $cc == *++ ]] && lang=c++
	have "$cc" "$cc -std=$std: each header" || continue
	for h in "${headers[@]}"; do
		# twice: the second time its guard is all there is
		printf '#include <%s>\n#include <%s>\nint main(void) { return 0; }\n' "$h" "$h" |
			"$cc" -x $lang "-std=$std" "${flags[@]}" $cflags -fsyntax-only - >"$tmp/out" 2>&1
		result "$cc -std=$std: <$h>"
	done
done

# Names of C that C++ reserves, designated initialisers, both libraries, an inline call
cat >"$tmp/app.c" <<-'EOF'
	#include <snpu/coll.h>

	int main(void)
	{
		struct snpu_queue_params qp = { SNPU_QUEUE_ENTRIES, 64, 0, 0, 0 };
		struct snpu_coll_uid uid;
		union snpu_pkt pkt;

		snpu_prep_fill(&pkt, 4096, 64, 0x2a, 1);
		return pkt.hdr.op != SNPU_OP_FILL || qp.entries != 64 ||
		       snpu_coll_uid_of_name("app", &uid) || !*snpu_version();
	}
EOF
cp "$tmp/app.c" "$tmp/app.cc"
libdir=$(dirname -- "$(find "$root" -name libsnpu.so)")
for use in gcc:c11:app.c g++:c++17:app.cc clang:c23:app.c clang++:c++20:app.cc; do
	IFS=: read -r cc std src <<<"$use"
	text="$cc -std=$std: a program with both libraries links and runs"
	have "$cc" "$text" || continue
	"$cc" -std="$(standard "$cc" "$std")" "${flags[@]}" "$tmp/$src" -o "$tmp/app" \
		$(pc --cflags --libs snpu_coll) >"$tmp/out" 2>&1 &&
		LD_LIBRARY_PATH=$libdir "$tmp/app" >>"$tmp/out" 2>&1
	result "$text"
done
[[ " $(pc --libs snpu_coll) " == *" -lsnpu "* ]]
result "snpu_coll.pc gives libsnpu too"

echo "1..$n"
exit $rc
