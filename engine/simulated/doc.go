// Package simulated is an engine without a model: it takes the time that package perf says
// an engine would take, and answers with text that says it is simulated. The same
// prompt, seed and options give the same text. Calls share one batch and one KV memory, as they would in a
// real engine; a cancelled call leaves both at once.
//
// Its tokenizer is a rule: a token is up to four bytes of UTF-8 that do not split a
// character. Input and output are counted by it, exactly; each message costs three
// tokens more. Of the sampling parameters it honours the bound on tokens, stop
// sequences, the number of choices and the seed.
//
// For tests and load, a prompt can steer the answer where Options.Directives is set:
//
//	[[echo]]                   repeats the prompt
//	[[text:WORDS]]             answers with the words
//	[[tokens:N]]               answers with N tokens
//	[[think:WORDS]]            reasons in these words before it answers
//	[[tool:NAME {"a":1}]]      calls a tool, if the request offers tools; several call several
//	[[fail:STATUS]]            fails with an HTTP status before the first byte
//	[[fail:STATUS after N]]    fails after N tokens
//	[[hang]]                   never answers
//	[[slow:N]]                 takes N steps of the engine for each token
//
// One goroutine per engine sleeps from step to step. A call has none: Next waits for its
// tokens on a channel, and the context's end is a callback. All times come from package
// time, so that everything runs in the virtual time of testing/synctest.
package simulated
