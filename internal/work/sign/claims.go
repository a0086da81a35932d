package sign

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Claims is what a token says.
type Claims struct {
	Node    string    // that is to check it
	Expires time.Time // zero: never; Sign decides it
	Work    *Work     // what it is for; nil: the form of ansible/receptor, which does not say
}

// Work is the one request that a token is for.
type Work struct {
	From string // node that asks
	ID   string // of the token; Sign decides it

	// Command is the subcommand of work. Payload instead says that the token goes
	// with the end of a streamed payload.
	Command string
	Unit    string // its id on the node that checks

	// Of a submit.
	WorkType string
	Params   string // their Digest
	Stderr   string // as in the submission
	Stream   bool   // the payload is not known yet: its token comes at its end

	Payload string // digest of it: of a submit that is not streamed, or with CommandPayload
}

// CommandPayload is the Command of a token that goes with the end of a streamed
// payload.
const CommandPayload = "payload"

// ParamsDigest is the digest of parameters. What is no UTF-8 counts as it
// arrives: each such byte as U+FFFD, which is what JSON makes of it.
func ParamsDigest(params map[string]string) string {
	h := sha256.New()
	add := func(s string) {
		s = string([]rune(s))
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		io.WriteString(h, s)
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		add(name)
		add(params[name])
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// PayloadDigest is the digest of a payload. Errors are those of r.
func PayloadDigest(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{r}, make([]byte, 256<<10)); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)), nil
}

// token is Claims as they are written.
type token struct {
	jwt.RegisteredClaims
	Work *work `json:"receptor,omitempty"`
}

type work struct {
	Command  string `json:"command"`
	Unit     string `json:"unit,omitempty"`
	WorkType string `json:"worktype,omitempty"`
	Params   string `json:"params,omitempty"`
	Payload  string `json:"payload,omitempty"`
	Stream   bool   `json:"stream,omitempty"`
	Stderr   string `json:"stderr,omitempty"`
}

// encode makes what is signed.
func (c Claims) encode() token {
	t := token{RegisteredClaims: jwt.RegisteredClaims{Audience: jwt.ClaimStrings{c.Node}, ExpiresAt: jwt.NewNumericDate(c.Expires)}}
	if w := c.Work; w != nil {
		t.Issuer, t.ID = w.From, w.ID
		t.Work = &work{
			Command: w.Command, Unit: w.Unit, WorkType: w.WorkType, Params: w.Params,
			Payload: w.Payload, Stream: w.Stream, Stderr: w.Stderr,
		}
	}
	return t
}

// maxID is the length in bytes of the longest id of a token.
const maxID = 128

// decode is the reverse of encode, for the node that checks.
func (t token) decode(node string) (Claims, error) {
	c := Claims{Node: node}
	if t.ExpiresAt != nil {
		c.Expires = t.ExpiresAt.Time
	}
	w := t.Work
	if w == nil {
		return c, nil
	}
	switch {
	case t.ID == "" || len(t.ID) > maxID:
		return c, fmt.Errorf("token says what it is for and needs an id (jti) of 1 to %d bytes", maxID)
	case t.ExpiresAt == nil:
		return c, fmt.Errorf("token says what it is for and needs a time of expiry (exp)")
	}
	c.Work = &Work{
		From: t.Issuer, ID: t.ID, Command: w.Command, Unit: w.Unit, WorkType: w.WorkType, Params: w.Params,
		Payload: w.Payload, Stream: w.Stream, Stderr: w.Stderr,
	}
	return c, nil
}
