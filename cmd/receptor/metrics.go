package main

import (
	"context"
	"fmt"
	"net"

	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/metrics"
)

// openMetrics binds the listener of the metrics.
func (d *daemon) openMetrics(m config.Metrics) (opened, error) {
	ln, err := net.Listen("tcp", m.Address)
	if err != nil {
		return opened{}, fmt.Errorf("error listening on TCP: %w", err)
	}
	source := metrics.Source{
		Node: d.node, Work: d.work, Sessions: d.server.Sessions, Refused: d.server.Refused, Ready: d.ready.Load, Version: controlproto.Release,
		Certificates: d.certificates.Certificates, Audit: d.audit.Counts,
	}
	return opened{
		run:   []func(context.Context) error{func(ctx context.Context) error { return metrics.Serve(ctx, ln, source) }},
		close: func() { ln.Close() },
		ready: func() { d.log.Info("metrics are served", "address", ln.Addr()) },
	}, nil
}
