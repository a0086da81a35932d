// Package harness runs real daemons for tests: it builds the programs, starts
// nodes from configuration files in directories of their own, talks to them
// through receptorctl, and ends everything that a test started. Nothing in it
// knows the inside of a daemon, so any binary that takes `--config FILE` can
// play any role.
package harness
