// Package archtest holds the architecture's rules as tests, which say the reason and the remedy
// when they fail: the diagram of who may import whom, what pure packages must not
// touch, the limits of files, functions and interfaces, a description of every package, one
// JSON package, and no sleeping in tests. There is no list of exceptions but those in
// the tables, each with its reason. TestRulesBite shows each rule a source that breaks it.
package archtest
