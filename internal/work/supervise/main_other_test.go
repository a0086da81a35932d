//go:build !linux

package supervise

func testDaemon([]string) int { return 2 }
