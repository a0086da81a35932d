// Package link moves whole frames between two neighbours, over TCP (with or
// without TLS), UDP, WebSocket (ws and wss), and in memory.
//
// # Concepts
//
// A [Dialer] opens one [Link] at a time to one address, a [Listener] accepts
// any number. Once open, a link is the same at both ends. What a frame means,
// who may connect, and when to dial again is the business of package mesh.
//
//	transport  frame is            largest  order and delivery
//	tcp        u16 LE length, body  65,535  kept; a failure ends the link
//	websocket  one binary message   65,535  kept; a failure ends the link
//	udp        one datagram         65,507  none; a frame may be lost, repeated, reordered
//	pipe       a copy in memory     any     as its PipeOptions say
//
// Frames are pooled ([Frame]). The reader of a link owns what ReadFrame
// returns; WriteFrames borrows what it is given. A data path that receives on
// one link and sends on another copies and allocates nothing of its own.
//
// # Concurrency
//
// One goroutine reads a link and one writes it; Close and the other methods
// may be called from anywhere, and Close unblocks both. TCP links and pipes
// have no goroutine. A UDP listener has one, which serves all its sessions and
// waits for none: a session that is not read loses frames once its queue is
// full. A WebSocket listener is an HTTP server. Close of a listener waits for
// its goroutines.
//
// # Bounds
//
// A peer that takes nothing for 30 s ends its TCP or WebSocket link. The TLS
// handshake of an accepted TCP link happens in its first read or write and is
// given 15 s; that of a WebSocket client, with its request, 5 s. A UDP
// listener keeps 4096 sessions, and nothing evicts them: the owner of a link
// that stays silent closes it.
//
// Links and listeners that may drop frames have a method Dropped() uint64.
//
// # Not promised
//
// Nothing is retransmitted, kept alive, or authenticated beyond TLS. Close
// sends no goodbye: on TCP, what the peer has sent and was not read makes the
// system reset the connection, and what we wrote last may then be lost. Who
// needs it to arrive reads until the peer closes.
package link
