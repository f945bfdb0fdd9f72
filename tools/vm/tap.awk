# SPDX-License-Identifier: MIT
#
# Reads what guest-tests printed and says what it amounts to. A result counts
# only in column 0; a skip must name the kernel option it misses, or a number of
# NPUs ("needs N NPUs") above npus (awk -v npus=N; without it no such skip is
# right); a program must keep its plan and its exit code must agree with its
# results.
# Prints lines "RESULT NAME: TEXT" for what is not a pass and, last, "total P F S".

function report(result, what)
{
	printf("%s %s: %s\n", result, name, what)
	if (result == "fail")
		failed++
	else
		skipped++
}

function skip(why)
{
	seen++
	if (why ~ /CONFIG_[A-Z0-9_]+/)
		report("skip", why)
	else if (npus && match(why, /needs [0-9]+ NPUs/) &&
		 substr(why, RSTART + 6, RLENGTH - 11) + 0 > npus + 0)
		report("skip", why)
	else {
		bad++
		report("fail", "unexpected skip (it names no CONFIG_ option, nor more NPUs than there are): " why)
	}
}

function finish(rc)
{
	if (rc == 137)
		report("fail", "killed, or over its time limit")
	else if (plan >= 0 && seen != plan)
		report("fail", "planned " plan " results, gave " seen)
	else if (rc != 0 && rc != 4 && !bad)
		report("fail", "exit code " rc " though no result says why")
	else if (rc == 4 && !seen)
		skip(last)
	else if (!seen && tap)
		report("fail", "no results")
	else if (!seen && name ~ /^selftests\//)
		report("fail", "printed no TAP")
	else if (!seen)
		passed++
	name = ""
}

BEGIN { passed = failed = skipped = 0; name = "" }

{ sub(/\r$/, "") }

/^@@begin / {
	if (name != "")
		report("fail", "did not end")
	name = $2
	seen = bad = tap = 0
	plan = -1
	last = ""
	next
}
/^@@end / { if (name != "") finish($NF); next }
/^@@all/ { all = 1; next }
name == "" { next }
/^(TAP|KTAP) version/ { tap = 1; next }
/^1\.\.[0-9]+/ {
	tap = 1
	plan = substr($1, 4) + 0
	if (plan == 0 && toupper($0) ~ /# *SKIP/) {
		skip($0)
		plan = -1
	}
	next
}
/^ok [0-9]+/ {
	tap = 1
	if (toupper($0) ~ /# *SKIP/)
		skip($0)
	else {
		seen++
		passed++
	}
	next
}
/^not ok [0-9]+/ {
	tap = 1
	if (toupper($0) ~ /# *(XFAIL|TODO)/) {
		seen++
		passed++
		next
	}
	seen++
	bad++
	report("fail", $0)
	next
}
/^Bail out!/ { bad++; report("fail", $0); next }
/[^ ]/ { last = $0 }

END {
	if (name != "")
		report("fail", "did not end")
	else if (!all) {
		name = "guest"
		report("fail", "the guest did not reach the end of the tests")
	}
	print "total", passed, failed, skipped
}
