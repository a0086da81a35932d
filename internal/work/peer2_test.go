package work

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// peer2 stands in for a node of ours whose units are not those of a Manager: a
// unit copies its payload to its output, live, and what else it has a test sets.
// It outlives connections, as a node with its disk does.
type peer2 struct {
	t      testing.TB
	onMade func() // if set, called when a unit has come into being, before its submitter is told

	mu      sync.Mutex
	refuse  map[string]*controlproto.Error // by subcommand
	units   map[string]*farUnit
	submits []controlproto.Submit
	starts  int
	news    chan struct{} // closed at a change
}

type farUnit struct {
	stdin, stdout, stderr []byte
	st                    controlproto.UnitStatus
	fed                   bool // the payload is complete
}

func newPeer2(t testing.TB) *peer2 {
	return &peer2{t: t, units: make(map[string]*farUnit), refuse: make(map[string]*controlproto.Error), news: make(chan struct{})}
}

// newStreaming starts a controller whose executor is p.
func newStreaming(t testing.TB, p *peer2, adjust ...func(*Config)) (*node, *link) {
	l := newLink(t, true, p.serve)
	foo, _ := newNode(t, "foo", append(adjust, func(c *Config) { c.Dial = l.dial })...)
	return foo, l
}

func (p *peer2) changeLocked() {
	close(p.news)
	p.news = make(chan struct{})
}

// update changes a unit.
func (p *peer2) update(id string, f func(u *farUnit)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.units[id]
	if u == nil {
		p.t.Errorf("no unit %s", id)
		return
	}
	f(u)
	u.st.StdoutSize = int64(len(u.stdout))
	if u.st.StderrSize != nil {
		n := int64(len(u.stderr))
		u.st.StderrSize = &n
	}
	p.changeLocked()
}

func (p *peer2) unit(id string) (farUnit, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u := p.units[id]; u != nil {
		return *u, true
	}
	return farUnit{}, false
}

func (p *peer2) startsSoFar() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.starts
}

// refuses has requests of a kind refused; nil: not any more.
func (p *peer2) refuses(sub string, e *controlproto.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse[sub] = e
}

// end ends a unit.
func (p *peer2) end(id string, state controlproto.State, detail string, code int) {
	p.update(id, func(u *farUnit) { u.st.State, u.st.Detail, u.st.ExitCode = state, detail, &code })
}

// farSession is one connection to a peer2. Requests run side by side.
type farSession struct {
	p      *peer2
	w      *controlproto.Writer
	inputs map[uint64]*io.PipeWriter
}

func (p *peer2) serve(conn *end) {
	s := &farSession{p: p, w: controlproto.NewWriter(conn), inputs: make(map[uint64]*io.PipeWriter)}
	r := controlproto.NewReader(conn)
	s.w.Line(controlproto.Greeting("bar"))
	if _, err := r.ReadLine(); err != nil {
		return
	}
	s.w.JSON(controlproto.Welcome{Version: 2, Node: "bar"})
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer func() {
		for _, in := range s.inputs {
			in.CloseWithError(io.ErrUnexpectedEOF)
		}
	}()
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		l, err := controlproto.ParseLine2(line)
		if err != nil {
			p.t.Errorf("line %s: %v", line, err)
			return
		}
		if f := l.Frame; l.Request == nil {
			in := s.inputs[f.ID]
			if f.EOF && in != nil {
				in.Close()
			} else if in != nil {
				io.CopyN(struct{ io.Writer }{ignoring{in}}, r, f.Bytes)
			} else {
				io.CopyN(io.Discard, r, f.Bytes)
			}
			continue
		}
		q := *l.Request
		pr, pw := io.Pipe()
		s.inputs[q.ID] = pw
		wg.Go(func() { // ends with the request, or the connection
			result, err := s.request(ctx, q, pr)
			pr.Close()
			if err == errGone || ctx.Err() != nil {
				return
			}
			f := controlproto.Frame{ID: q.ID}
			if err != nil {
				f.Error = controlproto.New(controlproto.CodeOf(err), err.Error())
			} else {
				f.Result, _ = json.Marshal(result)
			}
			s.w.JSON(f)
		})
	}
}

type ignoring struct{ w io.Writer }

func (i ignoring) Write(b []byte) (int, error) { i.w.Write(b); return len(b), nil }

func (s *farSession) request(ctx context.Context, q controlproto.Request, in io.Reader) (any, error) {
	sub, _ := q.String("subcommand")
	id, _ := q.String("unitid")
	s.p.mu.Lock()
	refusal := s.p.refuse[sub]
	s.p.mu.Unlock()
	if refusal != nil {
		return nil, refusal
	}
	if sub == "submit" {
		return s.submit(q, in)
	}
	u, ok := s.p.unit(id)
	if !ok {
		return nil, controlproto.New(controlproto.NotFound, "unknown work unit "+id)
	}
	switch sub {
	case "status":
		return u.st, nil
	case "cancel":
		if !u.st.State.Ended() {
			s.p.update(id, func(u *farUnit) { u.st.State, u.st.Detail = controlproto.StateCanceled, "Canceled" })
		}
		return map[string]string{"cancelled": id}, nil
	case "release":
		s.p.mu.Lock()
		delete(s.p.units, id)
		s.p.changeLocked()
		s.p.mu.Unlock()
		return map[string]string{"released": id}, nil
	}
	return s.follow(ctx, q, id)
}

func (s *farSession) submit(q controlproto.Request, in io.Reader) (any, error) {
	var r controlproto.Submit
	raw, _ := json.Marshal(q.Fields)
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, err
	}
	p := s.p
	p.mu.Lock()
	p.submits = append(p.submits, r)
	u := p.units[r.UnitID]
	if u == nil {
		u = &farUnit{st: controlproto.UnitStatus{Detail: "Running: PID 1", State: controlproto.Running, WorkType: r.WorkType, ExtraData: json.RawMessage("null")}}
		if r.Stderr == controlproto.StderrSeparate {
			u.st.StderrSize = new(int64)
		}
		p.units[r.UnitID] = u
		p.starts++
		p.changeLocked()
	}
	have := int64(len(u.stdin))
	p.mu.Unlock()
	if p.onMade != nil {
		p.onMade()
	}
	data, _ := json.Marshal(controlproto.UnitEvent{UnitID: r.UnitID, Received: have})
	s.w.JSON(controlproto.Frame{ID: q.ID, Event: controlproto.EventUnit, Data: data})
	buf := make([]byte, 32<<10)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			p.mu.Lock()
			if p.units[r.UnitID] != u || int64(len(u.stdin)) != have { // taken over by another connection
				p.mu.Unlock()
				return nil, controlproto.New(controlproto.Busy, "submitted on another connection")
			}
			p.mu.Unlock()
			p.update(r.UnitID, func(u *farUnit) {
				u.stdin = append(u.stdin, buf[:n]...)
				if !u.st.State.Ended() {
					u.stdout = append(u.stdout, buf[:n]...)
				}
			})
			have += int64(n)
		}
		if err == io.EOF {
			p.update(r.UnitID, func(u *farUnit) { u.fed = true })
			return controlproto.Submitted{Result: controlproto.JobStarted, UnitID: r.UnitID}, nil
		}
		if err != nil {
			return nil, errGone
		}
	}
}

func (s *farSession) follow(ctx context.Context, q controlproto.Request, id string) (any, error) {
	number := func(name string) int64 {
		n, _ := q.Fields[name].(json.Number)
		v, _ := n.Int64()
		return v
	}
	out, errs := number("startpos"), number("stderrpos")
	wantErrs, _ := q.Fields["stderr"].(bool)
	for {
		s.p.mu.Lock()
		news := s.p.news
		s.p.mu.Unlock()
		u, ok := s.p.unit(id)
		if !ok {
			return nil, controlproto.New(controlproto.NotFound, "unknown work unit "+id)
		}
		data, _ := json.Marshal(u.st)
		if err := s.w.JSON(controlproto.Frame{ID: q.ID, Event: controlproto.EventStatus, Data: data}); err != nil {
			return nil, errGone
		}
		if out < int64(len(u.stdout)) {
			if s.w.Bytes(q.ID, u.stdout[out:]) != nil {
				return nil, errGone
			}
			out = int64(len(u.stdout))
		}
		if wantErrs && errs < int64(len(u.stderr)) {
			b := u.stderr[errs:]
			raw, _ := json.Marshal(controlproto.Frame{ID: q.ID, Bytes: int64(len(b)), Stream: controlproto.StreamStderr})
			if s.w.Line(string(raw)+"\n"+strings.TrimSuffix(string(b), "\n")) != nil { // b ends with LF
				return nil, errGone
			}
			errs = int64(len(u.stderr))
		}
		if u.st.State.Ended() {
			return u.st, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, errGone
		}
	}
}

// streamer is a streamed submission to another node.
type streamer struct {
	n   *node
	s   controlproto.Submit
	u   *unit
	sub *Submission
}

// streamTo accepts a streamed unit and has it handed on.
func (n *node) streamTo(s controlproto.Submit) *streamer {
	n.t.Helper()
	s.Stream = true
	st := &streamer{n: n, s: s}
	st.again()
	return st
}

// write adds to the payload.
func (s *streamer) write(b string) {
	s.n.t.Helper()
	write(s.n.t, s.sub, b)
}

// end ends the payload.
func (s *streamer) end() {
	s.n.t.Helper()
	if _, err := s.sub.Start(context.Background()); err != nil {
		s.n.t.Fatal(err)
	}
}

// again makes the submission, or repeats it after a restart of its node.
func (s *streamer) again() {
	s.n.t.Helper()
	sub, err := s.n.m.Create(s.s, Origin{UnixSocket: true})
	if err != nil {
		s.n.t.Fatal(err)
	}
	if err := sub.Begin(context.Background()); err != nil {
		s.n.t.Fatal(err)
	}
	s.u, s.sub = sub.u, sub
}
