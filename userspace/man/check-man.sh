#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check-man.sh SRC BUILD LIBRARY HEADER...: every call that the library exports
# or a header defines has a page that names it, and every page is well formed.
set -u
src=$1 build=$2 lib=$3
shift 3
failed=0

bad()
{
	echo "check-man: $*" >&2
	failed=1
}

# sanitizers add symbols of their own
exported=$(nm -D --defined-only "$lib" |
	awk '$2 == "T" && $3 ~ /^snpu_/ { sub(/@.*/, "", $3); print $3 }')
inline=$(sed -n 's/^SNPU_INLINE [a-z0-9_ ]*\(snpu_[a-z0-9_]*\)(.*/\1/p' "$@")
[ -n "$exported" ] || bad "$lib exports nothing"
[ -n "$inline" ] || bad "no inline function in $*"

for call in $exported $inline; do
	if [ -f "$src/$call.3" ]; then
		page=$src/$call.3
	elif [ -f "$build/$call.3" ]; then
		page=$src/$(sed -n 's,^\.so man3/,,p' "$build/$call.3")
	else
		bad "$call: no page"
		continue
	fi
	[ -f "$page" ] || { bad "$call: leads to $page, which does not exist"; continue; }
	grep -q "^\\.B \".*[ *]$call(" "$page" || bad "$call: not in the synopsis of $page"
done

lint=1
command -v mandoc >/dev/null || lint=0

for page in "$src"/*.3 "$src"/*.7 "$src"/../../tools/snpud/snpud.1 \
	    "$src"/../../tools/snpuctl/snpuctl.1; do
	for head in NAME SYNOPSIS DESCRIPTION 'SEE ALSO'; do
		grep -qx "\\.SH $head" "$page" || bad "$page: no section $head"
	done
	case $page in
	*.3)
		for head in 'RETURN VALUE' ERRORS NOTES; do
			grep -qx "\\.SH $head" "$page" || bad "$page: no section $head"
		done ;;
	esac
	[ $lint -eq 0 ] || out=$(mandoc -T lint -W warning "$page" 2>&1) || bad "$out"
done
[ $failed -eq 0 ] || exit 1
# 77 is a skip to meson
[ $lint -eq 1 ] || { echo "check-man: mandoc is not installed: form of the pages not checked"; exit 77; }
echo "check-man: $(echo $exported $inline | wc -w) calls have pages"
exit $failed
