package config

import "strings"

// override puts values of the environment in the place of keys of a file of
// version 2: a variable that is named like the path of the key in capitals, as
// in NODE.ID, counts if the key is in the file and is no list (spec
// configuration 8). An empty variable does not.
func override(ss []section, lookup func(string) (string, bool)) {
	if lookup == nil {
		return
	}
	for i := range ss {
		spec := ss[i].spec()
		if _, list := spec.inMap(); list {
			continue
		}
		for j, e := range ss[i].keys {
			if e.key.kind != kindText || e.value.kind == kindList || e.value.kind == kindDict {
				continue
			}
			name := strings.ToUpper(ss[i].name + "." + e.key.text)
			if v, ok := lookup(name); ok && v != "" {
				p := place{file: "environment variable " + name}
				e.key.place = p
				ss[i].keys[j] = entry{e.key, value{kind: kindText, place: p, text: v}}
			}
		}
	}
}
