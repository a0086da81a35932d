package work

import "github.com/google/shlex"

// joinParams makes the one parameter string of a command out of the configured
// and the submitted part (spec work 5.2). Quotes opened in one may close in the
// other.
func joinParams(configured, submitted string) string {
	switch {
	case configured == "":
		return submitted
	case submitted == "":
		return configured
	}
	return configured + " " + submitted
}

// splitParams makes arguments of a parameter string. The error's text is the
// unit's Detail.
func splitParams(params string) ([]string, error) {
	return shlex.Split(params)
}
