package work

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/lend"
	"github.com/receptor-go/receptor/internal/work/supervise"
)

// Manager keeps the units of a node.
type Manager struct {
	c     Config
	store *store
	types atomic.Pointer[types]
	keys  atomic.Pointer[Keys]
	keep  *keeper
	watch *watcher
	peers *peers
	queue *queue

	// running is closed once Run serves; until then Start and Cancel wait.
	running chan struct{}
	// over is closed when Run has ended: nothing is driven any more.
	over  chan struct{}
	found []*unit         // by New, for Run to take up
	ctx   context.Context // of what is driven; ends with Run. Set before running is closed
	sup   Supervisor      // set before running is closed

	wg      sync.WaitGroup // goroutines that Run waits for
	buffers *lend.Buffers

	adopting sync.Mutex // held while an adopted unit is made; taken before mu

	mu      sync.RWMutex
	units   map[string]*unit
	closing bool // no more goroutines may be started
	graves  *graves
	tokens  *tokens       // set once
	sweeper chan struct{} // 1; has the retention looked at
}

// errOver is the answer of a Manager whose Run has ended.
var errOver = controlproto.New(controlproto.Unreachable, "the daemon is shutting down")

// New takes the directory for this process and reads its units; a unit that
// cannot be read is reported and hurts no other. Nothing is started. If Run will
// not be called, call Close.
func New(c Config) (*Manager, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	s, err := openStore(c.Dir, c.Logger)
	if err != nil {
		return nil, err
	}
	m := &Manager{
		c: c, store: s, peers: newPeers(), queue: newQueue(),
		running: make(chan struct{}), over: make(chan struct{}),
		units: make(map[string]*unit), sweeper: make(chan struct{}, 1),
		buffers: lend.New(outputBlock, smallBlock, outputBlocks),
	}
	m.graves, m.tokens = loadGraves(s), loadTokens(s)
	m.keys.Store(&c.Keys)
	m.keep = newKeeper(m)
	m.watch = newWatcher(m)
	t, _ := newTypes(c.Types) // complete has checked them
	m.types.Store(t)
	if err := m.load(); err != nil {
		s.close()
		return nil, err
	}
	return m, nil
}

// Close gives the directory back if Run was never called.
func (m *Manager) Close() error { return m.store.close() }

// Run takes up the units that have not ended, and owns everything until ctx
// ends; commands go on under the supervisor. It returns when all that it started
// has ended. It is called once.
func (m *Manager) Run(ctx context.Context) error {
	defer m.store.close()
	defer close(m.over)
	sup, err := m.c.OpenSupervisor(ctx)
	if err != nil {
		return fmt.Errorf("supervisor: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m.ctx, m.sup = ctx, sup

	// The syncer and the keeper end last: what the others leave is still saved.
	late, stopLate := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	helpers.Go(func() { m.store.sync.run(late) })
	helpers.Go(func() { m.keep.run(late) })
	defer helpers.Wait()
	defer stopLate()

	var supErr error
	m.wg.Go(func() { // ends with ctx
		supErr = sup.Run(ctx, m.event)
		cancel() // without it nothing can be done
	})
	// Before clients are served: who cancels a unit has to know whether its command runs.
	m.resume()
	close(m.running)
	m.retype()                        // types that came meanwhile
	m.wg.Go(func() { m.retain(ctx) }) // ends with ctx
	<-ctx.Done()
	m.mu.Lock()
	m.closing = true
	m.mu.Unlock()
	m.watch.close()
	m.wg.Wait()
	if supErr != nil && !errors.Is(supErr, context.Canceled) && !errors.Is(supErr, supervise.ErrClosed) {
		return fmt.Errorf("supervisor: %w", supErr)
	}
	return nil
}

// goes starts a goroutine that Run waits for; false if it is too late for that.
func (m *Manager) goes(f func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing {
		return false
	}
	m.wg.Go(f)
	return true
}

// up waits until Run serves.
func (m *Manager) up(ctx context.Context) error {
	select {
	case <-m.running:
	case <-m.over:
		return errOver
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if m.ctx.Err() != nil {
		return errOver
	}
	return nil
}

// unit finds a unit.
func (m *Manager) unit(id string) (*unit, error) {
	m.mu.RLock()
	u := m.units[id]
	m.mu.RUnlock()
	if u == nil {
		return nil, controlproto.New(controlproto.NotFound, "unknown work unit "+id)
	}
	return u, nil
}

// unitOrGrave is unit for who releases it: from then on there will be none of that id.
func (m *Manager) unitOrGrave(id string) (*unit, error) {
	if u, err := m.unit(id); err == nil {
		return u, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if u := m.units[id]; u != nil { // made just now
		return u, nil
	}
	m.graves.addEarly(id)
	return nil, controlproto.New(controlproto.NotFound, "unknown work unit "+id)
}

// all returns the units, for who looks into them: their mu is not taken under m.mu.
func (m *Manager) all() []*unit {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.Collect(maps.Values(m.units))
}

// List returns all units that this node holds: its own work, and what stands
// for work on other nodes.
func (m *Manager) List() map[string]controlproto.UnitStatus {
	all := m.all()
	list := make(map[string]controlproto.UnitStatus, len(all))
	for _, u := range all {
		list[u.id] = m.status(u)
	}
	return list
}

// TypeState is what units are counted by.
type TypeState struct {
	WorkType string // "remote" for what stands for work on other nodes
	State    controlproto.State
}

// Counts is how many units of each type and state this node holds. It looks at no
// file.
func (m *Manager) Counts() map[TypeState]int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	counts := make(map[TypeState]int)
	for _, u := range m.units {
		u.mu.Lock()
		counts[TypeState{u.rec.WorkType, u.rec.State}]++
		u.mu.Unlock()
	}
	return counts
}

// Status returns a unit's record; an *Error of code NotFound if there is no such
// unit. Any string may be asked for.
func (m *Manager) Status(id string) (controlproto.UnitStatus, error) {
	u, err := m.unit(id)
	if err != nil {
		return controlproto.UnitStatus{}, err
	}
	return m.status(u), nil
}

// Types lists the work types that the node offers, in the order of the
// configuration; nil if there are none.
func (m *Manager) Types() []controlproto.WorkCommand { return m.types.Load().list }

// SetTypes replaces the table of work types. Commands that run go on as they
// are; new limits hold for what is started and released from now on. Units that
// were found when their type was unknown are taken up if it is known now.
func (m *Manager) SetTypes(list []Command) error {
	t, err := newTypes(list)
	if err != nil {
		return err
	}
	m.types.Store(t)
	select {
	case <-m.running:
	default:
		return nil // Run has not begun, and will see to it
	}
	m.retype()
	poke(m.sweeper)
	return nil
}

// retype has units taken up and started that the table of work types allows now.
func (m *Manager) retype() {
	m.goes(func() { m.takeUp(); m.launch(m.queue.turn(m.types.Load())...) }) // ends when each was looked at once
}

// add enters a new unit; the error has the text for the submitter.
func (m *Manager) add(u *unit) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closing:
		return errOver
	case m.graves.has(u.id):
		return controlproto.New(controlproto.NotFound, "work unit "+u.id+" was released")
	case len(m.units) >= MaxUnits:
		return controlproto.New(controlproto.Busy,
			fmt.Sprintf("this node holds %d work units, which is the limit: release some", MaxUnits))
	case m.units[u.id] != nil:
		return controlproto.New(controlproto.Exists, "work unit "+u.id+" exists already")
	}
	m.units[u.id] = u
	return nil
}

// drop forgets a unit and deletes its directory.
func (m *Manager) drop(u *unit) error {
	_, err := m.dropIf(u, func() bool { return true })
	return err
}

// dropIf is drop, unless ok, which is called with u.mu held, says no or the unit
// is gone already. It tells whether it has dropped the unit.
func (m *Manager) dropIf(u *unit, ok func() bool) (dropped bool, err error) {
	u.saveMu.Lock()
	defer u.saveMu.Unlock()
	u.mu.Lock()
	if u.removed || !ok() {
		u.mu.Unlock()
		return false, nil
	}
	u.removed = true
	switch {
	case u.live == nil:
	case !u.live.parting.IsZero(): // the driver still tells the other node
		poke(u.live.kick)
	case u.live.interrupt != nil:
		u.live.interrupt()
	}
	u.mu.Unlock()
	if u.kind == command {
		if err := m.sup.Forget(u.id); err != nil {
			m.c.Logger.Debug("supervisor keeps a released unit", "unit", u.id, "err", err)
		}
	}
	if u.chosen { // first: a crash now leaves a unit that can be released again
		m.graves.add(u.id)
	}
	if err := m.store.remove(u.id); err != nil {
		u.mu.Lock()
		u.removed = false
		u.mu.Unlock()
		return false, err
	}
	m.mu.Lock()
	if m.units[u.id] == u {
		delete(m.units, u.id)
	}
	m.mu.Unlock()
	u.mu.Lock()
	u.wakeLocked()
	u.mu.Unlock()
	if u.kind == command {
		m.leave(u)
	}
	return true, nil
}
