//go:build !unix

package harness

func freeze([]int) {}
