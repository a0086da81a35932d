// Package rig has what long and large tests of whole daemons need beside
// package harness: links that can be cut, sessions of the control protocol, and
// measures of processes.
package rig
