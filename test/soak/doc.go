// Package soak breaks a mesh of real daemons at random for as long as it is
// given, and holds afterwards that nothing was lost: every accepted unit has a
// true final state and its output and error output to the byte, no command ran
// twice, releases left nothing behind, and no process has grown. Some payloads are
// streamed, and resumed after a cut; some units are adopted by a third node and end alike
// there; units of a limited work type never run side by side in greater number.
//
// The environment sets it: SOAK is how long things are broken (2m), SEED repeats the
// decisions of an earlier run. Commands and timing of the machine are not repeated by it.
package soak
