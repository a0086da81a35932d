// Package supervise runs the commands of a node in a process that outlives the daemon.
//
// # Concepts
//
// The supervisor is one small process per node: the daemon's own executable, whose main function has called Main. It starts commands,
// each in a session and process group of its own with its output straight into the unit's file, waits for them, records how
// they ended, and stops them. The daemon talks to it through a Client. The supervisor is started with the first command that needs it;
// it ends by itself when it has run nothing and had no daemon for a while (Config.Idle), or as soon as nothing runs after a daemon
// that ended in order (its Run returned), or SIGTERM.
// Idle and with 1,000 commands it needs some megabytes, and no thread, goroutine or descriptor per command.
//
// A command is known by the key of its unit, and run once, whatever happens: starting it again answers with what became of the first start.
//
// # What survives what
//
//	daemon restarted or killed   commands go on; those that end meanwhile are recorded, and told to the next daemon
//	supervisor killed            commands go on and become children of the daemon, a child subreaper, which sees and records their
//	                             exit. The next start makes a new supervisor. A command that was being started is searched among
//	                             the processes; if it cannot be found its exit is not Known, and it is not started again
//	both killed                  commands go on; the next daemon watches them through pidfds (Client.Adopt). Their exit is Known where
//	                             the system tells (Linux 6.15); one that ended while nobody watched is not Known
//	machine restarted            the boot differs: not Known
//	program upgraded             the new daemon asks the old supervisor to end as soon as nothing runs; until then it serves
//
// A process is never taken for another: numbers are compared together with start time and boot, and signals go to children that
// have not been waited for, or through pidfds.
//
// # Files
//
// Of a unit, in Job.UnitDir: "stdin" is read, "stdout" is appended to, and "process" is ours (mode 0600). It is a journal of lines, each one
// JSON object, each added by one write at the end. A line without its newline counts as not there, lines that
// are not JSON are skipped, unknown members are ignored; of several ends the first counts.
//
//	{"v":1,"state":"starting"}                                          right before the command is started
//	{"v":1,"state":"started","pid":N,"start":N,"boot":S}                it runs: Process
//	{"v":1,"state":"ended","code":N,"signal":S,"detail":S,"started":B,"known":B,"ended":T}    it has ended, or could not be started: Exit
//
// Of the supervisor, in Config.Dir (mode 0700, ours): "socket" (0600), "lock" (held with flock by the supervisor as long as it
// lives, so that there is one), "log" (begun anew beyond 1 MiB).
//
// # Protocol
//
// Over the Unix socket, one JSON object per line in either direction, at most 16 MiB each. Both sides check the user of the other: it must be the same, or
// root. Strings that hold arguments, variables and paths need not be UTF-8: such a one is written as a list of its base64.
// Unknown members are ignored. The daemon sends requests:
//
//	op      members                       answer
//	hello   versions, env, workdir        first line; versions it speaks, environment and working directory of its commands
//	start   id, unit, dir, command, args  reply
//	stop    id, unit, grace_ms            reply
//	forget  units, id                     reply if there is an id: the ends of these were dealt with, or nobody wants to hear of them
//	retire                                none: the supervisor ends as soon as nothing runs
//
// The supervisor sends:
//
//	msg      members
//	hello    version, exe, process        first line; the highest version that both speak, identity of program and process
//	hello    error, versions              refused: why, and what it speaks; then the connection ends
//	running  unit, dir, process           a command runs, or without process: is being started
//	ended    unit, dir, process, exit     a command has ended
//	unknown  unit, dir                    a command that was being started was found to have been started before, by another supervisor
//	synced                                all that was known when the connection began has been told
//	reply    id, unit, process, exit      start: it runs, or it has ended already; stop, forget: done
//	reply    id, unit, error, not_started start: it cannot be started, for good
//	reply    id, unit, before             start: another supervisor began to; the process file tells more
//	reply    id, unit, unknown            stop: no such command here
//	reply    id, error                    anything else
//
// After its hello the supervisor tells of all commands that it knows, then synced, then what happens. An end is repeated on every connection until it is
// forgotten. A daemon that does not read is disconnected when 32 MiB wait for it. Requests may be repeated on another connection.
//
//	version 1: as above
//
// # Concurrency
//
// Methods of Client may be called from any goroutine; Client.Run owns its goroutines and returns when they have ended. The events are delivered
// one at a time. The queue of events is bounded by the number of units, each of which has at most a few.
//
// # Not promised
//
// Processes that a command leaves behind are not waited for, not stopped when it ends by itself, and may go on writing to its output. A process that
// leaves the group of its command is not stopped with it. The grace of a stop that the daemon does itself, since
// the supervisor is dead, ends with the daemon. Records are not synced to disk: they are about processes, which a power cut ends.
//
// On systems other than Linux there is no supervisor: the daemon runs the commands itself, and one that outlives it is watched, without its exit, by the next.
package supervise
