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
// "starting" includes the wait for a turn: of a work type with MaxUnits no more
// commands run at a time, and further units wait in the order of their
// acceptance (type queue). Their Detail says so; it is made when it is asked for
// and never written. A type that is not configured (any more) lets none start.
//
// A streamed unit is accepted before its payload. While that comes its command
// runs, and may end by itself. A payload that breaks off for good ends the unit
// as Failed, `Error reading input data: ...`, and stops its command.
//
// Units that have ended are released by a sweep when their work type keeps them
// no longer (KeepFor, KeepCount); not while a follower reads them, and never
// units that stand for work on other nodes.
//
// # Files of a unit
//
//	status       record, one line of JSON; spec work 3
//	status.lock  empty, in units of the original: flock(2) is held on it while status is
//	             replaced. Units of ours have one writer and do without
//	stdin        payload
//	stdout       output; written by the supervisor, or the mirror of a remote unit
//	stderr       ours: error output, of a unit that keeps it apart
//	stdin.end    ours: the final size of a streamed payload in decimal, once it is known
//	receipt      ours: who submitted the unit, whether it was accepted, the record
//	             at that time, and what the original keeps nowhere; see receipt
//	cancel       ours, empty: somebody asked for the command's end
//	release      ours, empty: the unit is to be deleted once its command has ended
//	python       ours: which function a Python plugin is to run, with its configuration
//	outcome      ours: how that ended, for people; its runner writes it (runner.py)
//
// Beside the units the file `.released` has the ids of released units that their
// submitters chose, so that a late repetition of a submission runs nothing again
// (ids that were to be released before a unit had them are remembered in memory);
// and `.tokens` has the names of signatures that were used.
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
//	the same, type not configured Pending until SetTypes brings the type
//	streamed, no stdin.end, and
//	  id not chosen               command stopped, Failed `Error reading input data: ...`;
//	                              a command that had ended by itself, here or on another node, did not want the rest
//	  id chosen                   goes on, and waits for its submitter
//	receipt says it broke off     command stopped, Failed with that Detail
//	process recorded and alive    Running; it counts for its type's limit
//	exit recorded                 the state that follows from it
//	process recorded and gone, or status Running
//	and no record of a process    Failed, with a Detail that says so
//	status final                  stays
//	mirror shorter or longer than
//	the status says               the file counts: the mirror goes on at its end
//	process file damaged          Failed: whether the command ran is not known, and it must not run twice
//	status unreadable, no receipt the unit is shown as Failed, and left alone
//	anything but a plain file     damage, never opened
//
// stdin.end is put in place only when stdin is durable: who sees it can rely on
// the payload. A receipt whose sync failed is made void, as its submitter is
// told that the unit was refused. With Config.Unsynced nobody waits for syncs.
//
// Final states are synced, with the output, shortly after they are published.
//
// # Remote units
//
// One goroutine, the unit's driver, does all that concerns the other node, one
// errand after another (errand, remotePlan), and begins again after every cut:
//
//	not handed on       submit. To a node of ours under an id that was chosen here, so
//	                    that the attempt can be repeated; RemoteUnitID is on disk first
//	handed on           watch: one stream brings state, output and error output from
//	                    the sizes of the files here on; nothing else counts the bytes.
//	                    Nodes of ansible/receptor are polled (spec work 7.5)
//	cancel or release   noted in the record, told to the other node, repeated until it
//	                    has agreed or does not know the unit
//	ended here, though  disown: the other node releases it. That it refuses is no
//	perhaps made there  reason to forget it
//
// The payload of a streamed unit goes on a connection of its own, beside the
// watch: the other node says what it has, and gets the rest as it comes. It is
// not submitted again to a node that has lost the unit, as that would start the
// work twice. Nodes of ansible/receptor cannot read a payload while it is sent;
// they get the unit at its end.
//
// What holds a unit up is shown behind its Detail, and is never on disk: since
// when the node has not been heard of, what it refuses, that output cannot be
// stored here. The last is no failure: the other node has the output, and the
// mirror goes on when the disk has room.
//
// A unit ends with the other node's final state once all of its output is here.
// If output that node speaks of cannot be had, or the copy was longer than the
// original, the Detail says by how much. The exit code and the time of the end
// come from the other node; of one of ansible/receptor the exit code is what the
// Detail says, and the time is when the end was seen.
//
// Adopt makes a remote unit of one that another controller has submitted. The
// executor knows nothing of that: whoever cancels or releases it does so for
// both, and the other controller sees it Canceled, or gone.
//
// # Signatures
//
// Package sign makes and verifies tokens; who needs one for what is decided here
// (Authorize, Create), as is whether a token that says what it is for fits the
// request. Such a token is good once. A driver makes one for each attempt, so a
// submission that is repeated after a cut, or after days, has a fresh one; the
// unit's id keeps it from running twice. The payload is compared with what was
// signed when it is complete, before the command may read it. That of a streamed
// unit is signed at its end: if it is another the command is stopped.
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
