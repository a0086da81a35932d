// Package config reads the daemon's configuration into one plain value, File.
//
// # Concepts
//
// A configuration is a list of sections (`tcp-listener`), each with keys
// (`port`). There is one table of all of them (sections.go): their types,
// defaults, help and which key takes a bare value. Everything that has to know
// a section by name is driven by that table.
//
// A configuration goes through three steps, each with its own files:
//
//	read      bytes -> sections with positions, nothing known of their meaning  (yaml.go, scalar.go)
//	convert   sections -> typed values by the table, then the structs of File   (convert.go, build.go)
//	complete  File -> File with the defaults that need the machine, all checks  (complete.go, check.go)
//
// Only the first knows a file format: the YAML list of version 1 so far. The
// command line and the YAML map of version 2 are other ways to make the same
// list of sections.
//
// All problems of all files are reported together, as Problems, each with its
// place. What ansible/receptor takes in silence although it cannot be meant is
// refused where the result is unsafe or undefined there, and otherwise taken
// the same way with a warning (File.Warnings): a file that works there works
// here. differences.md lists every such case.
//
// # Concurrency
//
// There is no shared state: any number of loads may run at a time. A File is
// not changed after it was returned.
//
// # What is not promised
//
// Nothing outside the named files is looked at: that a certificate, key or
// program exists, that an address can be bound or a name resolved is found out
// by those who use them. The structs may gain fields.
package config
