// Package meshtest helps to test the mesh: many nodes in one process
// ([Mesh]), and one node whose only neighbours are the test ([Harness]).
//
// Both work over in-memory links and are meant for testing/synctest bubbles,
// where minutes pass in milliseconds. They start goroutines, all of which end
// in a cleanup of the test.
package meshtest
