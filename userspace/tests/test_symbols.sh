#!/bin/bash
# SPDX-License-Identifier: MIT
#
# test_symbols.sh NM LIBSNPU_SO LIBSNPU_MAP HEADER...: what the library exports is
# what its map lists, is what the headers declare, or define inline.

nm=$1 so=$2 map=$3
shift 3
headers=("$@")

exported()
{
	"$nm" -D --defined-only "$so" |
		awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort -u
}

mapped()
{
	sed -n '/global:/,/^}/s/^[[:space:]]*\([a-z0-9_]*\);.*/\1/p' "$map" | sort -u
}

# Declarations begin in column 1; prototypes may go on in the next line. Functions
# marked SNPU_INLINE are exported as well
declared()
{
	sed -e '/^#/d' -e '/^ \*/d' -e 's/^SNPU_INLINE //' "${headers[@]}" |
		grep -oE '^[a-z][a-z0-9_ ]*[ *]snpu_[a-z0-9_]+\(' |
		grep -v '^static' | sed -E 's/.*[ *](snpu_[a-z0-9_]+)\(/\1/' | sort -u
}

n=0
rc=0
same()
{
	local text=$1 a=$2 b=$3

	n=$((n + 1))
	if [[ -n $a && $a == "$b" ]]; then
		echo "ok $n - $text"
	else
		echo "not ok $n - $text"
		diff <(echo "$a") <(echo "$b") | sed 's/^/# /'
		rc=1
	fi
}

echo "TAP version 13"
echo "1..2"
e=$(exported) m=$(mapped) d=$(declared)
same "exported symbols are those of the map" "$e" "$m"
same "symbols of the map are those of the headers" "$m" "$d"
exit $rc
