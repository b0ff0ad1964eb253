// Package simulated is an engine without a model: it takes the time that package perf says
// an engine would take, and answers with text that says it is simulated. The same
// prompt and seed give the same text. Calls share one batch, as they would in a real engine.
//
// For tests, a prompt can steer the answer where Options.Directives is set:
//
//	[[echo]]                   repeats the prompt
//	[[text:WORDS]]             answers with the words
//	[[tool:NAME {"a":1}]]      calls a tool, if the request offers tools
//	[[fail:STATUS]]            fails with an HTTP status before the first byte
//	[[fail:STATUS after N]]    fails after N tokens
//	[[hang]]                   never answers
//	[[slow:N]]                 takes N times as long, by producing each token N times slower
package simulated
