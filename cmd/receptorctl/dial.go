package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// target is how to reach the daemon: an address, and the TLS settings.
type target struct {
	address
	tls tlsSettings
}

// target finds out how to reach the daemon, and checks the options for it.
func (a *app) target() (target, error) {
	where, err := a.address()
	if err != nil {
		return target{}, err
	}
	settings, err := a.tlsSettings()
	return target{address: where, tls: settings}, err
}

// dialTarget connects; its errors have the texts of spec receptorctl 1.2.
func (a *app) dialTarget(ctx context.Context, t target) (net.Conn, error) {
	if t.network == "unix" {
		return a.dialUnix(ctx, t.path)
	}
	config, err := (*tls.Config)(nil), error(nil)
	if t.network == "tls" {
		if config, err = t.tls.config(t.host); err != nil {
			return nil, t.unreachable(err)
		}
	}
	conn, err := a.dial(ctx, "tcp", net.JoinHostPort(t.host, t.port))
	if err != nil {
		return nil, t.unreachable(err)
	}
	if config == nil {
		return conn, nil
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, t.unreachable(err)
	}
	return secure, nil
}

func (a *app) dialUnix(ctx context.Context, path string) (net.Conn, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fail(exitFailure, "Socket path does not exist: "+path,
			"is the daemon running, and has it a control-service with this filename?")
	}
	conn, err := a.dial(ctx, "unix", path)
	if err == nil {
		return conn, nil
	}
	f := fail(exitFailure, systemError(err))
	f.err = err
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		f.hints = []string{"no daemon is behind " + path + "; the socket was left by one that ended"}
	case errors.Is(err, fs.ErrPermission):
		f.hints = []string{"the permissions of " + path + " do not let you use it; the daemon sets them as its control-service says"}
	}
	return nil, f
}

// unreachable words a failure to connect to a host: the first line is the same
// for all, the hints tell why.
func (t target) unreachable(err error) error {
	f := fail(exitFailure, "Could not connect to host "+t.host+" port "+t.port)
	f.err = err
	f.hints = append([]string{reason(err)}, t.tls.hints(err)...)
	return f
}

// reason is the innermost telling part of a network error.
func reason(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		return op.Err.Error()
	}
	return err.Error()
}

// systemError words an error of the system as ansible/receptor does:
// `[Errno 111] Connection refused`.
func systemError(err error) string {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return err.Error()
	}
	return errnoText(errno)
}
