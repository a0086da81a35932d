// Package mesh makes a node a member of the mesh: it keeps links to
// neighbours, finds routes, forwards packets, and offers datagrams, streams,
// ping and traceroute to the program around it. It speaks the protocol of
// ansible/receptor 1.5 (spec mesh-protocol) on every link.
//
// # Concepts
//
// A link ([link.Link]) joins two nodes; a peer is the node across it. Links
// come from [Node.ServeLinks] and [Node.KeepLink]. Once the handshake is done,
// nothing depends on who dialled.
//
// Routing updates and service advertisements are control frames. They flood,
// and go to the one goroutine that owns the routing table (package route), the
// table of links and the schedule: loop.go.
//
// A data packet names its nodes by hash and its services by eight bytes. Its
// life:
//
//	reader of a link --arrive--+--> other node: one byte is lowered, and the same
//	                           |    buffer waits in the outbox of the next link
//	                           +--> this node: ping is answered, a notice goes to
//	                                the socket it is about, the rest to the queue
//	                                of the service's socket
//	socket --send--------------+--> outbox of the first link
//	outbox --writer of a link--> one system call for what has gathered
//
// All that the data path knows is in a view, an immutable value that the owner
// replaces when something changed.
//
// Streams are QUIC over datagrams, one transport for all dials and one per
// stream service: stream_*.go, the only files that know quic-go. The protocol
// "netceptor" is that of ansible/receptor, with one stream per session. Between
// nodes of ours "receptor/2" is chosen, in which
//
//   - a session carries any number of streams, all opened by its dialer;
//   - a stream begins with a byte: 0 for a stream of the application, 1 for the
//     question whether the session may be closed, which is answered by 1 (yes)
//     or 0 (no) and the end;
//   - only the dialer closes a session, with code 0 and `normal close`.
//
// # Concurrency
//
// Goroutines of a node: the owner (Run); a reader and a writer per link; one
// per ServeLinks and KeepLink, which are the caller's; and those of streams.
// Run ends after all but the caller's, ServeLinks and KeepLink after those of
// their links.
//
// No reader of a link ever waits for a user: queues that packets find full
// drop them, and count. Only senders on this node wait, for the first link.
// Nobody waits for others while holding a lock. Locks nest in one order:
// streams.mu, sockets.mu, then any of the others.
//
//	queue                 bound                     when full
//	outbox, control       a frame per node/service  newer replaces older
//	outbox, forwarded     4,096 frames, 8 MiB       dropped
//	outbox, local         512 frames, 4 MiB         waits; the two take turns
//	inbox of the owner    256 frames per link       the reader waits; the owner depends on nobody
//	socket                4,096 frames, 8 MiB       dropped
//	links not yet up      512                       the oldest accepted one is closed
//	streams to accept     64 per service            wait for up to a minute, then reset
//
// # What is not promised
//
// Packets may be lost, repeated and reordered; streams repair that. Names in
// packets, updates and notices are not authenticated: whoever is in the mesh
// can claim anything. What a stream's write accepted is delivered if the other
// end reads it while the session lives, not if this node ends before.
package mesh
