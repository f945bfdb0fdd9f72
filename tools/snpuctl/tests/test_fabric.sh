#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_fabric.sh SNPUCTL SNPUD: fabric, fault and top, with a snpud of cm384. TAP.

ctl=$1
snpud=$2
dir=$(mktemp -d) || exit 1
mkfifo "$dir/ready"
"$snpud" --socket-dir "$dir/s" --profile cm384 --npus 16 >"$dir/ready" 2>"$dir/log" &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid; rm -rf "$dir"' EXIT
read -r line <"$dir/ready" || { echo "Bail out! snpud: $(cat "$dir/log")"; exit 1; }
SNPU_CONTROL=$dir/s/control.sock
export SNPU_CONTROL
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
ok 'show' run 0 fabric show
ok 'show: the machine' has '^cm384: 384 NPUs of 2 dies in 48 hosts, 448 switches'
ok 'show: seven planes, all up' has '^ *6 +3168 +3168 +0 +0 +0 '
ok 'links: none has been used' run 0 fabric links
ok 'links: only a headline' [ "$(wc -l <"$dir/out")" = 1 ]
ok 'links all' run 0 fabric links all
ok 'links all: over several answers' [ "$(wc -l <"$dir/out")" = 22945 ]
ok 'links of a node' run 0 fabric links 383
ok 'links of a node: 14 ports, both ways, and the die beside' [ "$(wc -l <"$dir/out")" = 31 ]
ok 'ports' run 0 fabric ports 5
ok 'ports: rate' has '^ *1 +6 up +28.00 '
ok 'switches' run 0 fabric switches
ok 'switches: the last' has '^l2.6.15 '
ok 'routes in a host' run 0 fabric routes 0 7
ok 'routes in a host: one switch' has '^ *3 +1>1 +up +28.00 +npu0.1>l1.0.3 l1.0.3>npu7.1$'
ok 'routes between hosts' run 0 fabric routes 0 383
ok 'routes between hosts: an L2 switch' has 'npu0.0>l1.0.0 l1.0.0>l2.0.([0-9]+) l2.0.\1>l1.47.0 l1.47.0>npu383.0$'
ok 'map' run 0 fabric map --svg "$dir/map.svg"
ok 'map: a picture' grep -q '</svg>' "$dir/map.svg"
ok 'map on stdout' run 0 fabric map --svg -
ok 'map where nothing can be written' run 1 fabric map --svg "$dir/none/map.svg"
ok 'map without a file' run 2 fabric map
ok 'a plane goes down' run 0 fault plane 2 down
ok 'a switch flaps' run 0 fault switch l2.3.15 flapping
ok 'a link is slow, both ways' run 0 fault link npu1.0-l1.0.4 degraded 25%
ok 'a link is slow, one way' run 0 fault link 'npu2.1>l1.0.4' degraded 14e9
ok 'list' run 0 fault list
ok 'list: plane' has '^plane +2 +down'
ok 'list: switch' has '^switch +l2.3.15 +flapping'
ok 'list: link' has '^link +npu1.0>l1.0.4 +degraded +25'
ok 'list: the other way' has '^link +l1.0.4>npu1.0 +degraded +25'
ok 'list: by rate' has '^link +npu2.1>l1.0.4 +degraded +50'
ok 'the port tells' run 0 fabric ports 1
ok 'the port tells: slow' has '^ *0 +4 degraded +7.00 '
ok 'the port tells: down' has '^ *1 +2 down +0.00 '
ok 'route over a plane that is down' run 0 fabric routes 0 9
ok 'route over a plane that is down: 12 of 14' has '^14 lanes, 12 up'
ok 'a plane that is not there' run 1 fault plane 7 down
ok 'a plane that is not there: which there are' says 'no plane "7"; allowed: 0 .. 6'
ok 'a link that is not there' run 1 fault link 'npu0.0>l1.1.0' down
ok 'a state that is not there' run 1 fault plane 1 broken
ok 'a rate above its own' run 1 fault link 'npu0.0>l1.0.0' degraded 28e9
ok 'a rate of a plane' run 1 fault plane 1 degraded 1e9
ok 'a rate that is none' run 2 fault plane 1 degraded fast
ok 'no rate' run 2 fault plane 1 degraded
ok 'show with faults' run 0 fabric show
ok 'show with faults: how many' has ', 5 faults set$'
ok 'top with faults' run 0 top once
ok 'looking ends none' run 0 fault list
ok 'looking ends none: all five' [ "$(wc -l <"$dir/out")" = 6 ]
ok 'clear' run 0 fault clear
ok 'clear: how many' has '^cleared +5'
ok 'clear: nothing left' run 0 fault list
ok 'clear: only a headline' [ "$(wc -l <"$dir/out")" = 1 ]
ok 'clear: the plane is back' run 0 fabric show
ok 'clear: the plane is back: all its links' has '^ *2 +3168 +3168 +0 +0 +0 '
ok 'clear: it had gone down once, 3168 links' has '^ *2 +3168 .* 0 +3168$'
ok 'a port that has been down' run 0 fabric ports 1
ok 'a port that has been down: once' has '^ *1 +2 up .* 0 +0 +0 +1$'
ok 'a port that has been slow: never' has '^ *0 +4 up .* 0 +0 +0 +0$'
ok 'as JSON' run 0 --json fabric ports 1
ok 'as JSON: both dies of the plane' [ "$(grep -c '"downs": *1' "$dir/out")" = 2 ]
ok 'links that have been down' run 0 fabric links
ok 'links that have been down: all of the plane' [ "$(wc -l <"$dir/out")" = 3169 ]
ok 'top once' run 0 top once
ok 'top once: planes' has '^ *6 '
ok 'top as JSON' run 0 --json top
ok 'top as JSON: 16 NPUs' [ "$(grep -c '"npu":' "$dir/out")" = 16 ]
ok 'top with too much' run 2 top now and then
ok 'fabric without a command' run 2 fabric
ok 'a node that is no number' run 2 fabric ports x
ok 'a node that is not there' run 1 fabric ports 384
ok 'an error that is not there' run 2 inject 0 gremlin 1
ok 'an error that is not there: which there are' says 'hang QUEUE or fatal \[REASON\], not: gremlin'
ok 'no number' run 2 inject x hang 1
ok 'no number: which' says 'npu: x: must be a number'
# where the socket is: SNPU_CONTROL, else SNPU_SOCKET_DIR
SNPU_SOCKET_DIR=$dir/none
export SNPU_SOCKET_DIR
ok 'SNPU_CONTROL before SNPU_SOCKET_DIR' run 0 ping
unset SNPU_CONTROL
ok '--dir before SNPU_SOCKET_DIR' run 0 --dir "$dir/s" ping
ok 'SNPU_SOCKET_DIR without an snpud' run 1 ping
ok 'SNPU_SOCKET_DIR without an snpud: where' says "$dir/none/control.sock: "
unset SNPU_SOCKET_DIR
ok 'no socket' run 2 ping
ok 'no socket: how to give one' says 'set SNPU_CONTROL or SNPU_SOCKET_DIR'
ok 'no socket: fabric' run 2 fabric show
ok 'no socket: timing' run 2 timing summary
SNPU_SOCKET_DIR=$dir/s
export SNPU_SOCKET_DIR
ok 'quit, of SNPU_SOCKET_DIR' run 0 quit
ok 'after the end' run 1 ping
ok 'after the end: where' says 'control.sock: .*is snpud running'
echo "1..$n"
exit $bad
