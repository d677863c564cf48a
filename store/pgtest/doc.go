// Package pgtest runs a PostgreSQL server for tests: one that is made for them
// in a folder of its own, is reached through a socket there alone, and is gone
// with them. It is not linked into the programs.
//
// The server is the test's child: Start starts it, Close stops it and removes
// its folder, and where the system can (Linux) it ends with a test process that
// was killed. PostgreSQL does not run as root: there it runs as the user
// postgres, whom Debian's package makes.
package pgtest
