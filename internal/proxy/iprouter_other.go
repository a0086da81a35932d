//go:build !linux

package proxy

import (
	"errors"
	"log/slog"

	"github.com/receptor-go/receptor/internal/mesh"
)

// Open is an error: only Linux has the devices.
func (c IPRouter) Open(*mesh.Node, *slog.Logger) (*Service, error) {
	if _, err := c.parse(); err != nil {
		return nil, err
	}
	return nil, errors.New("an IP router needs the tun devices of Linux, which this system does not have")
}
