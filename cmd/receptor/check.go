package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/config"
)

func newCheck(stdout io.Writer) *cobra.Command {
	var asJSON, v2 bool
	var packets []string
	cmd := &cobra.Command{
		Use:   "check FILE...",
		Short: "Say everything that is wrong with a configuration, without starting anything",
		Long: `Reads the files together, as a node would, and says everything that is wrong with
them, and what is odd. The files of TLS sections are read as well. Nothing is
started. Sections may follow after two dashes:

  receptor check receptor.yml
  receptor check receptor.yml -- --tcp-listener port=7323

With --packet it also says which of the firewall rules decides about a packet that the
node sends, receives or forwards. The first rule has number 0:

  receptor check --packet controller03:abc,executor01:control receptor.yml

The exit code is 0 if a node could start with it, as far as the files can tell.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var asked []packet
			for _, text := range packets {
				p, err := parsePacket(text)
				if err != nil {
					return err
				}
				asked = append(asked, p)
			}
			f, err := load(filesAndSections(cmd, v2, args))
			if err == nil {
				_, err = loadTLS(f, nil, nil)
			}
			if err == nil {
				var warnings config.Problems
				_, warnings, err = loadKeys(f)
				f.Warnings = append(f.Warnings, warnings...)
			}
			if asJSON {
				return checkJSON(stdout, f, asked, err)
			}
			if err != nil {
				return err
			}
			for _, w := range f.Warnings {
				fmt.Fprintf(stdout, "Warning: %s\n", w)
			}
			fmt.Fprintln(stdout, "The configuration is good.")
			for _, p := range asked {
				if err := printVerdict(stdout, f, p); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	cmd.Flags().BoolVar(&v2, "config-v2", false, "the file is of version 2, a map of sections")
	cmd.Flags().StringArrayVar(&packets, "packet", nil, "say what the firewall does with this packet: `FROM:SERVICE,TO:SERVICE`; may be repeated")
	return cmd
}

// filesAndSections are the files before two dashes and the sections after
// them.
func filesAndSections(cmd *cobra.Command, v2 bool, args []string) func() (*config.Args, error) {
	return func() (*config.Args, error) {
		dash := cmd.ArgsLenAtDash()
		if dash < 0 {
			return config.FromFiles(v2, args...), nil
		}
		a, err := config.ParseArgs(args[dash:])
		if err != nil {
			return nil, err
		}
		return config.FromFiles(v2, args[:dash]...).With(a), nil
	}
}

// problemJSON is a problem in the output of check --json.
type problemJSON struct {
	File       string `json:"file,omitempty"`
	Line       int    `json:"line,omitempty"`
	Column     int    `json:"column,omitempty"`
	Section    string `json:"section,omitempty"`
	Key        string `json:"key,omitempty"`
	Text       string `json:"text"`
	Suggestion string `json:"suggestion,omitempty"`
}

// checkJSON prints the result of a check; the lists are never null.
func checkJSON(stdout io.Writer, f *config.File, asked []packet, err error) error {
	result := struct {
		Good     bool          `json:"good"`
		Problems []problemJSON `json:"problems"`
		Warnings []problemJSON `json:"warnings"`
		Packets  []verdictJSON `json:"packets,omitempty"`
	}{Good: err == nil, Problems: []problemJSON{}, Warnings: []problemJSON{}}
	if ps, ok := errors.AsType[config.Problems](err); ok {
		for _, p := range ps {
			result.Problems = append(result.Problems, problemJSON(p))
		}
	} else if err != nil {
		result.Problems = append(result.Problems, problemJSON{Text: err.Error()})
	} else {
		for _, p := range f.Warnings {
			result.Warnings = append(result.Warnings, problemJSON(p))
		}
		for _, p := range asked {
			result.Packets = append(result.Packets, judge(f, p))
		}
	}
	e := json.NewEncoder(stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if werr := e.Encode(result); werr != nil {
		return werr
	}
	if err != nil {
		return errSaid
	}
	return nil
}

// load reads and checks a configuration, and refuses what it asks for that this
// version cannot do: running without it would be worse than not running.
func load(args func() (*config.Args, error)) (*config.File, error) {
	a, err := args()
	if err != nil {
		return nil, err
	}
	f, err := a.Load(loadOptions())
	if err != nil {
		return nil, err
	}
	if problems := append(unsupported(f), accessProblems(f)...); len(problems) > 0 {
		return nil, problems
	}
	return f, nil
}

// refusals gathers what a valid configuration asks for and does not get yet.
type refusals struct {
	problems config.Problems
}

func (r *refusals) add(o config.Origin, key, what string) {
	r.problems = append(r.problems, o.Problem(key, what+" is not supported by this version yet"))
}

// unsupported lists what a valid configuration asks for and does not get yet.
func unsupported(f *config.File) config.Problems {
	var r refusals
	r.sections(f)
	return r.problems
}

// sections refuses sections of which nothing is carried out yet.
func (r *refusals) sections(f *config.File) {
	whole := func(o config.Origin) { r.add(o, "", "the section") }
	for _, s := range f.WorkKubernetes {
		whole(s.Origin)
	}
	for _, s := range f.CommandRunners {
		whole(s.Origin)
	}
}
