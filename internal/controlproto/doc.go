// Package controlproto is the control protocol: what a client (receptorctl, a
// program, another daemon) and the control service of a daemon say to each
// other over one byte stream. It works on readers and writers and knows no
// sockets; it is safe for one goroutine per direction, as said at each type.
//
// # The session
//
// The daemon speaks first, one line:
//
//	Receptor Control, node NODEID
//
// Then the client sends requests. Two versions of the protocol share the
// stream; a session speaks version 1 until its client says otherwise.
//
// # Version 1
//
// The protocol of ansible/receptor 1.5. A request is one line, in text form
// (`ping executor01`) or JSON form (`{"command":"ping","target":"executor01"}`).
// A reply is one line: a JSON object, or `ERROR: ` and a text. Requests are
// answered in order, one at a time. Three requests leave the line form:
//
//	work submit   answered `Work unit created with ID ID. Send stdin data and EOF.`;
//	              then everything up to the client's half-close is the payload;
//	              one more reply line, and the daemon closes
//	work results  answered `Streaming results for work unit ID`, then raw output
//	              until it ends, and the daemon closes
//	connect       answered `Connecting`, then raw bytes both ways
//
// # Version 2
//
// Begins when the first request is hello:
//
//	C: {"command":"hello","versions":[2]}
//	S: {"version":2,"node":"executor01","software":"1.5.0"}
//
// A daemon that knows no hello answers `ERROR: Unknown command` and the client
// goes on in version 1. From here on every line in both directions is one JSON
// object that carries the id of a request: a positive integer chosen by the
// client, not in use by another request of the session. Requests run side by
// side, at most MaxActive of them; replies come in any order.
//
// The client sends
//
//	{"id":1,"command":"ping","target":"executor01"}   a request; members as in version 1's JSON form
//	{"id":1,"bytes":65536}  + that many raw bytes     input of request 1 (payload, connect)
//	{"id":1,"eof":true}                               end of the input
//	{"id":1,"cancel":true}                            no interest any more; answered with an error `canceled`
//
// and the daemon
//
//	{"id":1,"event":"unit","data":{...}}              something on the way, zero or more
//	{"id":1,"bytes":65536}  + that many raw bytes     output of request 1 (results, connect)
//	{"id":1,"eof":true}                               end of the output, where the request goes on (connect)
//	{"id":1,"result":{...}}                           the end of a request that went well
//	{"id":1,"error":{"code":"not_found","message":"unknown work unit x"}}   the end of one that did not
//
// Raw bytes follow a line only when it announced them, at most MaxChunk at a
// time. Input for a request that has ended is read and dropped. A line that is
// no JSON object, or is longer than MaxLine, is answered with an error of code
// `invalid` and id 0, and the session ends. Unknown members are ignored.
// Members may be added in later versions of the software, never renamed.
//
// The commands are those of version 1 (ping, traceroute, status, reload,
// connect, and work with its subcommands) with these differences:
//
//	work submit   members node, worktype, tlsclient, ttl, signwork (boolean),
//	              signature, params (an object of strings: what version 1 takes
//	              from the remaining members) and unitid: an id chosen by the
//	              submitter, which makes the request repeatable: a second submit
//	              with the id of a unit that the same submitter made starts
//	              nothing, and goes on where the first one was cut. stderr
//	              ("separate" or "mixed"; absent: as the work type is configured)
//	              says whether error output is kept apart from output. Events: unit
//	              {"unitid":ID,"received":N} once the unit exists, N being the
//	              bytes of payload that are already there; the client may send
//	              its input before it, unless it repeats a submission. Input is
//	              the payload; the unit starts at eof. A session that ends before
//	              eof does not start the unit. Result: {"result":"Job Started"
//	              or "Job Submitted","unitid":ID}
//	              stream (boolean, default false): the unit is accepted and started
//	              before the event unit, and its command reads the payload while
//	              it comes, for as long as that takes. The result comes at eof, or
//	              when the unit has ended; input after that is dropped. A
//	              session that ends before eof stops the command, and the
//	              unit has failed; with an id chosen by the submitter it waits for the rest
//	              instead. Where a signature is needed that says what it is for, the eof
//	              of a streamed payload has a member signature of its own, which says
//	              what the payload was
//	work follow   members unitid, startpos (default 0), output (default true),
//	              stderr (default false) and stderrpos (default 0). Events: status (a
//	              unit's record, as it is and at each change), output as bytes
//	              lines from startpos on, live, and with stderr the error output of
//	              a unit that keeps it apart, from stderrpos on, as bytes lines with
//	              "stream":"stderr". Bytes of one of the two are in order, but say nothing
//	              about their order with those of the other. The result is the last status,
//	              when the unit has ended and all output there is was sent
//	work results  as follow, without the events
//	work adopt    members node, unitid, tlsclient and signwork (boolean): this daemon
//	              takes over a unit that another controller has submitted to that
//	              node. Result: {"result":"Adopted","unitid":ID}, the id here. In
//	              version 1 too, as `work adopt NODE UNITID [TLSCLIENT]` or in JSON form,
//	              where signwork may be the string "true"
//
// The record of a unit (UnitStatus) has these members in version 2 alone, where
// they are known: ExitCode, StderrSize, Ended. Version 1 has those of
// ansible/receptor and no others.
//
// # Errors
//
// Code classifies what went wrong; Message is for people and, where version 1
// has a text, is that text.
package controlproto
