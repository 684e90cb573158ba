//go:build !linux

package pgserver

// removeSharedMemory does nothing: the segment of a killed server stays until
// the system starts anew.
func removeSharedMemory(string) {}
