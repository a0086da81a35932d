// Package control is the server side of the control protocol: it reads
// requests from connections, has the node and the unit manager carry them
// out, and writes the answers. The protocol itself, both versions of it, is
// described in package controlproto.
//
// A handler is written once for both versions. It gets a request, decodes its
// arguments, and returns a value or an error; what goes beyond one answer
// (payloads, output, bridges) it does through an exchange, of which each
// version has its own.
//
// Each connection is a session with a goroutine of its own; in version 1 it
// answers one request after another, in version 2 each request has a further
// goroutine. Server.Serve returns when all of them have ended.
package control
