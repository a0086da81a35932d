package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
)

// bashScript completes for bash without any help of others; %[1]s is the name of
// the program. The words are those of Suggest and of the tools.
const bashScript = `_%[1]s()
{
    local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" word
    COMPREPLY=()
    case "$prev" in
        --config|-c|=)
            while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$cur")
            return ;;
    esac
    if [ "$cur" = "=" ]; then
        while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f)
        return
    fi
    while IFS= read -r word; do
        case "$word" in
            :*) ;;
            "$cur"*) COMPREPLY+=("$word") ;;
        esac
    done < <("${COMP_WORDS[0]}" __completeNoDesc "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    if [ ${#COMPREPLY[@]} -eq 1 ] && [ "${COMPREPLY[0]%%=}" != "${COMPREPLY[0]}" ]; then
        compopt -o nospace
    fi
}
complete -F _%[1]s %[1]s
`

var programName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// printBashCompletion prints the script for the name that the program was called
// by, as ansible/receptor does.
func printBashCompletion(stdout io.Writer) error {
	name := filepath.Base(os.Args[0])
	if !programName.MatchString(name) {
		name = "receptor"
	}
	_, err := fmt.Fprintf(stdout, bashScript, name)
	return err
}
