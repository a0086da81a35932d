// Package config reads the daemon's configuration into one plain value, File.
//
// # Concepts
//
// A configuration is a list of sections (`tcp-listener`), each with keys
// (`port`). There is one table of all of them (sections.go): their types,
// defaults, help and which key takes a bare value. Everything that has to know
// a section by name is driven by that table.
//
// There are three forms: a YAML list of sections (version 1), a map of them in
// YAML, JSON or TOML (version 2), and options of the command line. They mean
// the same, by the same table; Args is what all of them are loaded through.
//
// A configuration goes through three steps, each with its own files:
//
//	read      bytes -> sections with positions, nothing known of their meaning  (yaml.go, scalar.go, document.go, map.go, toml.go, env.go, args.go)
//	convert   sections -> typed values by the table, then the structs of File   (convert.go, build.go)
//	complete  File -> File with the defaults that need the machine, all checks  (complete.go, check*.go, unique.go)
//
// Only the first knows a file format. A section remembers its form, since a few
// rules of how values are taken differ (spec configuration 5, 8). The same table
// makes the help and completion (help.go) and writes a configuration in another
// form (write.go); Diff compares two of them.
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
