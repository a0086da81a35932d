//go:build race

package route

// raceEnabled shortens tests that take long under the race detector.
const raceEnabled = true
