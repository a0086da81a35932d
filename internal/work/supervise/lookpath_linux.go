package supervise

import (
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lookPath finds a program as os/exec does, but with the environment and working directory of the daemon instead of ours. Errors are those of os/exec.
func lookPath(command string, env []string, workDir string) (string, error) {
	if strings.Contains(command, "/") {
		return command, nil // the system resolves it, relative to the working directory of the command
	}
	if command != "" {
		for _, dir := range filepath.SplitList(variable(env, "PATH")) {
			if dir == "" {
				dir = "."
			}
			path := filepath.Join(dir, command)
			if filepath.IsAbs(path) {
				if executable(path) {
					return path, nil
				}
			} else if executable(filepath.Join(workDir, path)) {
				return "", &exec.Error{Name: command, Err: exec.ErrDot}
			}
		}
	}
	return "", &exec.Error{Name: command, Err: exec.ErrNotFound}
}

func executable(path string) bool {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return false
	}
	return st.Mode&0o111 != 0 && unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS) != unix.EACCES
}

// variable gives the last value of a variable, as os/exec passes it on.
func variable(env []string, name string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if k, v, ok := strings.Cut(env[i], "="); ok && k == name {
			return v
		}
	}
	return ""
}
