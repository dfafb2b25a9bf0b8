//go:build !unix

package main

// fileLimit is how many connections we dare to open where the system does not tell.
func fileLimit() int { return 2048 }
