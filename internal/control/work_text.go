package control

import (
	"strconv"
	"strings"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// parseWorkText decodes the text form of a work request: words parted by
// single spaces (spec control-protocol 7).
func parseWorkText(params string) (workArgs, error) {
	a := workArgs{output: true}
	words := strings.Split(params, " ")
	a.sub, words = strings.ToLower(words[0]), words[1:]
	switch a.sub {
	case "submit":
		if len(words) < 2 {
			return a, invalid("work submit requires a target node and work type")
		}
		a.submit = controlproto.Submit{Node: words[0], WorkType: words[1], Params: map[string]string{}}
		if rest := strings.Join(words[2:], " "); rest != "" {
			a.submit.Params["params"] = rest
		}
		return a, nil
	case "list":
		if len(words) > 0 {
			a.unit, a.one = words[0], true
		}
		return a, nil
	case "status", "cancel", "release", "force-release":
		switch {
		case len(words) < 1:
			return a, invalid("work " + a.sub + " requires a unit ID")
		case len(words) > 1:
			return a, invalid("work " + a.sub + " does not take parameters after the unit ID")
		}
		a.unit = words[0]
		return a, nil
	case "results":
		return parseResultsText(a, words)
	case "adopt":
		return parseAdoptText(a, words)
	}
	return a, invalid("bad command")
}

func parseAdoptText(a workArgs, words []string) (workArgs, error) {
	switch {
	case len(words) < 2:
		return a, invalid("work adopt requires a node and a unit ID")
	case len(words) > 3:
		return a, invalid("work adopt only takes a node, a unit ID and optional TLS client")
	}
	a.adopt = controlproto.Adopt{Node: words[0], UnitID: words[1]}
	if len(words) == 3 {
		a.adopt.TLSClient = words[2]
	}
	return a, nil
}

func parseResultsText(a workArgs, words []string) (workArgs, error) {
	switch {
	case len(words) < 1:
		return a, invalid("work results requires a unit ID")
	case len(words) > 2:
		return a, invalid("work results only takes a unit ID and optional start position")
	}
	a.unit = words[0]
	if len(words) == 2 {
		n, err := parseInt(words[1])
		if err != nil {
			return a, invalid("error converting start position to integer: " + err.Error())
		}
		a.startpos = n
	}
	return a, nil
}

func parseInt(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }
