package controlproto

import (
	"errors"
	"strings"
	"testing"
)

// The list of a node with many units is one line over 16 MiB: it could not be
// read at all, not even from the daemon of this node, which is trusted. From
// others so long a line is still refused.
func TestLongAnswersNeedToBeAllowed(t *testing.T) {
	unit := `{"unit":"` + strings.Repeat("x", MaxLine) + `"}`
	list := func(allow int) error {
		c := open(t, func(p *peer) {
			p.greet1()
			p.want(`{"command":"work","subcommand":"list"}`)
			p.send(unit, "\n")
			if allow > len(unit) {
				p.want(`{"command":"status"}`)
				p.send("{}\n")
			}
		})
		defer c.Close()
		if allow > 0 {
			c.AllowLongAnswers(allow)
		}
		if err := c.Call(t.Context(), map[string]any{"command": "work", "subcommand": "list"}, nil); err != nil {
			return err
		}
		return c.Call(t.Context(), map[string]any{"command": "status"}, nil) // the line was read whole
	}
	if err := list(len(unit) + 1); err != nil {
		t.Errorf("allowed: %v", err)
	}
	if err := list(0); !errors.Is(err, ErrLineTooLong) {
		t.Errorf("not allowed: error %v, want %v", err, ErrLineTooLong)
	}
}
