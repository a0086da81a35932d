package work

import (
	"context"
	"time"
)

// The pauses between attempts to do something that fails (spec work 7.3).
const (
	firstPause  = time.Second
	pauseFactor = 1.5
	lastPause   = time.Minute
)

// backoff makes the pauses of one series of attempts.
type backoff struct{ pause time.Duration }

func newBackoff() *backoff { return &backoff{firstPause} }

// reset makes the next pause the shortest.
func (b *backoff) reset() { b.pause = firstPause }

// limit shortens the next pause.
func (b *backoff) limit(most time.Duration) { b.pause = min(b.pause, most) }

// wait pauses; a value from kick ends the pause at once. It is false when ctx
// has ended.
func (b *backoff) wait(ctx context.Context, kick <-chan struct{}) bool {
	return b.until(ctx, kick, time.Time{})
}

// until is wait, but not beyond a deadline that is not zero.
func (b *backoff) until(ctx context.Context, kick <-chan struct{}, deadline time.Time) bool {
	pause := b.pause
	if !deadline.IsZero() {
		pause = max(0, min(pause, time.Until(deadline)))
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	b.pause = min(time.Duration(float64(b.pause)*pauseFactor), lastPause)
	select {
	case <-timer.C:
	case <-kick: // there is a reason to hope
		b.reset()
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
