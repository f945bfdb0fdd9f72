#!/bin/bash
# SPDX-License-Identifier: MIT
#
# test_barrier.sh OBJDUMP LIBSNPU_SO: between a store that a sleeping device has to see and the look at
# need_wake stands an mfence. In a guest of one CPU, QEMU's TCG makes plain instructions of locked ones,
# which compilers prefer for a full fence; then one wake-up in a hundred or so can be lost.

objdump=$1 so=$2
n=0
rc=0

echo "TAP version 13"
if [[ $(uname -m) != x86_64 ]]; then
	echo "1..0 # SKIP not x86-64"
	exit 0
fi
echo "1..2"
for f in snpu_queue_kick snpu_event_set; do
	n=$((n + 1))
	code=$("$objdump" -d --no-show-raw-insn "$so" | awk -v f="<$f>:" '$2 == f { p = 1 } !NF { p = 0 } p')
	if [[ $code == *mfence* ]]; then
		echo "ok $n - $f: mfence"
	else
		echo "not ok $n - $f: no mfence"
		echo "${code:-not found}" | sed 's/^/# /' | head -n 40
		rc=1
	fi
done
exit $rc
