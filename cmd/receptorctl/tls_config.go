package main

import (
	"fmt"
	"os"
	"strings"

	"gopkg.in/yaml.v3"
)

// lookupTLSClient finds the first entry `tls-client` of that name in a daemon's
// configuration file (version 1: a list of sections). One that is not there is no
// error, as for ansible/receptor; it is told if the connection fails.
func lookupTLSClient(file, name string) (tlsSettings, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return tlsSettings{}, fail(exitFailure, fileError(err, file), "it was given with --config or RECEPTORCTL_CONFIG")
	}
	var items []yaml.Node
	if err := yaml.Unmarshal(raw, &items); err != nil {
		return tlsSettings{}, fail(exitFailure, fmt.Sprintf("cannot read %s: %v", file, err),
			"--config wants a daemon's configuration file: a YAML list of sections")
	}
	for _, item := range items {
		section, ok := member(&item, "tls-client")
		if !ok {
			continue
		}
		if entry := text(section, "name"); entry != name {
			continue
		}
		var skip boolean
		if s := text(section, "insecureskipverify"); s != "" && skip.Set(s) != nil {
			return tlsSettings{}, fail(exitFailure, fmt.Sprintf("%s: tls-client %s: insecureskipverify is no boolean", file, name))
		}
		return tlsSettings{
			rootcas:    text(section, "rootcas"),
			key:        text(section, "key"),
			cert:       text(section, "cert"),
			skipVerify: bool(skip),
		}, nil
	}
	return tlsSettings{missing: fmt.Sprintf("%s has no tls-client entry named %s", file, pythonString(name))}, nil
}

// member is a value of a YAML map; the daemon takes keys in any letter case.
func member(node *yaml.Node, key string) (*yaml.Node, bool) {
	if node.Kind != yaml.MappingNode {
		return nil, false
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if strings.EqualFold(node.Content[i].Value, key) {
			value := node.Content[i+1]
			if value.Kind == yaml.AliasNode {
				value = value.Alias
			}
			return value, true
		}
	}
	return nil, false
}

// text is a scalar of a YAML map, or empty.
func text(node *yaml.Node, key string) string {
	value, ok := member(node, key)
	if !ok || value.Kind != yaml.ScalarNode || value.Tag == "!!null" {
		return ""
	}
	return value.Value
}
