package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run implements the verb: a script of the verbs and flags of the grammar itself.
func (c *completionCmd) Run(e *env) error {
	script := bashCompletion
	if c.Shell == "fish" {
		script = fishCompletion
	}
	text := script(words(e.parser.Model.Node))
	if c.Shell == "zsh" {
		text = "autoload -U +X bashcompinit && bashcompinit\n" + text
	}
	_, err := fmt.Fprint(e.Out, text)
	return err
}

// words lists what can follow each verb: "" for the program itself, "keys", "keys create" ...
func words(program *kong.Node) map[string][]string {
	out := map[string][]string{}
	for _, verb := range program.Children {
		name := verb.Name
		out[""] = append(out[""], name)
		for _, sub := range verb.Children {
			out[name] = append(out[name], sub.Name)
			out[name+" "+sub.Name] = flags(sub)
		}
		if verb.DefaultCmd != nil { // its flags may follow at once
			verb = verb.DefaultCmd
		}
		out[name] = append(out[name], flags(verb)...)
	}
	return out
}

func flags(n *kong.Node) []string {
	var out []string
	for _, group := range n.AllFlags(true) {
		for _, f := range group {
			out = append(out, "--"+f.Name)
		}
	}
	return out
}

// bashCompletion completes by the first two words. A case of one verb and another word than a
// verb below it (an argument, a flag) completes what the verb itself takes.
func bashCompletion(words map[string][]string) string {
	var b strings.Builder
	b.WriteString("_forebay() {\n  local cur=${COMP_WORDS[COMP_CWORD]} words\n")
	fmt.Fprintf(&b, bashShape, strings.Join(shapeForms(), "\\n"))
	b.WriteString("  if [ \"$COMP_CWORD\" -eq 1 ]; then\n")
	fmt.Fprintf(&b, "    words='%s'\n  elif [ \"$COMP_CWORD\" -eq 2 ]; then\n    case ${COMP_WORDS[1]} in\n", strings.Join(words[""], " "))
	cases := func(deep bool) {
		for _, path := range slices.Backward(slices.Sorted(maps.Keys(words))) { // "keys create" before "keys"
			if verb, sub, two := strings.Cut(path, " "); path != "" && two == deep {
				pattern := verb
				if deep {
					pattern = "\"" + verb + " " + sub + "\""
				}
				fmt.Fprintf(&b, "      %s) words='%s' ;;\n", pattern, strings.Join(words[path], " "))
			}
		}
	}
	cases(false)
	b.WriteString("    esac\n  else\n    case \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in\n")
	cases(true)
	for _, verb := range words[""] {
		fmt.Fprintf(&b, "      \"%s \"*) words='%s' ;;\n", verb, strings.Join(words[verb], " "))
	}
	b.WriteString("    esac\n  fi\n  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\ncomplete -o default -F _forebay forebay\n")
	return b.String()
}

// bashShape completes the last clause of the words that --shape takes. Within quotes the words are as they are written; without, their blanks are
// escaped.
const bashShape = `  if [ "${COMP_WORDS[COMP_CWORD-1]}" = --shape ]; then
    local IFS=$'\n' text=${cur#[\"\']} clause
    clause=${text##*, }
    COMPREPLY=($(compgen -P "${text%%"$clause"}" -W $'%s' -- "$clause"))
    if [ "$text" = "$cur" ] && [ ${#COMPREPLY[@]} -gt 0 ]; then COMPREPLY=($(printf '%%q\n' "${COMPREPLY[@]}")); fi
    return
  fi
`

func fishCompletion(words map[string][]string) string {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(words)) {
		verb, sub, two := strings.Cut(path, " ")
		condition := "__fish_seen_subcommand_from " + verb
		switch {
		case path == "":
			condition = "__fish_use_subcommand"
		case two:
			condition += "; and __fish_seen_subcommand_from " + sub
		}
		fmt.Fprintf(&b, "complete -c forebay -f -n '%s' -a '%s'\n", condition, strings.Join(words[path], " "))
	}
	fmt.Fprintf(&b, "complete -c forebay -x -n '__fish_seen_subcommand_from plan' -l shape -a \"'%s'\"\n", strings.Join(shapeForms(), "' '"))
	return b.String()
}
