package main

import (
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
)

// address says where a daemon is (spec receptorctl 1.2).
type address struct {
	network string // "unix", "tcp" or "tls"
	path    string // unix
	host    string // tcp, tls: a name or an IP address, IPv6 without brackets
	port    string
}

var (
	unixAddress = regexp.MustCompile(`^(?:unix:(?://)?)?([^:]+)$`)
	hostAddress = regexp.MustCompile(`^(tcp|tls):(?://)?(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9\-.:]+):([0-9]+)$`)
)

// parseAddress reads the value of --socket.
func (a *app) parseAddress(s string) (address, error) {
	if m := hostAddress.FindStringSubmatch(s); m != nil {
		return address{network: m[1], host: strings.Trim(m[2], "[]"), port: m[3]}, nil
	}
	if m := unixAddress.FindStringSubmatch(s); m != nil {
		return address{network: "unix", path: a.expandHome(m[1])}, nil
	}
	return address{}, fail(exitFailure, "Invalid socket address "+s,
		"an address is PATH, unix:PATH, tcp://HOST:PORT or tls://HOST:PORT")
}

// expandHome replaces ~ and ~user at the start of a path.
func (a *app) expandHome(path string) string {
	if !strings.HasPrefix(path, "~") {
		return path
	}
	name, rest, _ := strings.Cut(path[1:], string(filepath.Separator))
	home := ""
	if name == "" {
		home = a.getenv("HOME")
	}
	if home == "" {
		u, err := user.Current()
		if name != "" {
			u, err = user.Lookup(name)
		}
		if err != nil {
			return path
		}
		home = u.HomeDir
	}
	return filepath.Join(home, rest)
}

// address is where the daemon of this call is: as the settings say, else the
// first of the default sockets that is there.
func (a *app) address() (address, error) {
	if s := a.setting("socket"); s != "" {
		return a.parseAddress(s)
	}
	for _, path := range a.sockets {
		if info, err := os.Stat(path); err == nil && info.Mode().Type() == os.ModeSocket && trusted(info) {
			return address{network: "unix", path: path}, nil
		}
	}
	f := fail(exitFailure, "Missing parameter: socket",
		"give --socket ADDRESS before the command, or set RECEPTORCTL_SOCKET")
	if len(a.sockets) > 0 {
		f.hints = append(f.hints, "without them a daemon is looked for at "+strings.Join(a.sockets, ", "))
	}
	return address{}, f
}
