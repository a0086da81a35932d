package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/control"
	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/wire"
	"github.com/receptor-go/receptor/internal/pki"
	"github.com/receptor-go/receptor/internal/unixsocket"
)

// openControl opens the listeners of a control service.
func (d *daemon) openControl(c config.ControlService) (o opened, err error) {
	var lns []net.Listener
	o.close = func() {
		for _, ln := range lns {
			ln.Close()
		}
	}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	list, err := d.accessListOf(c)
	if err != nil {
		return o, err
	}
	serve := func(ln net.Listener, unix bool) {
		lns = append(lns, ln)
		o.run = append(o.run, func(ctx context.Context) error {
			return d.server.ServeOn(ctx, ln, control.Terms{UnixSocket: unix, Access: list.rules})
		})
	}
	if c.Filename != "" {
		ln, err := unixsocket.Listen(c.Filename, c.Permissions)
		if err != nil {
			return o, err
		}
		serve(ln, true)
	}
	if c.TCPListen != "" {
		ln, err := net.Listen("tcp", c.TCPListen)
		if err != nil {
			return o, fmt.Errorf("error listening on TCP socket: %w", err)
		}
		if c.TCPTLS != "" {
			tlsc, err := latest(func() (*tls.Config, error) { return d.tcpServerTLS(c.TCPTLS) })
			if err != nil {
				ln.Close()
				return o, err
			}
			ln = pki.Listen(ln, tlsc, d.log)
		}
		serve(ln, false)
	}
	if c.Service != "" {
		tlsc, err := latest(func() (*tls.Config, error) { return d.meshServerTLS(c.TLS) })
		if err != nil {
			return o, err
		}
		ln, err := d.node.Listen(mesh.Service{
			Name: wire.Service(c.Service), Advertise: true, TLS: tlsc,
			Tags: map[string]string{"type": "Control Service"},
		})
		if err != nil {
			return o, err
		}
		serve(ln, false)
	}
	o.ready = func() { d.log.Info("control service running", "service", c.Service) }
	return o, nil
}

// controlHolds is what a control service has for itself.
func controlHolds(c config.ControlService) []string {
	var held []string
	if c.Service != "" {
		held = append(held, serviceHeld(c.Service)...)
	}
	if c.Filename != "" {
		held = append(held, socketHeld(c.Filename)...)
	}
	if c.TCPListen != "" {
		held = append(held, portHeld("tcp", c.TCPListen)...)
	}
	return held
}
