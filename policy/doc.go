// Package policy is the language in which Bondgate decides: who asks
// ([Principal]), what for ([Request]), about which content ([Artifact]), what
// was answered ([Decision]), and the one path to an answer ([Gate]).
//
// It refuses to know how a rule is written, where a fact is stored or how a
// client is spoken to: the evaluator, the directory of people and projects and
// the recorder are interfaces that others implement.
//
// Everything of ours may import it; it imports the standard library and
// go-digest, nothing else.
package policy
