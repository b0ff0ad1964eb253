package trace

import (
	"slices"
	"strings"

	"forebay/workload"
)

// meaning is what a column can be.
type meaning string

const (
	isTime   meaning = "time"
	isInput  meaning = "input"
	isCached meaning = "cached"
	isOutput meaning = "output"
	isMax    meaning = "max"
	isTenant meaning = "tenant"
)

var meanings = []meaning{isTime, isInput, isCached, isOutput, isMax, isTenant}

// names are those that columns have in traces that are published and in logs that are common, in the order in which they are preferred:
// AzurePublicDataset (TIMESTAMP, ContextTokens, GeneratedTokens), BurstGPT (Timestamp, Request tokens, Response tokens, Session ID), Mooncake (timestamp,
// input_length, output_length), VTC (req_time, prompt_len, output_len, adapter_dir), vLLM benchmarks (arrival_time, input_toks, output_toks), LiteLLM
// spend logs (startTime, prompt_tokens, completion_tokens, user), Bedrock's invocation logs (timestamp, inputTokenCount, outputTokenCount).
var names = map[meaning][]string{
	isTime:   {"timestamp", "arrivaltime", "arrivedat", "arrival", "reqtime", "starttime", "time", "createdat", "created", "date", "ts"},
	isInput:  {"contexttokens", "requesttokens", "inputlength", "prompttokens", "promptlen", "inputtokens", "inputtoks", "inputtokencount", "input", "prompt"},
	isCached: {"cachedtokens", "cachereadinputtokens", "cachereadinputtokencount", "cached"},
	isOutput: {"generatedtokens", "responsetokens", "outputlength", "completiontokens", "outputlen", "outputtokens", "outputtoks", "outputtokencount", "output", "completion"},
	isMax:    {"maxtokens", "maxoutputtokens", "maxcompletiontokens"},
	isTenant: {"tenant", "adapterdir", "user", "userid", "sessionid", "apikey", "team", "account", "accountid"},
}

// plain is a name without case and signs.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return -1
	}, name)
}

// assign finds the column of each meaning; -1 is none.
func (s *source) assign(header []string) (map[meaning]int, error) {
	out, told := map[meaning]int{}, map[meaning]bool{}
	for m, name := range s.opt.Columns {
		at := slices.Index(header, name)
		if !slices.Contains(meanings, meaning(m)) {
			return nil, s.invalid("a column cannot be %q: it is time, input, cached, output, max or tenant", m)
		}
		if at < 0 {
			return nil, s.invalid("there is no column %q; there are %s", name, strings.Join(header, ", "))
		}
		out[meaning(m)], told[meaning(m)] = at, true
	}
	for _, m := range meanings {
		if told[m] {
			continue
		}
		out[m] = -1
		for _, name := range names[m] {
			if at := slices.IndexFunc(header, func(h string) bool { return plain(h) == name }); at >= 0 {
				out[m] = at
				break
			}
		}
	}
	if s.info.Columns == nil {
		for i, h := range header {
			c := workload.Column{Name: h}
			for _, m := range meanings {
				if out[m] == i {
					c.Meaning, c.Guessed = string(m), !told[m]
				}
			}
			s.info.Columns = append(s.info.Columns, c)
		}
	}
	for _, m := range []meaning{isTime, isInput, isOutput} {
		if out[m] < 0 {
			return nil, s.invalid("no column is known to be the %s; there are %s: say which (--columns %s=NAME)", m, strings.Join(header, ", "), m)
		}
	}
	return out, nil
}
