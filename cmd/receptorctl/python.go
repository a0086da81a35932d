package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

// The output of ansible/receptor's tool is that of Python: JSON by
// json.dumps(v, indent=4, sort_keys=True), and the notation of literals for the
// tags in tables. Values are those that decoded makes.

const hexDigits = "0123456789abcdef"

// appendJSON appends v, members sorted by name, in ASCII.
func appendJSON(b []byte, v any, depth int) []byte {
	switch v := v.(type) {
	case map[string]any:
		return appendBlock(b, '{', '}', depth, len(v), func(b []byte, i int, keys []string) []byte {
			b = append(appendJSONString(b, keys[i]), ": "...)
			return appendJSON(b, v[keys[i]], depth+1)
		}, sortedKeys(v))
	case []any:
		return appendBlock(b, '[', ']', depth, len(v), func(b []byte, i int, _ []string) []byte {
			return appendJSON(b, v[i], depth+1)
		}, nil)
	case string:
		return appendJSONString(b, v)
	case json.Number:
		return append(b, pythonNumber(v)...)
	case bool:
		return strconv.AppendBool(b, v)
	default:
		return append(b, "null"...)
	}
}

// appendBlock appends n items, one a line, between two brackets.
func appendBlock(b []byte, open, end byte, depth, n int, item func([]byte, int, []string) []byte, keys []string) []byte {
	b = append(b, open)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendIndent(b, depth+1)
		b = item(b, i, keys)
	}
	if n > 0 {
		b = appendIndent(b, depth)
	}
	return append(b, end)
}

func appendIndent(b []byte, depth int) []byte {
	b = append(b, '\n')
	for range depth {
		b = append(b, "    "...)
	}
	return b
}

func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r >= ' ' && r <= '~':
			b = append(b, byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == '\b':
			b = append(b, `\b`...)
		case r == '\f':
			b = append(b, `\f`...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			b = appendU(appendU(b, high), low)
		default:
			b = appendU(b, r)
		}
	}
	return append(b, '"')
}

func appendU(b []byte, r rune) []byte {
	return append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// pythonNumber writes a number of JSON as Python does after reading it: a
// whole number as it is, any other as the shortest float.
func pythonNumber(n json.Number) string {
	s := n.String()
	if !strings.ContainsAny(s, ".eE") {
		if s == "-0" {
			return "0"
		}
		return s
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil { // out of range
		if strings.HasPrefix(s, "-") {
			return "-Infinity"
		}
		return "Infinity"
	}
	s = strconv.FormatFloat(f, 'e', -1, 64)
	_, exponent, _ := strings.Cut(s, "e")
	if e, _ := strconv.Atoi(exponent); e < -4 || e >= 16 {
		return s
	}
	s = strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// pythonLiteral is v in the notation of Python.
func pythonLiteral(v any) string {
	switch v := v.(type) {
	case map[string]any:
		items := make([]string, 0, len(v))
		for _, k := range sortedKeys(v) {
			items = append(items, pythonString(k)+": "+pythonLiteral(v[k]))
		}
		return "{" + strings.Join(items, ", ") + "}"
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = pythonLiteral(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case string:
		return pythonString(v)
	case json.Number:
		return pythonNumber(v)
	case bool:
		if v {
			return "True"
		}
		return "False"
	default:
		return "None"
	}
}

// pythonString is s as a literal of Python: in double quotes only if it holds a
// single one and no double one.
func pythonString(s string) string {
	quote := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	var b strings.Builder
	b.WriteRune(quote)
	for _, r := range s {
		switch {
		case r == quote || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r <= 0xff:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteRune(quote)
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
