package work

import (
	"fmt"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// diskError is what a submitter is told of an error of this node's disk, with
// what to do about a full one. what, if not empty, is what was being done.
func (m *Manager) diskError(what string, err error) *controlproto.Error {
	text := err.Error()
	if what != "" {
		text = what + ": " + text
	}
	if isFull(err) {
		text += fmt.Sprintf("; node %s needs free space below %s: release work units there that are not needed, then submit again", m.c.Node, m.c.Dir)
	}
	return controlproto.New(controlproto.Internal, text)
}
