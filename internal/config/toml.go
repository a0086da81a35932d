package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// readTOML reads a file of version 2 in TOML.
func readTOML(file string, data []byte, r *report) []section {
	var doc map[string]any
	if err := toml.Unmarshal(data, &doc); err != nil {
		p := at(place{file: file}, "not valid TOML: %s", strings.TrimPrefix(err.Error(), "toml: "))
		if de, ok := errors.AsType[*toml.DecodeError](err); ok {
			p.Line, p.Column = de.Position()
		}
		r.problem(p)
		return nil
	}
	t := tomlReader{file: file, lines: tomlLines(data)}
	return mapDocument(t.value(doc, "", place{file: file, line: 1}), r)
}

// tomlReader turns what the TOML library makes of a file into values.
type tomlReader struct {
	file  string
	lines map[string]int // by path, as in `.tcp-peers[0].address`
}

// value makes a value of what was decoded; the place of what has no line of its
// own is that of what it stands in.
func (t *tomlReader) value(x any, path string, in place) value {
	if line, ok := t.lines[path]; ok {
		in = place{file: t.file, line: line}
	}
	v := value{place: in, kind: kindText, text: fmt.Sprint(x)}
	switch x := x.(type) {
	case map[string]any:
		v.kind, v.text = kindDict, ""
		for key, e := range x {
			below := t.value(e, path+"."+key, in)
			v.dict = append(v.dict, entry{value{kind: kindText, text: key, place: below.place}, below})
		}
		slices.SortFunc(v.dict, func(a, b entry) int {
			if d := a.key.place.line - b.key.place.line; d != 0 {
				return d
			}
			return strings.Compare(a.key.text, b.key.text)
		})
	case []any:
		v.kind, v.text = kindList, ""
		for i, e := range x {
			v.list = append(v.list, t.value(e, path+"["+strconv.Itoa(i)+"]", in))
		}
	case bool:
		v.kind, v.bool = kindBool, x
	case int64:
		v.kind, v.int, v.float = kindInt, x, float64(x)
	case float64:
		v.kind, v.float = kindFloat, x
	case time.Time:
		v.text = x.Format(time.RFC3339Nano)
	}
	return v
}

// tomlLines finds the line of every key and item of a valid file.
func tomlLines(data []byte) map[string]int {
	w := tomlWalk{lines: make(map[string]int), items: make(map[string]int)}
	w.parser.Reset(data)
	offset, line := 0, 1
	w.line = func(to int) int {
		if to < offset {
			offset, line = 0, 1
		}
		line += bytes.Count(data[offset:to], []byte("\n"))
		offset = to
		return line
	}
	table := ""
	for w.parser.NextExpression() {
		switch e := w.parser.Expression(); e.Kind {
		case unstable.Table:
			table = w.path("", e.Key())
		case unstable.ArrayTable:
			table = w.path("", e.Key())
			n := w.items[table]
			w.items[table]++
			item := table + "[" + strconv.Itoa(n) + "]"
			w.lines[item] = w.last
			table = item
		case unstable.KeyValue:
			w.keyValue(table, e)
		}
	}
	return w.lines
}

// tomlWalk gathers lines.
type tomlWalk struct {
	parser unstable.Parser
	lines  map[string]int
	items  map[string]int // of each array of tables so far
	line   func(offset int) int
	last   int // line of the last key
}

// path follows a dotted key and notes the line of each of its parts that is
// new. What stands below an array of tables belongs to its last item.
func (w *tomlWalk) path(in string, keys unstable.Iterator) string {
	for keys.Next() {
		if n := w.items[in]; n > 0 {
			in += "[" + strconv.Itoa(n-1) + "]"
		}
		k := keys.Node()
		in += "." + string(k.Data)
		w.last = w.line(int(k.Raw.Offset))
		if _, have := w.lines[in]; !have {
			w.lines[in] = w.last
		}
	}
	return in
}

func (w *tomlWalk) keyValue(in string, e *unstable.Node) {
	w.below(w.path(in, e.Key()), e.Value())
}

// below notes the lines of what is written inside of a value.
func (w *tomlWalk) below(path string, v *unstable.Node) {
	switch v.Kind {
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			w.keyValue(path, it.Node())
		}
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); i++ {
			w.below(path+"["+strconv.Itoa(i)+"]", it.Node())
		}
	}
}
