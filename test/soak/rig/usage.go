package rig

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Usage is what a process holds, as /proc tells it.
type Usage struct {
	Pid, Files, Threads int
	RSS, PSS            int64 // bytes; PSS counts shared pages in part
}

// Measure reads the usage of a process.
func Measure(pid int) (Usage, error) {
	u := Usage{Pid: pid}
	dir := fmt.Sprintf("/proc/%d/", pid)
	files, err := os.ReadDir(dir + "fd")
	if err != nil {
		return u, err
	}
	u.Files = len(files)
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return u, err
	}
	u.Threads = int(number(status, "Threads:"))
	rollup, err := os.ReadFile(dir + "smaps_rollup")
	if err != nil {
		return u, err
	}
	u.RSS, u.PSS = number(rollup, "Rss:")<<10, number(rollup, "Pss:")<<10
	return u, nil
}

// number is the first one behind a label.
func number(text []byte, label string) int64 {
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, label); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}

// IsSupervisor tells that a process is the one that owns a node's commands.
func IsSupervisor(pid int) bool {
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && bytes.Contains(args, []byte("\x00supervise\x00"))
}

// Parent is the id of a process's parent, 0 if there is no such process.
func Parent(pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	return int(number(status, "PPid:"))
}
