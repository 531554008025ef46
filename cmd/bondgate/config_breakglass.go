package main

import "time"

// BreakGlassConfig bounds grants for an emergency. No rule can raise these limits.
type BreakGlassConfig struct {
	Max          Duration `yaml:"max,omitempty" json:"max,omitempty" jsonschema:"description=How long a grant lasts at most (24h at most).,default=4h"`
	SecondPerson bool     `yaml:"second_person,omitempty" json:"second_person,omitempty" jsonschema:"description=A grant holds only when another person approved it; then whoever may push into a project may ask for one."`
}

// longestGlass is how long a grant can be let last: what takes longer than a day is
// no emergency but a rule that is wrong.
const longestGlass = 24 * time.Hour

func (c *BreakGlassConfig) complete() {
	if c.Max == 0 {
		c.Max = Duration(4 * time.Hour)
	}
}
