#!/bin/bash
# SPDX-License-Identifier: MIT
#
# test_killed.sh SNPU_BENCH SNPUD: the snpud that snpu-bench has started ends with it, also when it
# is killed and can tell nobody. snpud holds an end of a pipe: the other end tells when it is gone.

bench=$1 snpud=$2
dir=$(mktemp -d /tmp/snpu-test.XXXXXX) || exit 1
trap 'rm -rf -- "$dir" "$made"' EXIT
made=

echo "TAP version 13"
echo "1..1"
mkfifo "$dir/life" || exit 1
cat >"$dir/snpud" <<EOF
#!/bin/sh
exec 9>"$dir/life"
echo "\$\$ \$2" >&9
exec "$snpud" "\$@"
EOF
chmod +x "$dir/snpud"
"$bench" ep --snpud "$dir/snpud" >"$dir/out" 2>&1 &
pid=$!
disown
# both ends: nobody waits for ever for a snpud that never comes
exec 8<>"$dir/life"
read -r -t 20 -u 8 child made
exec 7<"$dir/life" 8>&-
kill -KILL "$pid"
read -r -t 20 -u 7
# 1: nobody holds the other end; more: 20 s are over
if [[ $? == 1 && -n $child ]]; then
	echo "ok 1 - snpud ends when snpu-bench is killed"
else
	echo "not ok 1 - snpud ends when snpu-bench is killed"
	sed 's/^/# /' "$dir/out"
	[[ -z $child ]] || kill -KILL "$child"
	exit 1
fi
