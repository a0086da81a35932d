// Package route keeps the link-state database of one node and the shortest
// paths that follow from it: who is sent which routing update and when, which
// links must be rejected, and which neighbour is the next hop to each node
// (spec mesh-protocol 5 to 7).
//
// # Concepts
//
// A Table is a value. Events go in with the present time: a link came up or
// ended, an update was received, a deadline passed. A Result comes out: frames
// to put into the queues of links, a link to reject, what changed. The
// Snapshot of the routes is immutable.
//
// Every node floods an update about itself that lists all its links. Every
// other node stores the newest update of each origin, by (epoch, sequence), and
// passes it on to all its links but the one it came from, once.
//
// # What is sent when
//
// ansible/receptor floods everyone's update every 10 s. We do not, and no
// neighbour notices:
//
//   - A change of our links is flooded at once, or 100 ms after the last flood.
//   - A link that got no update for almost 10 s gets our last one again, byte for
//     byte. It counts as life, and its known ID ends it at the peer.
//   - An unchanged update is flooded anew 10 s after a change, then ever more
//     rarely, at last every 10 minutes. The early ones repair losses anywhere.
//   - A new link first gets the stored updates of all other nodes that are in
//     reach, or were heard of just now. So nobody needs to wait for refreshes
//     when a node joins or a partition heals.
//   - When a node appears, restarts or becomes reachable we flood our own update,
//     in case it is behind a link between nodes that do not do the former. All
//     nodes do so at that time, so they spread it over 10 ms per known node. Our
//     own neighbours are no reason: they hear of us anyway.
//   - A lossy link gets each update again 1, 3 and 10 s after it was sent, unless
//     a newer one replaced it, and all stored ones once in about a minute.
//
// # Why it converges
//
// Let links be quiet from some moment on. Each node's last own update lists its
// final links and has the highest sequence of its epoch, so no node ever
// replaces it. It crosses every link that is up: either the link was up when
// the near end accepted the update, and it was passed on then, or the link came
// up later and the near end sent all it had stored. Loss on the way is repaired
// by repetition on lossy links and by the refreshes. So the databases of all
// nodes that can reach each other become equal, and since edges and tie-breaks
// are functions of the database, so do their graphs. Each hop of a shortest
// path is then strictly nearer to the destination, hence there are no loops.
//
// One thing is not a function of the database: an edge which only one end
// lists. See edge in db.go. It happens while a lost link has been noticed by
// one end only, and ends with the other end's notice.
//
// # Bounds
//
// MaxNodes, MaxEdges, MaxStored and maxSeen bound what others can make us keep; what
// exceeds them is dropped and counted in Stats. Nodes not heard of for
// ForgetAfter are forgotten. An own update that would exceed wire.MaxFrame
// leaves out the links with the highest IDs (Stats.LeftOut).
//
// # Concurrency
//
// None: no goroutine, lock, clock or logger is inside. One goroutine owns a
// Table. Snapshots, and the frames in Results, may be read by anyone and
// written by nobody. With the same Config, seed and events, the same results
// come out.
//
// # Not promised
//
// That a route works: it is what others said. That anyone told the truth: a
// neighbour can announce any node with any cost (spec mesh-protocol 17).
package route
