# Reads "go test -v" and prints what a person wants of it: one line for a
# package that passed, everything for one that did not, and the sums. A test
# that was skipped proves nothing: it fails the run.

function flush(i) {
	for (i = 1; i <= n; i++)
		if (line[i] !~ noise) print line[i]
	n = 0
}

BEGIN { noise = "^(=== (RUN|PAUSE|CONT|NAME) |[ ]*--- PASS: |PASS$)" }

/^[ ]*--- PASS: / { passed++ }
/^[ ]*--- FAIL: / { failed++ }
/^[ ]*--- SKIP: / { skipped++; print "skipped: " $3 }

# The compiler's errors come between the packages' lines.
/^# /                      { compiling = 1 }
/^(=== |ok |FAIL|\?|PASS)/ { compiling = 0 }
compiling                  { print; next }

/^(ok|\?)[ ]*\t/ { n = 0; print; next }
/^FAIL\t/        { flush(); print; broken = 1; next }
                 { line[++n] = $0 }

END {
	flush()
	if (skipped) printf "%d skipped, which is not allowed\n", skipped
	printf "%d passed, %d failed\n", passed, failed
	exit (broken || failed > 0 || skipped > 0)
}
