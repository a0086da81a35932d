//go:build linux

package suite

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/receptor-go/receptor/test/bench/internal/stat"
)

// Report prints one table per case: the median of every metric for each
// target, the range, and with two targets the ratio b/a.
func Report(w io.Writer, cases []Case, targets []Target, runs []Run) {
	for _, c := range cases {
		var own []Run
		for _, r := range runs {
			if r.Case == c.Name {
				own = append(own, r)
			}
		}
		if len(own) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s: %s\n", c.Name, c.Title)
		metrics(w, targets, own)
		checks(w, targets, own)
		var others []float64
		for _, r := range own {
			others = append(others, r.Others+r.Steal)
		}
		fmt.Fprintf(w, "  other work kept %.2f CPUs busy (worst round %.2f)\n", stat.Median(others), slices.Max(others))
		for _, r := range own {
			if r.Err != "" {
				fmt.Fprintf(w, "  %s round %d not completed: %s\n", r.Target, r.Round+1, r.Err)
			}
		}
	}
}

// summary is one metric of one target over all rounds.
type summary struct {
	Metric
	values []float64
}

func gather(runs []Run, target string) (names []string, by map[string]*summary) {
	by = make(map[string]*summary)
	for _, r := range runs {
		for _, m := range r.Metrics {
			if target != "" && r.Target != target {
				continue
			}
			if by[m.Name] == nil {
				by[m.Name] = &summary{Metric: m}
				names = append(names, m.Name)
			}
			by[m.Name].values = append(by[m.Name].values, m.Value)
		}
	}
	return names, by
}

func metrics(w io.Writer, targets []Target, runs []Run) {
	names, all := gather(runs, "")
	if len(names) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	head := []string{"", "metric", "unit"}
	for _, target := range targets {
		head = append(head, target.Label, "range")
	}
	if len(targets) == 2 {
		head = append(head, targets[1].Label+"/"+targets[0].Label, "")
	}
	fmt.Fprintln(t, strings.Join(head, "\t"))
	for _, name := range names {
		row := []string{"", name, all[name].Unit}
		var sides []*summary
		for _, target := range targets {
			_, by := gather(runs, target.Label)
			if s := by[name]; s != nil {
				sides = append(sides, s)
				row = append(row, number(stat.Median(s.values)), number(slices.Min(s.values))+".."+number(slices.Max(s.values)))
			} else {
				row = append(row, "-", "")
			}
		}
		if len(targets) == 2 && len(sides) == 2 {
			row = append(row, ratio(sides[0], sides[1])...)
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	t.Flush()
}

// ratio renders b/a and says which side it favours, but only when the two
// ranges do not touch and the medians are more than a tenth apart.
func ratio(a, b *summary) []string {
	r := stat.Median(b.values) / stat.Median(a.values)
	if math.IsNaN(r) || math.IsInf(r, 0) {
		return nil
	}
	apart := slices.Min(b.values) > slices.Max(a.values) || slices.Max(b.values) < slices.Min(a.values)
	word := ""
	switch {
	case a.Better == Info || !apart || math.Abs(r-1) < 0.1:
	case (r > 1) == (a.Better == Higher):
		word = "better"
	default:
		word = "worse"
	}
	return []string{fmt.Sprintf("%.3g", r), word}
}

func checks(w io.Writer, targets []Target, runs []Run) {
	var names []string
	passed := make(map[string]map[string][2]int)
	detail := make(map[string]string)
	for _, r := range runs {
		for _, c := range r.Checks {
			if passed[c.Name] == nil {
				passed[c.Name] = make(map[string][2]int)
				names = append(names, c.Name)
			}
			count := passed[c.Name][r.Target]
			count[1]++
			if c.Pass {
				count[0]++
			} else {
				detail[c.Name+r.Target] = c.Detail
			}
			passed[c.Name][r.Target] = count
		}
	}
	for _, name := range names {
		for _, target := range targets {
			count, ok := passed[name][target.Label]
			if !ok {
				continue
			}
			word := "pass"
			if count[0] < count[1] {
				word = "FAIL"
			}
			fmt.Fprintf(w, "  %s %s %d/%d  %s", target.Label, word, count[0], count[1], name)
			if d := detail[name+target.Label]; d != "" {
				fmt.Fprintf(w, ": %s", d)
			}
			fmt.Fprintln(w)
		}
	}
}

func number(v float64) string {
	switch a := math.Abs(v); {
	case v == math.Trunc(v) && a < 1e6:
		return fmt.Sprintf("%.0f", v)
	case a >= 1000:
		return fmt.Sprintf("%.0f", v)
	case a >= 100:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}
