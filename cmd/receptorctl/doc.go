// Receptorctl is the command line client of the receptor daemon.
//
// It speaks the control protocol (package controlproto) with one daemon, over a
// Unix socket, TCP or TLS: version 2 where the daemon knows it, else version 1,
// which is that of ansible/receptor. Names, options, output and exit codes are
// those of its receptorctl (spec receptorctl 1 to 11); what is better is listed
// there in 12.
//
// # Files
//
// There is one file for each command, in one shape: a struct of its options, a
// constructor that makes the cobra command, and a function that runs it. Below
// them are daemon.go (the session with the daemon, opened anew where a request
// used the connection up), address.go and dial.go (where it is and how to get
// there), output.go (tables and JSON), errors.go (errors to text, hints and exit
// code). Everything that the program takes from the system is in env.
//
// # What is promised
//
// stdout carries results, stderr talk. An error is a line that begins with
// `ERROR: `, then zero or more that begin with `hint: `, whose wording may change.
// Exit codes are the table in errors.go. The command line is checked before
// the daemon is asked for anything.
package main
