#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_names.sh HW_H OPS_H MAP PREP_H TEST...: the list of names has each operation of the
# hardware ABI; each call that the library exports and no header defines is in one of the tests of
# messages. TAP.

hw=$(sed -n 's/^#define SNPU_OP_\([A-Z0-9_]*\)[ \t].*/\1/p' "$1" | sort)
list=$(sed -n 's/^SNPU_OP(\([A-Z0-9_]*\))$/\1/p' "$2" | sort)
calls=$(sed -n 's/^\t\(snpu_[a-z0-9_]*\);$/\1/p' "$3")
prep=$4
shift 4
bad=0
n=0

# ok WHAT CONDITION...
ok()
{
	n=$((n + 1))
	what=$1
	shift
	if "$@"; then
		echo "ok $n - $what"
	else
		bad=1
		echo "not ok $n - $what"
	fi
}

echo 1..4
ok 'the header has operations' [ "$(echo "$hw" | wc -l)" -gt 20 ]
printf '%s\n' "$hw" "$list" | sort | uniq -u | sed 's/^/# only in one list: /'
ok 'each has a name' [ "$hw" = "$list" ]
ok 'the library has calls' [ "$(echo "$calls" | wc -l)" -gt 60 ]
missing=$(for call in $calls; do
	grep -q "[^a-z0-9_]$call(" "$prep" "$@" || echo "$call"
done)
[ -z "$missing" ] || echo "$missing" | sed 's/^/# in no test of messages: /'
ok 'each is in a test of messages' [ -z "$missing" ]
exit $bad
