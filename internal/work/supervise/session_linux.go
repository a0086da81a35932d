package supervise

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"time"
)

// session is one daemon that is connected.
type session struct {
	out     *outbox
	env     []string // environment of its commands
	workDir string   // working directory of its commands
}

// talk serves one connection until it ends.
func (s *server) talk(conn *net.UnixConn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	conn.SetDeadline(time.Now().Add(helloTimeout))
	n, answer, err := s.greet(conn, r)
	if err != nil {
		if err != io.EOF { // a look whether somebody listens
			s.log.Warn("greeting failed", "err", err)
		}
		return
	}
	if n == nil {
		line, err := appendLine(nil, answer)
		if err == nil {
			conn.Write(line)
		}
		s.log.Warn("daemon refused", "cause", answer.Error)
		return
	}
	if !s.join(n, answer) {
		if line, err := appendLine(nil, &message{Msg: msgHello, Error: "too many daemons are connected"}); err == nil {
			conn.Write(line)
		}
		return
	}
	conn.SetDeadline(time.Time{})
	go n.out.run() // until it is closed below or the connection fails, which ends the reader
	err = s.read(r, n)
	s.kills.takeUp() // a daemon that is gone may have left some
	s.leave(n)
	n.out.close()
	if err != nil {
		s.log.Debug("daemon disconnected", "err", err)
	}
}

// greet reads the first line. Without a session the answer is a refusal.
func (s *server) greet(conn net.Conn, r *bufio.Reader) (*session, *message, error) {
	var hello request
	if err := readLine(r, &hello); err != nil {
		return nil, nil, err
	}
	if hello.Op != opHello {
		return nil, &message{Msg: msgHello, Error: "the first line must be a hello"}, nil
	}
	version := 0
	for _, v := range hello.Versions {
		if v >= 1 && v <= protocolVersion {
			version = max(version, v)
		}
	}
	if version == 0 {
		return nil, &message{Msg: msgHello, Versions: []int{protocolVersion}, Error: fmt.Sprintf(
			"the supervisor speaks version %d of its protocol, the daemon %v", protocolVersion, hello.Versions)}, nil
	}
	self, err := identifySelf()
	if err != nil {
		return nil, nil, err
	}
	n := &session{out: newOutbox(conn), env: plain(hello.Env), workDir: string(hello.WorkDir)}
	if n.workDir == "" {
		n.workDir = "/"
	}
	return n, &message{Msg: msgHello, Version: version, Exe: s.exe, Can: []string{canStderr, canStream, canLimits}, Process: &self}, nil
}

// read deals with one request after the other.
func (s *server) read(r *bufio.Reader, n *session) error {
	for {
		var q request
		if err := readLine(r, &q); err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		if len(q.Unit) > MaxUnit {
			n.out.add(&message{Msg: msgReply, ID: q.ID, Error: fmt.Sprintf("unit longer than %d bytes", MaxUnit)})
			continue
		}
		switch q.Op {
		case opStart:
			s.start(n, &q)
		case opStop:
			s.stop(n, q.ID, q.Unit, min(time.Duration(max(q.GraceMS, 0)), maxGrace/time.Millisecond)*time.Millisecond)
		case opForget:
			s.forget(q.Units)
			if q.ID != 0 {
				n.out.add(&message{Msg: msgReply, ID: q.ID})
			}
		case opRetire:
			s.retire()
		default:
			n.out.add(&message{Msg: msgReply, ID: q.ID, Error: fmt.Sprintf("unknown operation %q", q.Op)})
		}
	}
}

// start takes a command up, or answers with what became of it. It blocks while too many are being started.
func (s *server) start(n *session, q *request) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return // the daemon will see the connection end and ask our successor
	}
	if j := s.jobs[q.Unit]; j != nil {
		switch j.state {
		case jobStarting:
			if !slices.Contains(j.waiting, waiter{n, q.ID}) {
				j.waiting = append(j.waiting, waiter{n, q.ID})
			}
		default:
			n.out.add(&message{Msg: msgReply, ID: q.ID, Unit: j.unit, Process: j.process(), Exit: j.exit})
		}
		s.mu.Unlock()
		return
	}
	j := &job{unit: q.Unit, dir: string(q.Dir), terms: q.terms, waiting: []waiter{{n, q.ID}}}
	s.jobs[j.unit] = j
	s.workLocked(1)
	s.mu.Unlock()
	s.slots <- struct{}{}
	go func() { // until the command runs or has failed to
		s.launch(j, n, q)
		<-s.slots
	}()
}

// forget drops ended commands, and sees to it that others are dropped when they end.
func (s *server) forget(units []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range units {
		if j := s.jobs[u]; j != nil {
			j.forgotten = true
			s.dropLocked(j)
		}
	}
}

// dropLocked removes a command that has ended, is recorded, and of which nobody wants to hear.
func (s *server) dropLocked(j *job) {
	if j.state == jobEnded && j.forgotten && j.unsaved == 0 {
		delete(s.jobs, j.unit)
	}
}
