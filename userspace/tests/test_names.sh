#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_names.sh HW_H OPS_H: the list of names has each operation of the hardware ABI. TAP.

hw=$(sed -n 's/^#define SNPU_OP_\([A-Z0-9_]*\)[ \t].*/\1/p' "$1" | sort)
list=$(sed -n 's/^SNPU_OP(\([A-Z0-9_]*\))$/\1/p' "$2" | sort)
echo 1..2
[ "$(echo "$hw" | wc -l)" -gt 20 ] || { echo "Bail out! no operations in $1"; exit 1; }
echo 'ok 1 - the header has operations'
if [ "$hw" = "$list" ]; then
	echo 'ok 2 - each has a name'
else
	printf '%s\n' "$hw" "$list" | sort | uniq -u | sed 's/^/# only in one list: /'
	echo 'not ok 2 - each has a name'
	exit 1
fi
