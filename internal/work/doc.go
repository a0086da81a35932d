// Package work keeps and runs units of work, on this node and on others (spec
// work).
//
// # Concepts
//
// A unit is one piece of work: a work type, parameters, a payload that its
// command reads from standard input, a state, and output. It lives in a
// directory below Config.Dir named by its id. A unit whose command runs here is
// a command unit; one that stands for a unit of another node is a remote unit,
// and its directory mirrors the state and the output of the other one. The
// commands themselves belong to a process of their own (package supervise), so
// they outlive the daemon.
//
// A Manager keeps all units of a node. Create makes a unit, the Submission takes
// its payload, Start accepts it. Follow streams a unit's changes and output to
// a Sink as they come.
//
// # States
//
// One function, record.step, moves a unit:
//
//	            accepted         started            ended
//	Pending ------------> Pending -------> Running -------> Succeeded | Failed
//	waiting  |            starting |          |
//	         |                     |          |  cancelled
//	         +---------------------+----------+-----------> Canceled
//
// Succeeded, Failed and Canceled are final: nothing changes them, and every
// stream of the unit ends once the output up to the final size was sent. A
// remote unit shows the other node's final state only when all output is here.
// A remote unit that is cancelled before it was handed on becomes Failed,
// `Locally Cancelled`, as clients of the original expect.
//
// # Files of a unit
//
//	status       record, one line of JSON; spec work 3
//	status.lock  empty, in units of the original: flock(2) is held on it while status is
//	             replaced. Units of ours have one writer and do without
//	stdin        payload
//	stdout       output; written by the supervisor, or the mirror of a remote unit
//	receipt      ours: who submitted the unit, whether it was accepted, the record
//	             at that time, and what the original keeps nowhere; see receipt
//	cancel       ours, empty: somebody asked for the command's end
//
// The supervisor adds files of its own. A directory whose name begins with
// `.released.` is a unit that was released and is being deleted.
//
// # Crash rules
//
// A unit is accepted when its receipt says so, and Start answers only after
// receipt, payload and directory entries were synced. Everything later (status)
// is written without a sync and replaced by renaming: after a power cut it may
// be old, empty or gone, and the receipt together with the supervisor's files
// tells the truth. Thus:
//
//	no receipt, not accepted, or
//	payload shorter than accepted the unit never started: Failed, `Pending at restart`;
//	                              or, with an id that its submitter chose, still waiting for input
//	accepted, no trace of a start the unit is started
//	process recorded and alive    Running
//	exit recorded                 the state that follows from it
//	process recorded and gone     Failed, with a Detail that says so
//	status final                  stays
//	status unreadable, no receipt the unit is shown as Failed, and left alone
//
// Final states are synced, with the output, shortly after they are published.
//
// # Concurrency
//
// Every method of Manager and Submission may be called by any goroutine; one
// Submission is for one goroutine. unit.mu guards a unit's record and is never
// held over I/O; unit.saveMu, taken first, serialises the writing of its files.
// Manager.mu guards the table and is taken last. A running command costs no
// goroutine; a remote unit that has not ended costs one.
//
// # Not promised
//
// The output of a command is not synced while it runs: a power cut ends the
// unit as Failed and may cost the last seconds of its output. Two followers of
// one unit see the same bytes but not in the same pieces. Status events may be
// merged when a sink is slow; the last one is always delivered.
package work
