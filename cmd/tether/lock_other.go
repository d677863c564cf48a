//go:build !unix

package main

import "os"

// lockFile does nothing: the standard library has no lock of files here. A
// second server on one database is left to the operator to avoid.
func lockFile(*os.File) error { return nil }
