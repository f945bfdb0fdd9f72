#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_profile.sh SNPUCTL: the profile commands, without a snpud. TAP.

ctl=$1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
unset SNPU_CONTROL
n=0
bad=0

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
		sed 's/^/# /' "$dir/out" "$dir/err"
	fi
}

# run STATUS ARGUMENT...: does snpuctl end with it?
run()
{
	want=$1
	shift
	"$ctl" "$@" >"$dir/out" 2>"$dir/err"
	[ $? -eq "$want" ]
}

has() { grep -qE -- "$1" "$dir/out"; }
says() { grep -qE -- "$1" "$dir/err"; }

echo TAP version 13
ok 'list' run 0 profile list
ok 'list has cm384' has '^cm384 +48 +384 +2 +448 '
for p in $(sed -n '2,$s/ .*//p' "$dir/out"); do
	ok "check $p" run 0 profile check "$p"
	ok "check $p says so" has "^profile $p adds up: [0-9]+ figures"
done
ok 'show' run 0 profile show cm384-781
ok 'show: value, unit, tag, source' has '^npu.flops_bf16 +7.81e\+14 flop/s +assumed +press: 300 PFLOPS'
ok 'show: its base' has '^based on .*/cm384.json$'
ok 'show: words' has '^fabric.routing +hash '
ok 'show: links' has '^links_npu_l1 +5376 $'
ok 'show: JSON' run 0 --json profile show cm384
ok 'show: JSON: derived' has '"l2_switches":'
cat >"$dir/mine.json" <<'EOF'
{
	"version": 1, "name": "mine", "title": "half the link rate",
	"base": "cm384",
	"fabric": {
		"link_bandwidth": { "value": 1.4e10, "unit": "B/s", "tag": "assumed", "source": "what if" }
	}
}
EOF
ok 'half the link rate is refused' run 1 profile check "$dir/mine.json"
ok 'with file, line, column and figures' \
	says 'mine.json:5:3: fabric.link_bandwidth: 1.4e\+10 .* 1.96e\+11 .* 3.92e\+11'
for base in nonsuch missing.json; do
	sed "s/\"cm384\"/\"$base\"/" "$dir/mine.json" >"$dir/orphan.json"
	ok "base $base is refused" run 1 profile check "$dir/orphan.json"
	ok "base $base: where it is named" says "orphan.json:3:2: base: .*$base"
done
ok 'unknown name' run 1 profile show h100
ok 'new name is told' says 'hgx-h100'
ok 'wrong command' run 2 profile paint
ok 'no command' run 2 profile
echo "1..$n"
exit $bad
