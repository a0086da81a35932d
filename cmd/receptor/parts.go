package main

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"

	"github.com/receptor-go/receptor/internal/config"
)

// opened is a section that holds what it needs (a port, a socket, a name) and
// does not run yet.
type opened struct {
	run   []func(context.Context) error // each ends with its context, and gives back what it holds
	close func()                        // gives it back in place of run
	ready func()                        // says that it runs; may be nil
}

// part is a section at work.
type part struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// start runs what was opened until it is stopped, or the stage is.
func (s *stage) start(o opened) *part {
	ctx, cancel := context.WithCancel(s.ctx)
	p := &part{cancel: cancel}
	for _, f := range o.run {
		p.wg.Add(1)
		s.run(func(context.Context) error { // waited for by stop of the part, too
			defer p.wg.Done()
			err := f(ctx)
			if ctx.Err() != nil {
				return nil
			}
			return err
		})
	}
	if o.ready != nil {
		o.ready()
	}
	return p
}

// stop ends the part and waits for it.
func (p *part) stop() {
	p.cancel()
	p.wg.Wait()
}

// kind is all sections of one kind that are at work. It is used by one goroutine
// at a time.
type kind[T any] struct {
	stage  *stage
	list   func(*config.File) *[]T // those of a configuration
	delta  func(*config.Difference) config.Delta[T]
	origin func(T) config.Origin
	holds  func(T) []string // what no two sections can have at a time
	open   func(T) (opened, error)
	live   []live[T]
}

// sections are those of one kind, whichever it is.
type sections interface {
	startAll(wanted *config.File) error
	plan(c *changes, d *config.Difference)
	putDown(actual *config.File) // notes what is at work
}

// live is one of them.
type live[T any] struct {
	section T
	part    *part
}

// opening opens a section; the error says which one it is.
func (k *kind[T]) opening(s T) (opened, error) {
	o, err := k.open(s)
	if err != nil {
		err = at(k.origin(s), err)
	}
	return o, err
}

func (k *kind[T]) start(s T, o opened) {
	k.live = append(k.live, live[T]{s, k.stage.start(o)})
}

// startAll opens and starts the sections of a configuration. Those that are
// started already when one fails run on, until the stage is stopped.
func (k *kind[T]) startAll(wanted *config.File) error {
	for _, s := range *k.list(wanted) {
		o, err := k.opening(s)
		if err != nil {
			return err
		}
		k.start(s, o)
	}
	return nil
}

// putDown notes all that are at work in a configuration.
func (k *kind[T]) putDown(actual *config.File) {
	out := make([]T, len(k.live))
	for i, l := range k.live {
		out[i] = l.section
	}
	*k.list(actual) = out
}

// arriving is a section that a reload brings.
type arriving struct {
	holds []string
	open  func() (opened, error)
	start func(opened)
}

// leaving is a section that a reload takes away. It may be put back.
type leaving struct {
	arriving
	stop func()
}

// changes are what a reload does to all kinds of sections.
type changes struct {
	leave  []leaving
	arrive []arriving
	keep   []func() // notes where the sections that stay stand now
}

// plan adds what a difference means for the sections of a kind. What has changed
// leaves and arrives.
func (k *kind[T]) plan(c *changes, diff *config.Difference) {
	d := k.delta(diff)
	arrive := func(s T) arriving {
		return arriving{
			holds: k.holds(s),
			open:  func() (opened, error) { return k.opening(s) },
			start: func(o opened) { k.start(s, o) },
		}
	}
	leave := func(s T) {
		c.leave = append(c.leave, leaving{arrive(s), func() { k.stop(s) }})
	}
	for _, s := range d.Removed {
		leave(s)
	}
	for _, p := range d.Changed {
		leave(p.Old)
		c.arrive = append(c.arrive, arrive(p.New))
	}
	for _, s := range d.Added {
		c.arrive = append(c.arrive, arrive(s))
	}
	for _, p := range d.Kept {
		c.keep = append(c.keep, func() {
			if i := k.find(p.Old); i >= 0 {
				k.live[i].section = p.New
			}
		})
	}
}

// find is the index of a section that is at work. Its Origin tells it from its
// equals.
func (k *kind[T]) find(s T) int {
	return slices.IndexFunc(k.live, func(l live[T]) bool { return reflect.DeepEqual(l.section, s) })
}

func (k *kind[T]) stop(s T) {
	if i := k.find(s); i >= 0 {
		k.live[i].part.stop()
		k.live = slices.Delete(k.live, i, i+1)
	}
}

// prepare opens all that can be opened while the old sections run. What it
// returns for a section that has to wait until another one leaves has no run.
// After an error nothing is open.
func (c *changes) prepare() ([]opened, error) {
	out := make([]opened, len(c.arrive))
	var errs []error
	for i, a := range c.arrive {
		if c.waits(a) {
			continue
		}
		var err error
		if out[i], err = a.open(); err != nil {
			errs = append(errs, err)
			out[i] = opened{}
		}
	}
	if len(errs) == 0 {
		return out, nil
	}
	c.giveBack(out)
	return nil, errors.Join(errs...)
}

// giveBack closes what was opened and is not to be started.
func (c *changes) giveBack(ready []opened) {
	for _, o := range ready {
		if o.close != nil {
			o.close()
		}
	}
}

// waits tells whether a section needs what one that leaves holds.
func (c *changes) waits(a arriving) bool {
	return slices.ContainsFunc(c.leave, func(l leaving) bool { return overlap(a.holds, l.holds) })
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// apply takes the old sections away and starts the new ones. Where a new one
// cannot take over what an old one held, the old one is put back.
func (c *changes) apply(ready []opened) error {
	for _, l := range c.leave {
		l.stop()
	}
	var errs []error
	for i, a := range c.arrive {
		o := ready[i]
		if o.run == nil {
			var err error
			if o, err = a.open(); err != nil {
				errs = append(errs, err)
				c.putBack(a)
				continue
			}
		}
		a.start(o)
	}
	for _, f := range c.keep {
		f()
	}
	return errors.Join(errs...)
}

// putBack starts the old sections again that a new one was to take over from.
func (c *changes) putBack(a arriving) {
	for _, l := range c.leave {
		if overlap(a.holds, l.holds) {
			if o, err := l.open(); err == nil {
				l.start(o)
			}
		}
	}
}
