package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// request is what the options ask for. Its errors have exit code 101 (spec
// receptorctl 8).
func (o workSubmitOptions) request() (controlproto.Submit, error) {
	s := controlproto.Submit{
		Node:      o.node,
		WorkType:  o.workType,
		TLSClient: o.tlsClient,
		TTL:       o.ttl,
		SignWork:  o.signWork,
		Stream:    o.stream,
		Stderr:    o.stderr,
		Params:    map[string]string{},
	}
	if s.Node == "" {
		s.Node = "localhost"
	}
	values := map[string]string{}
	for _, p := range o.params {
		key, value, ok := strings.Cut(p, "=")
		if !ok {
			return s, fail(exitSubmit, "--param "+p+" is not of the form KEY=VALUE")
		}
		values[key] = value
	}
	if len(o.args) > 0 {
		words := strings.Join(o.args, " ")
		if given, ok := values["params"]; ok {
			words = given + " " + words
		}
		values["params"] = words
	}
	for _, key := range sortedKeys(values) {
		value, err := paramValue(key, values[key])
		if err != nil {
			return s, err
		}
		if err := o.setParam(&s, key, value); err != nil {
			return s, err
		}
	}
	return s, nil
}

// setParam puts a parameter where it belongs: those that version 1 has among
// its own members mean the option of that name.
func (o workSubmitOptions) setParam(s *controlproto.Submit, key, value string) error {
	illegal := false
	switch key {
	case "command", "subcommand", "node", "worktype":
		illegal = true
	case "tlsclient":
		illegal, s.TLSClient = o.tlsClient != "", value
	case "ttl":
		illegal, s.TTL = o.ttl != "", value
	case "signwork":
		illegal, s.SignWork = o.signWork, value == "true"
	case "signature":
		s.Signature = value
	default:
		s.Params[key] = value
	}
	if illegal {
		return fail(exitSubmit, "Duplicate or illegal parameter "+key, "use the option, or another name")
	}
	return nil
}

// paramValue is the value of a parameter: @FILE stands for the text of FILE,
// and @@... for itself.
func paramValue(key, value string) (string, error) {
	if value == "" {
		return "", fail(exitSubmit, "--param "+key+"= has no value")
	}
	if !strings.HasPrefix(value, "@") || strings.HasPrefix(value, "@@") {
		return value, nil
	}
	name := value[1:]
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return "", fail(exitSubmit, name+" does not exist", "a value that begins with @ names a file; for the sign itself write @@")
	}
	raw, err := os.ReadFile(name)
	if err != nil || !utf8.Valid(raw) {
		f := fail(exitSubmit, "could not read from file "+name)
		if err == nil {
			err = errors.New("it is not text in UTF-8")
		}
		f.hints = []string{err.Error()}
		return "", f
	}
	return string(raw), nil
}
