package dialect

import (
	"strings"

	"forebay/infer"
)

// Published prompt templates, in both directions. Sources: Meta, "Llama 3 model card and
// prompt formats" and "Llama 2 prompt format"; Mistral AI, "Instruct template";
// deepseek-ai/DeepSeek-R1 tokenizer configuration; Bedrock user guide, "Amazon Titan Text
// prompt engineering" (User: and Bot:).

// parseTemplate takes a prompt apart into system prompt and turns when it is exactly in
// one of the templates and ends where the model is to speak.
func parseTemplate(p string) (system string, turns []infer.Message, ok bool) {
	for _, parse := range []func(string) (string, []infer.Message, bool){parseLlama3, parseInstruct, parseDeepSeek, parseTitan} {
		if system, turns, ok = parse(p); ok && len(turns) > 0 && turns[0].Role == infer.RoleUser {
			return system, turns, true
		}
	}
	return "", nil, false
}

// marks are what only the templates have, Titan's apart, which are words of any text.
var marks = []string{
	llamaBegin, llamaHeader, llamaEOT, "[INST]", "[/INST]", "<<SYS>>", deepSeekBegin, deepSeekUser, deepSeekSpeak,
}

// templateMark returns the first mark of a template in a prompt; "" when there is none.
func templateMark(p string) string {
	at, first := len(p), ""
	for _, m := range marks {
		if i := strings.Index(p[:at], m); i >= 0 {
			at, first = i, m
		}
	}
	return first
}

func textTurn(role infer.Role, text string) infer.Message {
	return infer.Message{Role: role, Content: []infer.Block{{Kind: infer.BlockText, Text: text}}}
}

const (
	llamaBegin  = "<|begin_of_text|>"
	llamaHeader = "<|start_header_id|>"
	llamaEnd    = "<|end_header_id|>\n\n"
	llamaEOT    = "<|eot_id|>"
)

func renderLlama(system string, turns []infer.Message) string {
	var b strings.Builder
	b.WriteString(llamaBegin)
	turn := func(role, text string) { b.WriteString(llamaHeader + role + llamaEnd + text + llamaEOT) }
	if system != "" {
		turn("system", system)
	}
	for _, m := range turns {
		turn(string(m.Role), joinText(m.Content))
	}
	b.WriteString(llamaHeader + "assistant" + llamaEnd)
	return b.String()
}

func parseLlama3(p string) (system string, turns []infer.Message, ok bool) {
	p = strings.TrimPrefix(strings.TrimLeft(p, " \n"), llamaBegin)
	for {
		var role, text string
		if p, ok = strings.CutPrefix(strings.TrimLeft(p, "\n"), llamaHeader); !ok {
			return "", nil, false
		}
		if role, p, ok = strings.Cut(p, "<|end_header_id|>"); !ok {
			return "", nil, false
		}
		last := false
		if text, p, ok = strings.Cut(p, llamaEOT); !ok {
			text, last = text+p, true
		}
		text = strings.Trim(text, "\n") // the template's own line ends, of which writers differ
		switch {
		case last:
			return system, turns, role == "assistant" && strings.TrimSpace(text) == ""
		case role == "system" && len(turns) == 0 && system == "":
			system = text
		case role == "user" || role == "assistant":
			turns = append(turns, textTurn(infer.Role(role), text))
		default:
			return "", nil, false
		}
	}
}

func renderMistral(system string, turns []infer.Message) string {
	var b strings.Builder
	b.WriteString("<s>")
	for i, m := range turns {
		text := joinText(m.Content)
		if m.Role == infer.RoleAssistant {
			b.WriteString(" " + text + "</s>")
			continue
		}
		if i == 0 && system != "" {
			text = system + "\n\n" + text
		}
		b.WriteString("[INST] " + text + " [/INST]")
	}
	return b.String()
}

// parseInstruct reads the template of Mistral and of Llama 2, which puts the system
// prompt into the first instruction.
func parseInstruct(p string) (system string, turns []infer.Message, ok bool) {
	p = strings.TrimPrefix(strings.TrimSpace(p), "<s>")
	for {
		var text string
		p = strings.TrimPrefix(strings.TrimLeft(p, " \n"), "<s>")
		if p, ok = strings.CutPrefix(strings.TrimLeft(p, " \n"), "[INST]"); !ok {
			return "", nil, false
		}
		if text, p, ok = strings.Cut(p, "[/INST]"); !ok {
			return "", nil, false
		}
		text = trimOne(text)
		if rest, found := strings.CutPrefix(strings.TrimLeft(text, " \n"), "<<SYS>>"); found && len(turns) == 0 {
			if system, text, ok = strings.Cut(rest, "<</SYS>>"); !ok {
				return "", nil, false
			}
			system, text = strings.TrimSpace(system), strings.TrimLeft(text, "\n ")
		}
		turns = append(turns, textTurn(infer.RoleUser, text))
		if strings.TrimSpace(p) == "" {
			return system, turns, true
		}
		if text, p, ok = strings.Cut(p, "</s>"); !ok {
			return "", nil, false
		}
		turns = append(turns, textTurn(infer.RoleAssistant, trimOne(text)))
	}
}

// trimOne takes the one space off either end that the template puts there.
func trimOne(s string) string { return strings.TrimSuffix(strings.TrimPrefix(s, " "), " ") }

const (
	deepSeekBegin = "<｜begin▁of▁sentence｜>"
	deepSeekUser  = "<｜User｜>"
	deepSeekSpeak = "<｜Assistant｜>"
	deepSeekEnd   = "<｜end▁of▁sentence｜>"
)

func renderDeepSeek(system string, turns []infer.Message) string {
	var b strings.Builder
	b.WriteString(deepSeekBegin + system)
	for _, m := range turns {
		if m.Role == infer.RoleAssistant {
			b.WriteString(deepSeekSpeak + joinText(m.Content) + deepSeekEnd)
			continue
		}
		b.WriteString(deepSeekUser + joinText(m.Content))
	}
	b.WriteString(deepSeekSpeak + "<think>\n")
	return b.String()
}

func parseDeepSeek(p string) (system string, turns []infer.Message, ok bool) {
	p = strings.TrimPrefix(p, deepSeekBegin)
	if system, p, ok = strings.Cut(p, deepSeekUser); !ok {
		return "", nil, false
	}
	for {
		var text string
		if text, p, ok = strings.Cut(p, deepSeekSpeak); !ok {
			return "", nil, false
		}
		turns = append(turns, textTurn(infer.RoleUser, text))
		if rest := strings.TrimSpace(p); rest == "" || rest == "<think>" {
			return system, turns, true
		}
		if text, p, ok = strings.Cut(p, deepSeekEnd); !ok {
			return "", nil, false
		}
		turns = append(turns, textTurn(infer.RoleAssistant, text))
		if p, ok = strings.CutPrefix(p, deepSeekUser); !ok {
			return "", nil, false
		}
	}
}

func renderTitan(system string, turns []infer.Message) string {
	var b strings.Builder
	if system != "" {
		b.WriteString(system + "\n\n")
	}
	for _, m := range turns {
		who := "User: "
		if m.Role == infer.RoleAssistant {
			who = "Bot: "
		}
		b.WriteString(who + joinText(m.Content) + "\n")
	}
	b.WriteString("Bot:")
	return b.String()
}

func parseTitan(p string) (system string, turns []infer.Message, ok bool) {
	p, ok = strings.CutSuffix(strings.TrimRight(p, " \n"), "\nBot:")
	if !ok {
		return "", nil, false
	}
	rest, ok := strings.CutPrefix(p, "User: ")
	if !ok {
		if system, rest, ok = strings.Cut(p, "\n\nUser: "); !ok {
			return "", nil, false
		}
	}
	role, next := infer.RoleUser, "\nBot: "
	for {
		text, after, more := strings.Cut(rest, next)
		turns = append(turns, textTurn(role, text))
		if !more {
			return system, turns, role == infer.RoleUser
		}
		rest = after
		if role == infer.RoleUser {
			role, next = infer.RoleAssistant, "\nUser: "
		} else {
			role, next = infer.RoleUser, "\nBot: "
		}
	}
}
