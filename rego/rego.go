// Package rego holds the policy that ships with the gateway: how a decision is
// put together, who may do what (the rbac pack), what an image may look like
// (the image pack), the library that rules lean on, the schemas of the input and
// the builtins that a rule may call.
//
// It refuses to evaluate anything: it is files. Whoever compiles policy or checks
// it may import it; it imports nothing of ours.
package rego

import "embed"

// FS is the shipped bundle: the rules beside their tests, schemas under
// schemas/input/<action>.jsonschema, and [CapabilitiesFile].
//
//go:embed decision.rego builtin.rego breakglass.rego lib rules schemas capabilities.json
var FS embed.FS

// CapabilitiesFile names, in [FS], the list of builtins that a rule may call.
// Nothing on it reads a clock, a network, an environment or chance.
const CapabilitiesFile = "capabilities.json"
