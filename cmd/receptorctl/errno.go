package main

import (
	"errors"
	"strconv"
	"strings"
	"syscall"
)

// errnoText is `[Errno 2] No such file or directory`.
func errnoText(errno syscall.Errno) string {
	text := errno.Error()
	if text != "" {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	return "[Errno " + strconv.Itoa(int(errno)) + "] " + text
}

// fileError words an error about a file: `[Errno 2] No such file or directory: 'x'`.
func fileError(err error, name string) string {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return err.Error()
	}
	return errnoText(errno) + ": " + pythonString(name)
}

// isDirectory is the error of a file that is a directory.
const isDirectory = syscall.EISDIR
