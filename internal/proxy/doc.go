// Package proxy carries byte streams between sockets of this machine and
// services of the mesh (spec mesh-protocol 14).
//
// # Concepts
//
// A way in ([ServeIn], section tcp-server of the configuration) accepts local
// connections and opens a mesh stream for each. A way out ([ServeOut], section
// tcp-client) accepts mesh streams of a service and opens a local connection
// for each; [TCPService] describes that service. Both accept, dial, and then
// join the two connections: each direction is copied until its source ends,
// and that end is passed on as an end of that direction alone. A failure
// is passed on as a failure, where the connection can tell one from an end.
//
// # Concurrency
//
// Each connection has a goroutine of its own from the moment it is accepted,
// so a slow dial delays nobody else. The Serve functions return when all of
// them have ended. At most 4096 connections are joined at a time; further ones
// wait to be accepted.
//
// # Not promised
//
// The proxies of ansible/receptor close a socket in both directions when the
// mesh side ends one: through them the answer to a half-closed request is
// lost, and we cannot help that from the other end.
package proxy
