package controlproto

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrSpent is returned when a version 1 connection was used up by a submit, a
// results stream or a connect: open another.
var ErrSpent = errors.New("the connection was used up by the request before")

// Client speaks the protocol on one connection, one call after another; it is
// for one goroutine at a time. In version 1 Submit, Results and Connect use the
// connection up. A context that ends during a call closes the connection.
type Client struct {
	conn    io.ReadWriteCloser
	r       *Reader
	w       *Writer
	node    string
	daemon  string // version of its software, as the welcome told it
	version int
	lastID  uint64
	spent   bool
	welcome bool // the answer to a hello sent ahead was not read yet
}

// Open reads the greeting of the daemon behind conn and agrees on the newest
// version that both sides speak.
func Open(ctx context.Context, conn io.ReadWriteCloser) (*Client, error) {
	c, err := OpenV1(ctx, conn)
	if err != nil {
		return nil, err
	}
	if err := c.Upgrade(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Upgrade agrees on the newest version that both sides speak. It must be the
// first request after OpenV1; Open does both. A daemon that knows version 1
// only is no error.
func (c *Client) Upgrade(ctx context.Context) error {
	defer c.guard(ctx)()
	if err := c.w.JSON(Hello{Command: "hello", Versions: []int{V2}}); err != nil {
		return c.broken(ctx, err)
	}
	line, err := c.r.ReadLine()
	if err != nil {
		return c.broken(ctx, err)
	}
	if text, failed := strings.CutPrefix(string(line), "ERROR:"); failed {
		if strings.TrimSpace(text) != "Unknown command" {
			return New(Internal, Clip(strings.TrimSpace(text), MaxText))
		}
		return nil // an ansible/receptor daemon
	}
	return c.takeWelcome(line)
}

// OpenV1 reads the greeting and stays with version 1.
func OpenV1(ctx context.Context, conn io.ReadWriteCloser) (*Client, error) {
	c := &Client{conn: conn, r: NewReader(conn), w: NewWriter(conn), version: V1}
	defer c.guard(ctx)()
	if err := c.readGreeting(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// OpenV2 is for a daemon that is known to speak version 2: it sends the hello
// at once and waits for nothing; greeting and welcome are read with the first
// reply.
func OpenV2(conn io.ReadWriteCloser) (*Client, error) {
	c := &Client{conn: conn, r: NewReader(conn), w: NewWriter(conn), version: V2, welcome: true}
	return c, c.w.JSON(Hello{Command: "hello", Versions: []int{V2}})
}

// Node is the id of the daemon's node; after OpenV2 it is empty until the
// first reply.
func (c *Client) Node() string { return c.node }

// Software is the version of the daemon's software, or empty if it did not tell:
// in version 1, and after OpenV2 until the first reply.
func (c *Client) Software() string { return c.daemon }

// Version is the version of the protocol that the session speaks.
func (c *Client) Version() int { return c.version }

// AllowLongAnswers takes lines of up to so many bytes from a daemon that is
// trusted: a list of many units passes MaxLine.
func (c *Client) AllowLongAnswers(bytes int) { c.r.max = bytes }

// Close closes the connection.
func (c *Client) Close() error { return c.conn.Close() }

func (c *Client) readGreeting(ctx context.Context) error {
	line, err := c.r.ReadLine()
	if err != nil {
		return fmt.Errorf("no greeting: %w", c.broken(ctx, err))
	}
	c.node, err = ParseGreeting(string(line))
	return err
}

func (c *Client) takeWelcome(line []byte) error {
	var w Welcome
	if err := json.Unmarshal(line, &w); err != nil || w.Version != V2 {
		return fmt.Errorf("unexpected answer to hello: %s", quote(string(line)))
	}
	c.version, c.daemon = V2, w.Software
	return nil
}

// guard closes the connection when ctx ends; the function it returns stops that.
func (c *Client) guard(ctx context.Context) func() {
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	return func() { stop() }
}

// broken explains a failed read: the context's error if that is why.
func (c *Client) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// request encodes a request: members, and in version 2 an id.
func (c *Client) send(members map[string]any) error {
	if c.spent {
		return ErrSpent
	}
	if c.version == V2 {
		c.lastID++
		members["id"] = c.lastID
	}
	return c.w.JSON(members)
}

// next reads the next line of the current request in version 2.
func (c *Client) next(ctx context.Context) (Frame, error) {
	if c.welcome {
		c.welcome = false
		if err := c.readGreeting(ctx); err != nil {
			return Frame{}, err
		}
		line, err := c.r.ReadLine()
		if err != nil {
			return Frame{}, c.broken(ctx, err)
		}
		if err := c.takeWelcome(line); err != nil {
			return Frame{}, err
		}
	}
	for {
		line, err := c.r.ReadLine()
		if err != nil {
			return Frame{}, c.broken(ctx, err)
		}
		f, err := parseFrame(line)
		if err != nil { // not an *Error, which would be the daemon's refusal
			return Frame{}, fmt.Errorf("unexpected answer %s: %s", quote(string(line)), Clip(err.Error(), maxCause))
		}
		if f.ID != 0 && f.ID != c.lastID { // of a request that was given up
			if _, err := io.CopyN(io.Discard, c.r, f.Bytes); err != nil {
				return Frame{}, c.broken(ctx, err)
			}
			continue
		}
		if f.Error != nil {
			f.Error.Code = f.Error.Code.known()
			f.Error.Message = Clip(f.Error.Message, MaxText)
			return f, f.Error
		}
		return f, nil
	}
}

// Call makes a request that has one answer, and decodes it into reply, which
// may be nil. Members are those of the JSON form, `command` included. An answer
// that is an error is an *Error.
func (c *Client) Call(ctx context.Context, members map[string]any, reply any) error {
	defer c.guard(ctx)()
	if err := c.send(members); err != nil {
		return c.broken(ctx, err)
	}
	answer, err := c.answer(ctx)
	if err != nil || reply == nil {
		return err
	}
	if err := decode(answer, reply); err != nil {
		return fmt.Errorf("unexpected answer %s: %w", quote(string(answer)), err)
	}
	return nil
}

// maxCause is how much is told of why an answer cannot be decoded, in bytes.
const maxCause = 1 << 10

// decode decodes what a daemon has said. Errors of encoding/json may quote values
// whole, in quotation marks that make them longer.
func decode(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return errors.New(Clip(err.Error(), maxCause))
	}
	return nil
}

// answer reads the one answer to a request.
func (c *Client) answer(ctx context.Context) ([]byte, error) {
	if c.version == V1 {
		line, err := c.r.ReadLine()
		if err != nil {
			return nil, c.broken(ctx, err)
		}
		return line, errorLine(line)
	}
	for {
		f, err := c.next(ctx)
		if err != nil {
			return nil, err
		}
		if f.Bytes > 0 {
			if _, err := io.CopyN(io.Discard, c.r, f.Bytes); err != nil {
				return nil, c.broken(ctx, err)
			}
		}
		if f.Result != nil {
			return f.Result, nil
		}
	}
}

// errorLine is the error that a reply line of version 1 stands for, if it does.
func errorLine(line []byte) error {
	text, failed := strings.CutPrefix(string(line), "ERROR:")
	if !failed {
		return nil
	}
	text = strings.TrimPrefix(text, " ")
	code := Internal
	if strings.Contains(text, "unknown work unit") {
		code = NotFound
	}
	return New(code, Clip(text, MaxText))
}
