package mesh

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// Times in the life of a session.
const (
	sharedIdle  = 45 * time.Second // a shared session without streams closes
	askAgain    = 5 * time.Second  // between questions whether it may, if it takes no more streams
	askPatience = 10 * time.Second // for the answer
	quietCheck  = 500 * time.Millisecond
	quietTime   = 2 * time.Second // without a packet: everything sent has been acknowledged
	lingerMost  = time.Minute     // more, for the other end to read what it has
	slowReader  = 20 << 10        // bytes per second that it is expected to read at least
	lingerEnd   = 2*lingerMost + sharedIdle
)

// session is a QUIC connection. One of the original's kind carries a single
// stream and ends with it; one between nodes of ours carries many and ends
// when it was idle for a while.
//
// Closing a QUIC connection destroys what the other end has not read yet, also
// if it has been acknowledged. So who closes, and when, needs care:
//
//   - Between nodes of ours the dialer asks first whether the acceptor has
//     streams left, too; see ask.
//   - The original does not tell. We wait until our streams have ended and the
//     connection is quiet: as long as something is not acknowledged, quic-go
//     keeps sending. If the other end may still have unread data, we give it
//     time in proportion to what we sent, for a slow reader.
type session struct {
	endpoint *endpoint
	conn     *quic.Conn
	remote   *remote
	dialed   bool
	ours     bool
	aborted  atomic.Bool
	sawEnd   atomic.Bool // we have read the end of the other direction

	// Guarded by streams.mu.
	streams int       // open, or being opened
	opened  uint64    // how many were, ever
	retired bool      // takes no more streams
	lostAt  time.Time // when it lost its route; zero if it has one
	timer   *time.Timer
	linger  linger
}

// linger is what a session without streams remembers between looks.
type linger struct {
	since          time.Time // the first look
	changed        time.Time // when the packet counts last changed
	sent, received uint64
	sentThen       uint64 // sent, when received last changed
}

// newSession enters a session with one stream, its caller's. It returns nil if
// the node has ended.
func (st *streams) newSession(e *endpoint, conn *quic.Conn, to *remote, dialed bool) *session {
	if !st.n.box.enter() { // until ended
		conn.CloseWithError(codeFailed, reasonShutdown)
		return nil
	}
	s := &session{
		endpoint: e, conn: conn, remote: to, dialed: dialed,
		ours:    conn.ConnectionState().TLS.NegotiatedProtocol == alpnOurs,
		streams: 1,
	}
	st.mu.Lock()
	e.sessions[s] = struct{}{}
	st.mu.Unlock()
	context.AfterFunc(conn.Context(), s.ended)
	return s
}

// ended takes out a session whose connection has ended.
func (s *session) ended() {
	st := s.endpoint.st
	defer st.n.box.wg.Done()
	st.mu.Lock()
	s.retired = true
	if s.timer != nil {
		s.timer.Stop()
	}
	delete(s.endpoint.sessions, s)
	for key, p := range st.pools {
		if key.node == s.remote.Node && key.service == s.remote.Service {
			p.prune()
			st.dropPool(key)
		}
	}
	unused := st.disuse(s.endpoint)
	st.mu.Unlock()
	if unused != nil {
		unused.close()
	}
}

// abort closes the session because it is of no use, without waiting.
func (s *session) abort(reason string) {
	if !s.aborted.CompareAndSwap(false, true) {
		return
	}
	s.endpoint.st.spawn(func() { s.conn.CloseWithError(codeFailed, reason) })
}

// holdLocked counts one more stream.
func (s *session) holdLocked() {
	s.streams++
	s.opened++
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

// release counts one stream less. Behind the last one the session closes, soon
// or after a while.
func (s *session) release() {
	st := s.endpoint.st
	st.mu.Lock()
	defer st.mu.Unlock()
	s.streams--
	if s.streams > 0 || st.closed || s.conn.Context().Err() != nil {
		return
	}
	s.linger = linger{}
	switch {
	case !s.ours:
		s.timer = time.AfterFunc(quietCheck, s.look)
	case s.dialed && s.retired:
		s.timer = time.AfterFunc(0, s.ask)
	case s.dialed:
		s.timer = time.AfterFunc(sharedIdle, s.ask)
	}
}

// look closes a session of the original's kind without streams if it is quiet,
// else looks again.
func (s *session) look() {
	st := s.endpoint.st
	st.mu.Lock()
	if s.streams > 0 || st.closed || s.timer == nil {
		st.mu.Unlock()
		return
	}
	stats := s.conn.ConnectionStats()
	patience := quietTime + 3*(stats.SmoothedRTT+4*stats.MeanDeviation)
	if !s.dialed || !s.sawEnd.Load() {
		patience += min(lingerMost, time.Duration(stats.BytesSent)*time.Second/slowReader)
	}
	if !s.linger.quiet(time.Now(), stats.PacketsSent, stats.PacketsReceived, patience) {
		s.timer.Reset(quietCheck)
		st.mu.Unlock()
		return
	}
	s.retired = true
	st.mu.Unlock()
	st.spawn(func() { s.conn.CloseWithError(codeNormal, reasonNormal) })
}

// quiet tells whether nothing was sent or received for long enough and what
// was sent last is not a repeated attempt to get something acknowledged. After
// lingerEnd it is true in any case.
func (l *linger) quiet(now time.Time, sent, received uint64, patience time.Duration) bool {
	if l.since.IsZero() {
		*l = linger{since: now, changed: now, sent: sent, received: received, sentThen: sent}
	}
	if received != l.received {
		l.sentThen = sent
	}
	if sent != l.sent || received != l.received {
		// The dialer's keep-alive and its answer do not count as unrest.
		if now.Sub(l.changed) < sessionKeepAlive-2*quietCheck {
			l.changed = now
		}
		l.sent, l.received = sent, received
	}
	const lastAcknowledgements = 2 // packets that need no answer
	done := now.Sub(l.changed) >= patience && sent-l.sentThen <= lastAcknowledgements
	return done || now.Sub(l.since) >= lingerEnd
}

// ask closes a shared session that we dialled if the acceptor has no streams
// left either. The question is a stream of its own that begins with byteAsk
// instead of zero; the answer is one byte. As only the dialer opens streams,
// nothing can come in between.
func (s *session) ask() {
	st := s.endpoint.st
	st.mu.Lock()
	idle, opened := s.streams == 0 && !st.closed && s.timer != nil, s.opened
	st.mu.Unlock()
	if !idle {
		return
	}
	st.spawn(func() {
		agreed := s.agreed()
		st.mu.Lock()
		// A stream that came and went meanwhile is not in the answer.
		idle := s.streams == 0 && !st.closed && s.timer != nil && s.opened == opened
		switch {
		case !idle:
		case agreed:
			s.retired = true
		case s.retired:
			s.timer.Reset(askAgain)
		default:
			s.timer.Reset(sharedIdle)
		}
		st.mu.Unlock()
		if idle && agreed {
			s.conn.CloseWithError(codeNormal, reasonNormal)
		}
	})
}

// The bytes with which a stream begins, and the answer to byteAsk.
const (
	byteStream = 0
	byteAsk    = 1 // only between nodes of ours
	byteYes    = 1
	byteNo     = 0
)

// agreed asks the acceptor. No answer is no.
func (s *session) agreed() bool {
	stream, err := s.conn.OpenStream()
	if err != nil {
		return false
	}
	stream.Write([]byte{byteAsk})
	stream.Close()
	stream.SetReadDeadline(time.Now().Add(askPatience))
	var answer [1]byte
	n, _ := stream.Read(answer[:])
	stream.CancelRead(codeAbandon)
	return n == 1 && answer[0] == byteYes
}

// answer answers the question on a stream that the session counts already.
func (s *session) answer(c *streamConn) {
	st := s.endpoint.st
	st.mu.Lock()
	reply := byte(byteNo)
	if s.streams == 1 {
		reply = byteYes
	}
	st.mu.Unlock()
	c.Write([]byte{reply})
	c.Close()
}
