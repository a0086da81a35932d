package wire

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// The usual form of an update is the one that AppendUpdate and ansible/receptor
// write: all fields, once, in order, without white space and without escapes.
// What is in it means the same to encoding/json; anything else is refused here
// and left to encoding/json.

// The text around the fields.
const (
	beforeNodeID    = "\x01{\"NodeID\":\""
	beforeUpdateID  = "\",\"UpdateID\":\""
	beforeEpoch     = "\",\"UpdateEpoch\":"
	beforeSequence  = ",\"UpdateSequence\":"
	beforeLinks     = ",\"Connections\":"
	beforeForward   = ",\"ForwardingNode\":" // the quote belongs to the value
	beforeDuplicate = ",\"SuspectedDuplicate\":"
)

// usual holds the parts of an update in the usual form. The slices share the
// frame's memory.
type usual struct {
	node, id                 []byte
	epoch, sequence, suspect uint64
	links                    []byte // what is between the braces; nil for null
	count                    int    // of links
	forward                  []byte
	// frame[forwardStart:forwardEnd] is the value of ForwardingNode with its
	// quotes.
	forwardStart, forwardEnd int
}

// PeekOrigin returns the originator and the ID of an update from its raw bytes,
// without decoding or allocating. It looks only at the start of the frame and
// gives up (ok false) unless that is in the usual form; the frame may then
// still be a valid update. The rest of the frame may be broken even if ok is
// true. The results share the frame's memory.
func PeekOrigin(frame []byte) (node, id []byte, ok bool) {
	s := scanner{b: frame}
	s.literal(beforeNodeID)
	node = s.text()
	s.literal(beforeUpdateID)
	id = s.text()
	s.literal(beforeEpoch)
	if s.bad {
		return nil, nil, false
	}
	return node, id, true
}

// PeekUpdateID is PeekOrigin for those who need the ID alone.
func PeekUpdateID(frame []byte) (id []byte, ok bool) {
	_, id, ok = PeekOrigin(frame)
	return id, ok
}

// parseUsual decodes an update in the usual form.
func parseUsual(frame []byte) (Update, bool) {
	p, ok := scanUsual(frame)
	if !ok {
		return Update{}, false
	}
	u := Update{
		NodeID:             NodeID(p.node),
		UpdateID:           string(p.id),
		UpdateEpoch:        p.epoch,
		UpdateSequence:     p.sequence,
		ForwardingNode:     NodeID(p.forward),
		SuspectedDuplicate: p.suspect,
	}
	if p.links == nil {
		return u, true
	}
	u.Connections = make(map[NodeID]float64, p.count)
	s := scanner{b: p.links}
	for !s.done() {
		key, cost := s.link()
		f, err := parseCost(cost)
		if err != nil {
			return Update{}, false
		}
		u.Connections[NodeID(key)] = f
	}
	return u, true
}

// parseCost reads a number that has the form of a JSON number.
func parseCost(b []byte) (float64, error) {
	if len(b) == 1 {
		return float64(b[0] - '0'), nil // the grammar leaves only digits
	}
	return strconv.ParseFloat(string(b), 64)
}

// scanUsual finds the parts of an update in the usual form.
func scanUsual(frame []byte) (p usual, ok bool) {
	s := scanner{b: frame}
	s.literal(beforeNodeID)
	p.node = s.text()
	s.literal(beforeUpdateID)
	p.id = s.text()
	s.literal(beforeEpoch)
	p.epoch = s.uint()
	s.literal(beforeSequence)
	p.sequence = s.uint()
	s.literal(beforeLinks)
	p.links, p.count = s.links()
	s.literal(beforeForward)
	p.forwardStart = s.i
	s.literal(`"`)
	p.forward = s.text()
	s.literal(`"`)
	p.forwardEnd = s.i
	s.literal(beforeDuplicate)
	p.suspect = s.uint()
	s.literal("}")
	return p, !s.bad && s.done() && utf8.Valid(frame)
}

// scanner walks over bytes. After the first surprise it is bad and returns
// zeros.
type scanner struct {
	b   []byte
	i   int
	bad bool
}

func (s *scanner) done() bool { return s.bad || s.i >= len(s.b) }

// literal skips exactly text.
func (s *scanner) literal(text string) {
	if s.bad || len(s.b)-s.i < len(text) || string(s.b[s.i:s.i+len(text)]) != text {
		s.bad = true
		return
	}
	s.i += len(text)
}

// text returns what is before the next quote and stops at that quote. Escapes
// and control characters are surprises.
func (s *scanner) text() []byte {
	if s.bad {
		return nil
	}
	n := bytes.IndexByte(s.b[s.i:], '"')
	if n < 0 {
		s.bad = true
		return nil
	}
	t := s.b[s.i : s.i+n]
	for _, c := range t {
		if c < 0x20 || c == '\\' {
			s.bad = true
			return nil
		}
	}
	s.i += n
	return t
}

// uint reads a decimal number of 64 bits without leading zeros.
func (s *scanner) uint() uint64 {
	start := s.i
	s.digits()
	if s.bad {
		return 0
	}
	text := s.b[start:s.i]
	if text[0] == '0' && len(text) > 1 || len(text) > 20 {
		s.bad = true
		return 0
	}
	v, err := strconv.ParseUint(string(text), 10, 64)
	s.bad = err != nil
	return v
}

// digits skips one or more digits.
func (s *scanner) digits() {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	s.bad = s.bad || s.i == start
}

// number skips a JSON number and returns it.
func (s *scanner) number() []byte {
	start := s.i
	s.skip("-")
	if !s.skip("0") {
		s.digits()
	}
	if s.skip(".") {
		s.digits()
	}
	if s.skip("eE") {
		s.skip("+-")
		s.digits()
	}
	if s.bad {
		return nil
	}
	return s.b[start:s.i]
}

// skip moves past the next byte if it is one of set.
func (s *scanner) skip(set string) bool {
	if s.i >= len(s.b) {
		return false
	}
	for j := range len(set) {
		if s.b[s.i] == set[j] {
			s.i++
			return true
		}
	}
	return false
}

// links skips null or an object of numbers. It returns what is between the
// braces, not nil unless the value is null, and the number of members.
func (s *scanner) links() (inside []byte, n int) {
	if s.bad {
		return nil, 0
	}
	if !s.skip("{") {
		s.literal("null")
		return nil, 0
	}
	start := s.i
	for !s.skip("}") {
		if n > 0 {
			s.literal(",")
		}
		s.member()
		if s.bad {
			return nil, 0
		}
		n++
	}
	return s.b[start : s.i-1], n
}

// member skips one "name":number.
func (s *scanner) member() (key, value []byte) {
	s.literal(`"`)
	key = s.text()
	s.literal(`":`)
	return key, s.number()
}

// link returns the next member inside the braces, which links has checked.
func (s *scanner) link() (key, value []byte) {
	s.skip(",")
	return s.member()
}
