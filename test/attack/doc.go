// Package attack throws hostile input at a real daemon, from another process and
// for as long as it is told (environment variable ATTACK, see make attack), and
// measures all the while what an honest operator and an honest neighbour get: how
// fast `status` is answered, whether the neighbour's link and pings stay, how much
// memory the daemon takes, and whether goroutines and files go back afterwards.
//
// Everything is on loopback. What is thrown, in which order and with which
// contents, is decided by a seed, which is printed; SEED repeats it. ONLY names
// attacks, separated by commas, to run alone.
package attack
