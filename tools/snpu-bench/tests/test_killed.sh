#!/bin/bash
# SPDX-License-Identifier: MIT
#
# test_killed.sh SNPU_BENCH SNPUD: the snpud that snpu-bench has started ends with it, also when it is
# killed and can tell nobody.

bench=$1 snpud=$2
dir=$(mktemp -d /tmp/snpu-test.XXXXXX) || exit 1
trap 'rm -rf -- "$dir" "$made"' EXIT
made=

gone()
{
	# who waits to be reaped has ended
	[[ ! -d /proc/$1 || $(sed -n 's/^State:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null) == Z* ]]
}

# wait_for CMD...: 20 s at most
wait_for()
{
	local i

	for ((i = 0; i < 400; i++)); do
		"$@" && return
		sleep 0.05
	done
	return 1
}

echo "TAP version 13"
echo "1..1"
cat >"$dir/snpud" <<EOF
#!/bin/sh
echo "\$\$ \$2" >"$dir/pid.new"
mv "$dir/pid.new" "$dir/pid"
exec "$snpud" "\$@"
EOF
chmod +x "$dir/snpud"
"$bench" ep --snpud "$dir/snpud" >"$dir/out" 2>&1 &
pid=$!
disown
wait_for test -s "$dir/pid"
read -r child made <"$dir/pid"
kill -KILL "$pid"
if [[ -n $child ]] && wait_for gone "$child"; then
	echo "ok 1 - snpud ends when snpu-bench is killed"
else
	echo "not ok 1 - snpud ends when snpu-bench is killed"
	sed 's/^/# /' "$dir/out"
	[[ -z $child ]] || kill -KILL "$child"
	exit 1
fi
