// Package unixsocket opens Unix sockets in the way that operators of
// ansible/receptor know (spec control-protocol 1.1, configuration 12): with a
// lock file beside them, a mode, and no trouble with what a killed process
// left behind.
package unixsocket
