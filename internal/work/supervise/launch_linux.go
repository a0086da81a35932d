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
	files, feed, err := openFiles(j.dir, j.terms)
	if err != nil {
		s.refuse(j, err)
		return
	}
	defer files.close()
	runs := false
	if feed != nil {
		defer func() {
			if !runs {
				feed.closeFiles() // with the other end of the pipe: so a feeder ends
			}
		}()
	}
	path, err := lookPath(string(q.Command), n.env, n.workDir)
	if err != nil {
		s.refuse(j, err)
		return
	}
	attr := &syscall.ProcAttr{
		Dir:   n.workDir,
		Env:   n.env,
		Files: files[:],
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	argv := append([]string{string(q.Command)}, plain(q.Args)...)

	if !q.Unsynced {
		// This takes a while, and if we are killed meanwhile it is certain that the command was not started.
		err := rec.claimed()
		if err == nil {
			err = s.sync(j.dir, rec)
		}
		if err != nil {
			s.refuse(j, err)
			return
		}
	}
	// From here to its entry in byPID the child is known to nobody else; the goroutine that waits for children holds still if it meets it.
	s.forks.RLock()
	defer s.forks.RUnlock()
	if err := rec.starting(j.terms); err != nil {
		s.refuse(j, err)
		return
	}
	if feed != nil {
		// Before the command: if we are killed in between, the feeder finds that nobody reads. The other way round the command would see the end.
		if feed.pid, err = s.startFeeder(j, feed.in, feed.out); err != nil {
			s.refuse(j, err)
			return
		}
		poke(s.children) // it is to be waited for, whether the command starts or not
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
	runs = true
	stop := s.running(j, p, pid, feed)
	if stop == nil {
		return
	}
	answer := &message{Msg: msgReply}
	if err := s.stopRunning(j, stop.grace); err != nil {
		answer.Error = err.Error()
	}
	stop.answer(j.unit, answer)
}

// answer tells who waits for it what came of a stop.
func (e *earlyStop) answer(unit string, m *message) {
	for _, w := range e.waiting {
		m.ID, m.Unit = w.id, unit
		w.s.out.add(m)
	}
}

// stdFiles are the standard files of a command.
type stdFiles [3]uintptr

const noFile = ^uintptr(0)

func (f *stdFiles) close() {
	for i, fd := range f {
		if fd != noFile && (i == 0 || fd != f[i-1]) {
			unix.Close(int(fd))
		}
	}
}

// openFiles opens the standard files of a command; they close on exec unless they are passed on.
func openFiles(dir string, t terms) (files stdFiles, feed *feedState, err error) {
	files = stdFiles{noFile, noFile, noFile}
	open := func(name string, flags int) (fd uintptr) {
		if err != nil {
			return noFile
		}
		name = filepath.Join(dir, name)
		n, e := openRetry(name, flags|unix.O_CLOEXEC, 0o600)
		if e != nil {
			err = &fs.PathError{Op: "open", Path: name, Err: e}
			return noFile
		}
		return uintptr(n)
	}
	// Append mode: a command that opens its output again or seeks cannot overwrite what was written.
	const output = unix.O_WRONLY | unix.O_APPEND | unix.O_CREAT
	if !t.Stream {
		files[0] = open(stdinName, unix.O_RDONLY)
	}
	files[1] = open(stdoutName, output)
	files[2] = files[1]
	if t.Stderr {
		files[2] = open(stderrName, output)
	}
	if err == nil && t.Stream {
		var stdin int
		if stdin, feed, err = openFeed(dir); err == nil {
			files[0] = uintptr(stdin)
		}
	}
	if err != nil {
		files.close()
		return stdFiles{noFile, noFile, noFile}, nil, err
	}
	return files, feed, nil
}

func openRetry(name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Open(name, flags, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// running enters a command that has just been started, and gives the stop that was asked for meanwhile. The caller holds forks for reading.
func (s *server) running(j *job, p Process, pid int, feed *feedState) (stop *earlyStop) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j.state, j.pid, j.start = jobRunning, pid, p.StartTime
	s.byPID[pid] = j
	if feed != nil {
		j.feed = feed
		s.feeders[feed.pid] = j
	}
	if j.terms.limited() {
		j.limited = &limited{terms: j.terms, dir: j.dir, began: p.began(), exceeded: func(text string, grace time.Duration) { s.limit(j, text, grace) }}
		s.limits.add(j.limited)
	}
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
	stop, j.stop = j.stop, nil
	poke(s.children)
	return stop
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
	if j.stop != nil {
		j.stop.answer(j.unit, &message{Msg: msgReply, Unknown: answer.Before})
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
