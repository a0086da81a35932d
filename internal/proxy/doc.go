// Package proxy offers services over the mesh besides work: it carries byte
// streams and datagrams between sockets of this machine and services of other
// nodes, runs commands on terminals, and routes IP (spec mesh-protocol 14).
//
// # Concepts
//
// Each kind of service has a struct with the settings of its section of the
// configuration. Open takes the sockets and names, and finds what is wrong
// with the settings; the [Service] that it returns works while its Run does.
//
//	section             struct            from                      to
//	tcp-server          [TCPServer]       TCP port                  stream service
//	tcp-client          [TCPClient]       stream service            TCP address
//	unix-socket-server  [UnixServer]      Unix socket               stream service
//	unix-socket-client  [UnixClient]      stream service            Unix socket
//	udp-server          [UDPServer]       UDP port                  datagram service
//	udp-client          [UDPClient]       datagram service          UDP address
//	command-service     [CommandService]  stream service            a command on a terminal
//	ip-router           [IPRouter]        tun device                those of other nodes
//
// The first six are ways in (server) and ways out (client), as seen from the
// mesh: a way in leads to a way out of another node.
//
// Streams are accepted, dialled, and then joined: each direction is copied
// until its source ends, and that end is passed on as an end of that direction
// alone. A failure is passed on as a failure, where the connection can tell one
// from an end.
//
// Datagrams have flows: a way in has a mesh service for each client, a way out
// a socket for each service that sends, so that answers find back. One datagram
// is one packet of the mesh; there is nothing else on the wire.
//
// # Concurrency
//
// Each connection has a goroutine of its own from the moment it is accepted,
// so a slow dial delays nobody else; so has each flow. Run returns when all of
// them have ended. Bounds, for each service:
//
//	what                  bound   when full
//	joined connections    4,096   further ones wait to be accepted
//	flows of datagrams    4,096   the one silent for longest is forgotten
//	commands              256     further connections wait to be accepted
//
// # Not promised
//
// The proxies of ansible/receptor close a socket in both directions when the
// mesh side ends one: through them the answer to a half-closed request is
// lost, and we cannot help that from the other end. Datagrams are lost,
// repeated and reordered as the mesh does with packets.
package proxy
