package supervise

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// launch starts the command of j and tells who waits for it.
func (s *server) launch(j *job, n *session, q *request) {
	rec, err := claim(j.dir)
	if errors.Is(err, fs.ErrExist) {
		// A supervisor before us got as far as this. What became of it is in the files, which the daemon can read as well as we.
		s.failed(j, &message{Msg: msgReply, Before: true}, nil)
		return
	}
	if err != nil {
		s.refuse(j, err)
		return
	}
	defer rec.close()
	stdin, stdout, err := openFiles(j.dir)
	if err != nil {
		s.refuse(j, err)
		return
	}
	defer unix.Close(stdin)
	defer unix.Close(stdout)
	path, err := lookPath(string(q.Command), n.env, n.workDir)
	if err != nil {
		s.refuse(j, err)
		return
	}
	attr := &syscall.ProcAttr{
		Dir:   n.workDir,
		Env:   n.env,
		Files: []uintptr{uintptr(stdin), uintptr(stdout), uintptr(stdout)},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	argv := append([]string{string(q.Command)}, plain(q.Args)...)

	// From here to its entry in byPID the child is known to nobody else; the goroutine that waits for children holds still if it meets it.
	s.forks.RLock()
	defer s.forks.RUnlock()
	if err := rec.starting(); err != nil {
		s.refuse(j, err)
		return
	}
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		if _, e := os.Stat(n.workDir); e != nil {
			s.refuse(j, &fs.PathError{Op: "chdir", Path: n.workDir, Err: errors.Unwrap(e)})
			return
		}
		s.refuse(j, &fs.PathError{Op: "fork/exec", Path: path, Err: err})
		return
	}
	p, err := identify(pid)
	if err == nil {
		err = rec.started(p)
	}
	if err != nil {
		// It runs, and we know it; only a successor of ours would have to search.
		s.log.Error("process not recorded", "unit", j.unit, "pid", pid, "err", err)
	}
	s.running(j, pid, p.StartTime)
}

// openFiles opens the standard files of a command; they close on exec unless they are passed on.
func openFiles(dir string) (stdin, stdout int, err error) {
	name := filepath.Join(dir, stdinName)
	stdin, err = openRetry(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, -1, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	name = filepath.Join(dir, stdoutName)
	// Append mode: a command that opens its output again or seeks cannot overwrite what was written.
	stdout, err = openRetry(name, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		unix.Close(stdin)
		return -1, -1, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return stdin, stdout, nil
}

func openRetry(name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Open(name, flags, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// running enters a command that has just been started. The caller holds forks for reading.
func (s *server) running(j *job, pid int, start uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j.state, j.pid, j.start = jobRunning, pid, start
	s.byPID[pid] = j
	m := &message{Msg: msgReply, Unit: j.unit, Process: j.process()}
	told := map[*session]bool{}
	for _, w := range j.waiting {
		m.ID = w.id
		w.s.out.add(m)
		told[w.s] = true
	}
	j.waiting = nil
	for n := range s.sessions {
		if !told[n] {
			n.out.add(j.report())
		}
	}
	if j.stop != nil { // asked for meanwhile
		grace := j.stop.grace
		j.stop = nil
		s.stopLocked(j, grace)
	}
	select {
	case s.children <- struct{}{}:
	default:
	}
}

// refuse ends a job that could not be started, for good.
func (s *server) refuse(j *job, cause error) {
	e := notStarted(cause.Error(), time.Now())
	if err := addExit(j.dir, e); err != nil {
		s.log.Error("failed start not recorded", "unit", j.unit, "err", err)
	}
	s.failed(j, &message{Msg: msgReply, NotStarted: true, Error: e.Detail}, &e)
}

// failed drops a job that was not started and answers who waits for it. Everybody else, who may have been told that it is being started, is
// told e, or without e that it is not known here.
func (s *server) failed(j *job, answer *message, e *Exit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	told := map[*session]bool{}
	for _, w := range j.waiting {
		answer.ID, answer.Unit = w.id, j.unit
		w.s.out.add(answer)
		told[w.s] = true
	}
	j.waiting, j.stop = nil, nil
	delete(s.jobs, j.unit)
	m := &message{Msg: msgUnknown, Unit: j.unit, Dir: text(j.dir)}
	if e != nil {
		m.Msg, m.Exit = msgEnded, e
	}
	for n := range s.sessions {
		if !told[n] {
			n.out.add(m)
		}
	}
	s.workLocked(-1)
}
