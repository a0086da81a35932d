package work

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/sign"
)

// Keys sign requests to other nodes, and check those to this one.
type Keys struct {
	// Sign makes the token of a request to another node; nil: there is no key.
	// Its errors have the text for a client.
	Sign func(sign.Claims) (token string, err error)
	// Verify tells what the token of a request to this node says; nil: there is
	// no key. Its errors have the text for a client.
	Verify func(token string) (sign.Claims, error)
	// Strict takes no token that does not say what it is for, as those of
	// ansible/receptor.
	Strict bool
}

// SetKeys replaces the keys, from the next request on. What waits for a key is
// tried again at once.
func (m *Manager) SetKeys(k Keys) {
	m.keys.Store(&k)
	for _, u := range m.all() {
		u.mu.Lock()
		if u.far != nil && u.far.SignWork && u.live != nil {
			poke(u.live.kick)
		}
		u.mu.Unlock()
	}
}

// asked is a request whose signature is checked.
type asked struct {
	command string
	unit    string               // its id on this node; of a submit: as it was chosen
	submit  *controlproto.Submit // of a submit
	from    Origin
}

// Authorize checks the signature of a request about a unit: cancel, release,
// force-release, results, follow (spec control-protocol 8). Any error is an *Error.
// That of an unknown unit is the answer to a release, and has its effect (see Release).
func (m *Manager) Authorize(command, id, signature string, from Origin) error {
	find := m.unit
	if command == "release" || command == "force-release" {
		find = m.unitOrGrave
	}
	u, err := find(id)
	if err != nil {
		return err
	}
	u.mu.Lock()
	needed, name := u.far != nil && u.far.SignWork, u.rec.WorkType
	u.mu.Unlock()
	if t := m.types.Load().byName[name]; t != nil {
		needed = t.VerifySignature
	}
	_, err = m.checkSignature(needed, signature, asked{command: command, unit: id, from: from})
	return err
}

// authorizeSubmit checks the signature of a submission. What it binds the
// submission to is nil if nothing.
func (m *Manager) authorizeSubmit(s controlproto.Submit, from Origin) (*sign.Work, error) {
	t := m.types.Load().byName[s.WorkType]
	return m.checkSignature(t != nil && t.VerifySignature, s.Signature, asked{command: "submit", unit: s.UnitID, submit: &s, from: from})
}

// checkSignature checks a signature that may be needed, and uses it up if it says
// what it is for: then the result is that.
func (m *Manager) checkSignature(needed bool, token string, a asked) (*sign.Work, error) {
	w, err := m.verify(needed, token, a)
	if err != nil {
		m.c.Logger.Warn("request refused because of its signature",
			"command", a.command, "unit", a.unit, "node", a.from.Node, "err", err)
	}
	return w, err
}

func (m *Manager) verify(needed bool, token string, a asked) (*sign.Work, error) {
	k := m.keys.Load()
	switch {
	case !needed && token != "":
		return nil, controlproto.New(controlproto.Denied, "work type did not expect a signature")
	case !needed || a.from.UnixSocket:
		return nil, nil
	case token == "":
		return nil, unverified("signature is empty")
	case k.Verify == nil:
		return nil, unverified("verifying key not specified")
	}
	c, err := k.Verify(token)
	if err != nil {
		return nil, controlproto.New(controlproto.Denied, err.Error())
	}
	if c.Work == nil {
		if k.Strict {
			return nil, unverified("token does not say what it is for, and node " + m.c.Node + " takes no other (work-verification key strict)")
		}
		return nil, nil
	}
	if err := a.matches(*c.Work); err != nil {
		return nil, err
	}
	if k.Strict && c.Work.Stream {
		return nil, unverified("the payload of a streamed unit is read before it can be verified, and node " + m.c.Node +
			" takes none (work-verification key strict): submit it without stream")
	}
	switch m.tokens.use(nameToken(c.Work.From, c.Work.ID), c.Expires) {
	case tokenUsed:
		return nil, unverified("token was used before")
	case tokensFull:
		return nil, controlproto.New(controlproto.Busy, fmt.Sprintf(
			"node %s remembers %d signatures that have not expired, which is the limit: try again, and let signatures expire sooner (work-signing key tokenexpiration)",
			m.c.Node, m.tokens.max))
	}
	return c.Work, nil
}

// unverified is the refusal of a signature.
func unverified(why string) *controlproto.Error {
	return controlproto.New(controlproto.Denied, "could not verify signature: "+why)
}

// matches tells that a token is for the request.
func (a asked) matches(w sign.Work) error {
	is := []struct{ what, got, want string }{
		{"from another node", w.From, a.from.Node},
		{"for another command", w.Command, a.command},
		{"for another unit", w.Unit, a.unit},
	}
	if s := a.submit; s != nil {
		is = append(is, []struct{ what, got, want string }{
			{"for another work type", w.WorkType, s.WorkType},
			{"for other parameters", w.Params, sign.ParamsDigest(s.Params)},
			{"for another choice of error output", w.Stderr, s.Stderr},
			{"for another way to send the payload", fmt.Sprint(w.Stream), fmt.Sprint(s.Stream)},
		}...)
		if s.UnitID == "" {
			return unverified("token is for a unit whose id its submitter has chosen")
		}
		if !s.Stream && w.Payload == "" {
			return unverified("token does not say what the payload is")
		}
	}
	for _, x := range is {
		if x.got != x.want {
			return unverified("token is " + x.what)
		}
	}
	return nil
}

// checkPayload compares the payload, which is complete, with what was signed.
// It is called before anything reads the payload, but for streamed ones.
func (s *Submission) checkPayload() error {
	if s.signed == nil {
		return nil
	}
	want := s.signed.Payload
	if s.u.stream {
		w, err := s.m.verify(true, s.seal, asked{command: sign.CommandPayload, unit: s.u.id, from: s.from})
		switch {
		case err != nil:
			return err
		case w == nil:
			return unverified("token does not say what the payload is")
		}
		want = w.Payload
	}
	got, err := payloadDigest(s.m.store.path(s.u.id, fileStdin))
	if err != nil {
		return err
	}
	if got != want {
		s.m.c.Logger.Warn("payload of a unit is not the one that was signed", "unit", s.u.id, "node", s.from.Node)
		return errOtherPayload
	}
	return nil
}

// errOtherPayload says that a payload is not the one that was signed.
var errOtherPayload error = unverified("token is for another payload")

// checkWhole checks the payload of a unit that is not streamed, and fails the unit
// if it is another.
func (s *Submission) checkWhole() error {
	if s.signed == nil {
		return nil
	}
	s.u.stdinMu.Lock() // while nobody else goes on with it
	defer s.u.stdinMu.Unlock()
	if err := s.current(); err != nil {
		return err
	}
	if err := s.checkPayload(); err != nil {
		return s.refuse(err)
	}
	return nil
}

// Seal hands over the signature that came with the end of the payload, before
// Start; "" if there was none.
func (s *Submission) Seal(signature string) { s.seal = signature }

func payloadDigest(path string) (string, error) {
	if err := plain(path); err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return sign.PayloadDigest(f)
}

// signError says that this node cannot sign its requests about a unit.
type signError struct{ err error }

func (e *signError) Error() string { return e.err.Error() }

var errNoKey = errors.New("cannot sign work: signing key is empty")

// sign makes the token for a request about the unit, "" if it goes unsigned. To
// a node of ours it says what it is for. Errors are *signError.
func (d *driver) sign(ours bool, w sign.Work) (string, error) {
	if !d.u.far.SignWork {
		return "", nil
	}
	k := d.m.keys.Load()
	if k.Sign == nil {
		return "", &signError{errNoKey}
	}
	c := sign.Claims{Node: d.u.far.RemoteNode}
	if ours {
		w.From = d.m.c.Node
		c.Work = &w
	}
	token, err := k.Sign(c)
	if err != nil {
		return "", &signError{err}
	}
	return token, nil
}

// signSubmission signs a submission to a node of ours, whose payload is in stdin
// unless it is streamed.
func (d *driver) signSubmission(s *controlproto.Submit, stdin io.ReadSeeker) error {
	if !d.u.far.SignWork {
		return nil
	}
	w := sign.Work{
		Command: "submit", Unit: s.UnitID, WorkType: s.WorkType, Params: sign.ParamsDigest(s.Params),
		Stderr: s.Stderr, Stream: s.Stream,
	}
	if !s.Stream {
		if d.payload == "" { // it does not change any more
			var err error
			if d.payload, err = sign.PayloadDigest(stdin); err != nil {
				return err
			}
			if _, err = stdin.Seek(0, io.SeekStart); err != nil {
				return err
			}
		}
		w.Payload = d.payload
	}
	var err error
	s.Signature, err = d.sign(true, w)
	return err
}

// sealPayload signs the end of a streamed payload, which is complete.
func (d *driver) sealPayload(id string) (string, error) {
	if !d.u.far.SignWork {
		return "", nil
	}
	digest, err := payloadDigest(d.m.store.path(d.u.id, fileStdin))
	if err != nil {
		return "", err
	}
	return d.sign(true, sign.Work{Command: sign.CommandPayload, Unit: id, Payload: digest})
}
