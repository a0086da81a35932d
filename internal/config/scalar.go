package config

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// plain gives the value of an unquoted scalar by the rules of YAML 1.1, which
// ansible/receptor reads its files with (spec configuration 4): y, no and off
// are booleans, 0600 and 0o600 octal, 1e3 is a float, 2_222 an integer, a date
// a text. (yaml.v3 has the rules of YAML 1.2 in part, so it is only asked for
// the characters.)
func plain(s string) value {
	switch s {
	case "", "~", "null", "Null", "NULL":
		return value{kind: kindNull, text: s}
	case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
		return value{kind: kindBool, text: s, bool: true}
	case "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
		return value{kind: kindBool, text: s}
	case ".nan", ".NaN", ".NAN":
		return value{kind: kindFloat, text: s, float: math.NaN()}
	case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF":
		return value{kind: kindFloat, text: s, float: math.Inf(1)}
	case "-.inf", "-.Inf", "-.INF":
		return value{kind: kindFloat, text: s, float: math.Inf(-1)}
	}
	if v, ok := number(s); ok {
		return v
	}
	return value{kind: kindText, text: s}
}

// plainV2 gives the value of an unquoted scalar in a file of version 2, where y,
// no and off are texts.
func plainV2(s string) value {
	v := plain(s)
	if v.kind == kindBool && !strings.EqualFold(s, "true") && !strings.EqualFold(s, "false") {
		return value{kind: kindText, text: s}
	}
	return v
}

var decimal = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)

// number reads an unquoted scalar as an integer or a float.
func number(s string) (value, bool) {
	if !strings.ContainsRune("+-.0123456789", rune(s[0])) {
		return value{}, false
	}
	digits := s
	if s[0] != '.' {
		digits = strings.ReplaceAll(s, "_", "")
		if n, err := strconv.ParseInt(digits, 0, 64); err == nil {
			return value{kind: kindInt, text: s, int: n, float: float64(n)}, true
		}
		if n, err := strconv.ParseUint(digits, 0, 64); err == nil {
			return value{kind: kindHuge, text: s, float: float64(n)}, true
		}
	}
	if !decimal.MatchString(digits) {
		return value{}, false
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return value{}, false
	}
	return value{kind: kindFloat, text: s, float: f}, true
}
