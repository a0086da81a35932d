// Package supervise runs the commands of a node in a process that outlives the daemon.
//
// # Concepts
//
// The supervisor is one small process per node: the daemon's own executable, whose main function has called Main. It starts commands,
// each in a session and process group of its own with its output straight into the unit's file, waits for them, records how
// they ended, and stops them. The daemon talks to it through a Client. The supervisor is started with the first command that needs it;
// it ends by itself when it has run nothing and had no daemon for a while (Config.Idle), or as soon as nothing runs after a daemon
// that ended in order (its Run returned), or SIGTERM.
// Idle and with 1,000 commands it needs some megabytes, and no thread, goroutine or descriptor per command. Only a streamed command costs
// more, two descriptors and a process of its own, its feeder; commands with limits share one timer.
//
// A command is known by the key of its unit, and run once, whatever happens: starting it again answers with what became of the first start.
//
// # What survives what
//
//	daemon restarted or killed   commands go on; those that end meanwhile are recorded, and told to the next daemon
//	supervisor killed            commands go on and become children of the daemon, a child subreaper, which sees and records their
//	                             exit. The next start makes a new supervisor. A command that was being started is searched among
//	                             the processes; if it cannot be found its exit is not Known, and it is not started again
//	supervisor killed after      its commands become children of init, as its parent is gone: as if both were killed
//	the daemon was restarted
//	both killed                  commands go on; the next daemon watches them through pidfds (Client.Adopt). Their exit is Known where
//	                             the system tells (Linux 6.15); one that ended while nobody watched is not Known
//	machine restarted            the boot differs: not Known
//	program upgraded             the new daemon asks the old supervisor to end as soon as nothing runs; until then it serves, but is not
//	                             asked to start what it cannot run as the Job says: that Start fails for good, with a StartError
//	feeder killed                the supervisor starts another, which goes on at the same byte; the command notices nothing
//	supervisor or both killed    feeders go on
//	supervisor and feeder killed the command sees the end of its input; if it is seen to end, its Exit has Trouble
//
// A stop holds whoever dies: the kill that follows the interrupt is in a file before the interrupt is sent, and is done by the supervisor, by the daemon, or by
// the next of either, also when the command itself has ended, was forgotten and its unit removed. While both are dead nobody kills; the next one does at its start.
//
// Limits hold as long as either lives: the supervisor stops a command that exceeds one, or the daemon that watches the command because the
// supervisor died. Run time counts from the start of the process. While both are dead nobody enforces; the next daemon does.
//
// A process is never taken for another: numbers are compared together with start time and boot, and signals go to children that
// have not been waited for, or through pidfds. A group whose leader is gone is killed by its number only if it has a member that began before the number
// was last seen to be the group's.
//
// Commands start with all signals at their defaults and none blocked, whatever the daemon was started with (nohup, the & of a script).
//
// # Files
//
// Of a unit, in Job.UnitDir: "stdin" is read, "stdout" and with Job.Stderr "stderr" (mode 0600) are appended to by the command itself, and
// "process" is ours (mode 0600). It is a journal of lines, each one
// JSON object, each added by one write at the end. A line without its newline counts as not there, lines that
// are not JSON are skipped, unknown members are ignored; of several ends, feeds and limits the first counts, of several feeders the last.
//
//	{"v":1,"state":"claimed","in":BOOT}                                 synced; it is going to be started. Not there with Job.Unsynced
//	{"v":1,"state":"starting",TERMS}                                    right before the command is started
//	{"v":1,"state":"feeding","pid":N,"start":N,"boot":S}                its feeder runs
//	{"v":1,"state":"started","pid":N,"start":N,"boot":S}                it runs: Process
//	{"v":1,"state":"limit","limit":S}                                   it exceeds a limit and is going to be stopped; S becomes Trouble
//	{"v":1,"state":"fed","feed":{"bytes":N,"how":H,"cause":S}}          its input is over: "all" was fed, it "closed" its end or ended, or the rest
//	                                                                    could not be had ("broken", and why)
//	{"v":1,"state":"exited",EXIT}                                       it has ended, its feeder not yet: so whether that was a success is not known
//	{"v":1,"state":"ended","code":N,"signal":S,"detail":S,"started":B,"known":B,"ended":T,"trouble":S}    it has ended, or could not be started: Exit
//
// TERMS are those members of "stderr":true, "stream":true, "maxruntime_ms":N, "maxoutput":N, "limit_grace_ms":N that the Job asks for: whoever
// watches the command finds its limits there. The lines limit, feeding, fed and exited come only with limits and streams.
//
// Of a streamed unit "stdin" grows at its end only, and when it is complete "stdin.end" is there, put in place by a rename, which holds the size in decimal
// and a newline. The feeder moves the bytes into the pipe that is the command's standard input, and ends with the input or with the command.
// If "stdin.end" holds no size, or "stdin" is shorter or has been fed further than it says, the input is broken off.
//
// Of the supervisor, in Config.Dir (mode 0700, ours): "socket" (0600), "lock" (held with flock by the supervisor as long as it
// lives, so that there is one), "log" (begun anew beyond 1 MiB), and the directory "kills" (0700). That has a file (0600) for each group that was interrupted
// and is to be killed, named by number and start of its leader, written in its place (512 bytes) and removed when the group is killed or empty. Whoever finds
// files of another boot or another space of process numbers removes them. Times are since the boot:
//
//	{"v":1,"pid":N,"start":N,"boot":S,"pidns":S,"until_ms":N,"seen_ms":N,"interrupted":B}    leader, end of the grace, when the number was last seen to be the group's
//
// # Protocol
//
// Over the Unix socket, one JSON object per line in either direction, at most 16 MiB each. Both sides check the user of the other: it must be the same, or
// root. Strings that hold arguments, variables and paths need not be UTF-8: such a one is written as a list of its base64.
// Unknown members are ignored. The daemon sends requests:
//
//	op      members                       answer
//	hello   versions, env, workdir        first line; versions it speaks, environment and working directory of its commands
//	start   id, unit, dir, command, args, reply
//	        unsynced, and the TERMS of the journal
//	stop    id, unit, grace_ms            reply; if the command is being started, when it runs and was interrupted
//	forget  units, id                     reply if there is an id: the ends of these were dealt with, or nobody wants to hear of them
//	retire                                none: the supervisor ends as soon as nothing runs
//
// The supervisor sends:
//
//	msg      members
//	hello    version, exe, can, process   first line; the highest version that both speak, identity of program and process, and a list
//	                                      of what it knows: "stderr", "stream", "limits". A start that needs another must not be sent
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
// Processes that a command leaves behind are not waited for, not fed, not stopped when it ends by itself, and may go on writing to its output. A process that
// leaves the group of its command is not stopped with it. If the disk does not take the record of a kill (it is tried again each second), the kill
// is lost with the process that was to do it. The same holds for a group whose leader has ended and all of whose members are replaced by new ones while
// nobody looks. Of the journal only the line claimed is synced to disk, before the command is started, unless
// Job.Unsynced says otherwise: so a command is not started again after a power cut. If only that line is there and the boot is the same, the
// command was not started, and may be. The others are about processes, which a power cut ends.
//
// What a command writes before a look at its output finds it too large (about 100 ms) stays. A command whose last feeder is gone while
// nobody looks may have succeeded before its Exit says otherwise; it is the safe side.
//
// On systems other than Linux there is no supervisor: the daemon runs the commands itself, feeds them and enforces limits, and one that outlives it
// is watched, without its exit, by the next; its input ends with the daemon.
package supervise
