package supervise

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

// Main is the supervisor process of a node; the daemon starts it. args are the flags that Client adds to Config.Argv; stderr gets the log
// and the usage. It changes the working directory, the signals and the garbage collector of the process, and returns the exit code when there is nothing left to do.
func Main(args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("supervise", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("dir", "", "`directory` of the socket and the lock")
	idle := flags.Duration("idle", DefaultIdle, "end after this time without commands and daemon")
	ready := flags.Int("ready", -1, "`descriptor` to close when the socket is there")
	feeds := flags.Bool("feed", false, "feed one command whose input still grows; the supervisor starts such a process")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *feeds && len(args) == 1 {
		return feed()
	}
	if *dir == "" || flags.NArg() > 0 {
		fmt.Fprintln(stderr, "supervise: this is the process that runs the commands of a node; the daemon starts it with --dir DIRECTORY")
		return 2
	}
	closeOnExec()
	log := slog.New(slog.NewTextHandler(stderr, nil))
	if err := supervise(*dir, *idle, *ready, feederArgv(os.Args, args), log); err != nil {
		log.Error("supervisor failed", "err", err)
		return 1
	}
	return 0
}

func supervise(dir string, idle time.Duration, ready int, feederArgv []string, log *slog.Logger) error {
	tune()
	if err := os.Chdir(dir); err != nil {
		return err
	}
	held, err := lockWhenFree(".", spawnTimeout/2)
	if errors.Is(err, errLocked) {
		return nil // another was faster; the daemon will find it
	}
	if err != nil {
		return err
	}
	defer held.Close()
	// What commands leave behind comes to us, and not to the daemon.
	if err := becomeSubreaper(); err != nil {
		log.Warn("not a subreaper", "err", err)
	}
	l, err := listen()
	if err != nil {
		return err
	}
	s := newServer(log, idle)
	s.feederArgv = feederArgv
	s.catch()
	if ready >= 0 {
		unix.Close(ready)
	}
	log.Info("supervisor started", "pid", os.Getpid())
	err = s.serve(l)
	log.Info("supervisor ended", "pid", os.Getpid())
	return err
}

// catch sees to it that no signal but KILL ends the supervisor while commands run: who stops the service stops the commands by other means,
// and their exits are to be recorded. Handlers, unlike ignored signals, are not inherited: so commands have the defaults, also if the daemon was started with
// signals ignored, as nohup and the & of a script do. These are all that the runtime does not handle anyway.
func (s *server) catch() {
	c := make(chan os.Signal, 4)
	signal.Notify(c, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGPIPE, unix.SIGQUIT, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU)
	go func() { // to the end of the process
		for sig := range c {
			if sig == unix.SIGTERM || sig == unix.SIGINT {
				s.log.Info("supervisor asked to end; it does when nothing runs", "signal", sig.String())
				s.retire()
			}
		}
	}()
}

// closeOnExec keeps descriptors that we were started with, whoever left them open, from the commands.
func closeOnExec() {
	if unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	for fd := 3; fd < 1024; fd++ {
		unix.CloseOnExec(fd)
	}
}

// becomeSubreaper makes orphans among the descendants of this process its children.
func becomeSubreaper() error {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

func identifySelf() (Process, error) { return identify(os.Getpid()) }
