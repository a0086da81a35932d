package config

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"
)

// Types that the specification has as strings and integers with a rule.
var (
	modeType     = &keyType{"int", func(c *conversion, v value) (any, bool) { return c.asMode(v) }}
	durationType = &keyType{"string", convertDuration}
	pinsType     = &keyType{textsName, func(c *conversion, v value) (any, bool) { return c.asPins(v) }}
	levelType    = &keyType{"string", func(c *conversion, v value) (any, bool) { return c.asLevel(v) }}
	formatType   = &keyType{"string", func(c *conversion, v value) (any, bool) { return c.asFormat(v) }}
	rulesType    = &keyType{"list of firewall rules", func(c *conversion, v value) (any, bool) { return c.asRules(v) }}
	accessType   = &keyType{"list of access rules", func(c *conversion, v value) (any, bool) { return c.asAccess(v) }}
)

// asMode takes the mode of a socket. A number without a leading 0 is decimal,
// as in ansible/receptor, and hardly ever meant so: there is a warning unless
// the result is one that someone could want.
func (c *conversion) asMode(v value) (os.FileMode, bool) {
	n, ok := c.asInt(v)
	if !ok {
		return 0, false
	}
	if n < 0 || n > 0o7777 {
		return 0, c.fail("", "%s is not a file mode", v.text)
	}
	if v.text != "" && v.text[0] >= '1' && v.text[0] <= '9' && oddMode(n) {
		c.warn("%s is decimal and is mode %#o; write 0%s for octal", v.text, n, v.text)
	}
	return os.FileMode(n) & os.ModePerm, true
}

// oddMode tells whether a mode is none for a socket: bits beyond reading and
// writing, or someone who may write and not read.
func oddMode(mode int64) bool {
	reads, writes := mode>>2&0o111, mode>>1&0o111
	return mode&^0o666 != 0 || writes&^reads != 0
}

// convertDuration takes a duration with its unit. An empty text is as if the
// key were not there.
func convertDuration(c *conversion, v value) (any, bool) {
	s, ok := c.asText(v)
	if !ok {
		return nil, false
	}
	if s == "" {
		return nil, true
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		hint := "valid examples include 1.5h, 30m and 30m10s"
		if _, err := strconv.Atoi(s); err == nil {
			hint = fmt.Sprintf("a unit is missing: did you mean %q?", s+"s")
		}
		return nil, c.fail(hint, "%q is not a duration", s)
	}
	return d, true
}

// Lengths of the fingerprints that are accepted, in bytes.
const (
	sha256Size = 32
	sha512Size = 64
)

// asPins takes fingerprints: hexadecimal, with or without colons.
func (c *conversion) asPins(v value) ([][]byte, bool) {
	texts, ok := c.asTexts(v)
	if !ok {
		return nil, false
	}
	var pins [][]byte
	for _, s := range texts {
		pin, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
		if err != nil {
			return nil, c.fail("", "fingerprint %q is not hexadecimal", s)
		}
		if len(pin) != sha256Size && len(pin) != sha512Size {
			return nil, c.fail("", "fingerprint of %d bytes: must be 32 or 64 bytes, for SHA-256 or SHA-512", len(pin))
		}
		pins = append(pins, pin)
	}
	return pins, true
}

// asLevel takes the name of a log level, in any letter case.
func (c *conversion) asLevel(v value) (slog.Level, bool) {
	s, ok := c.asText(v)
	if !ok {
		return 0, false
	}
	switch strings.ToLower(s) {
	case "error":
		return slog.LevelError, true
	case "warning":
		return slog.LevelWarn, true
	case "info":
		return slog.LevelInfo, true
	case "debug":
		return slog.LevelDebug, true
	}
	return 0, c.oneOf("%s is not a valid log level name", s, "error", "warning", "info", "debug")
}

// asFormat takes the name of a log format, in any letter case.
func (c *conversion) asFormat(v value) (string, bool) {
	s, ok := c.asText(v)
	if !ok {
		return "", false
	}
	switch f := strings.ToLower(s); f {
	case LogText, LogJSON:
		return f, true
	}
	return "", c.oneOf("%s is not a log format", s, LogText, LogJSON)
}

// oneOf reports a text that is none of some names.
func (c *conversion) oneOf(format, s string, names ...string) bool {
	hint := didYouMean(s, names)
	if hint == "" {
		hint = "one of " + strings.Join(names, ", ")
	}
	return c.fail(hint, format, s)
}
