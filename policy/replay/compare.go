package replay

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/bondgate/bondgate/policy"
)

// appendDecision appends a decision in the one form in which equal answers are
// equal bytes: keys sorted, nothing left out, without the id and the revision,
// which are not part of the answer. A list that is not there is an empty one.
func appendDecision(b []byte, d *policy.Decision) []byte {
	b = member(b, `{"breakglass":`, d.BreakGlass)
	b = appendList(append(b, `,"deny":`...), d.Deny, appendReason)
	b = appendList(append(b, `,"dryrun":`...), d.Dryrun, appendReason)
	b = appendList(append(b, `,"granted":`...), d.Granted, appendScope)
	b = member(b, `,"message":`, d.Message)
	b = appendList(append(b, `,"obligations":`...), d.Obligations, appendObligation)
	b = strconv.AppendInt(append(b, `,"retry_after_ms":`...), d.RetryAfter.Milliseconds(), 10)
	b = member(b, `,"verdict":`, d.Verdict.String())
	b = strconv.AppendBool(append(b, `,"visible":`...), d.Visible)
	b = appendList(append(b, `,"waived":`...), d.Waived, appendWaived)
	b = appendList(append(b, `,"warn":`...), d.Warn, appendReason)
	return append(b, '}')
}

func appendReason(b []byte, r *policy.Reason) []byte {
	b = member(b, `{"code":`, r.Code)
	b = member(b, `,"effective_on":`, r.EffectiveOn)
	b = member(b, `,"mode":`, r.Mode)
	b = member(b, `,"msg":`, r.Message)
	b = member(b, `,"pack":`, r.Pack)
	b = member(b, `,"remediation":`, r.Remediation)
	b = member(b, `,"severity":`, r.Severity)
	b = member(b, `,"term":`, r.Term)
	return append(b, '}')
}

func appendWaived(b []byte, w *policy.Waived) []byte {
	b = member(b, `{"code":`, w.Code)
	b = member(b, `,"term":`, w.Term)
	b = member(b, `,"waiver":`, w.Waiver)
	return append(b, '}')
}

func appendScope(b []byte, s *policy.Scope) []byte {
	b = appendList(append(b, `{"actions":`...), s.Actions, func(b []byte, a *string) []byte { return appendText(b, *a) })
	b = member(b, `,"name":`, s.Name)
	b = member(b, `,"type":`, s.Type)
	return append(b, '}')
}

func appendObligation(b []byte, o *policy.Obligation) []byte {
	b = append(b, `{"fields":`...)
	if len(o.Fields) == 0 {
		b = append(b, "{}"...)
	} else {
		b = appendValue(b, o.Fields)
	}
	b = member(b, `,"type":`, o.Type)
	return append(b, '}')
}

func appendList[T any](b []byte, list []T, one func([]byte, *T) []byte) []byte {
	b = append(b, '[')
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = one(b, &list[i])
	}
	return append(b, ']')
}

func member(b []byte, key, value string) []byte { return appendText(append(b, key...), value) }

// appendText writes what needs no escape by itself: that is nearly all.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f || c == '<' || c == '>' || c == '&' {
			raw, _ := json.Marshal(s) // a string is always JSON
			return append(b, raw...)
		}
	}
	b = append(append(b, '"'), s...)
	return append(b, '"')
}

// appendValue writes what an obligation holds: JSON values, as a rule made them or
// as a record gave them back.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		b = append(b, '{')
		for i, k := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(append(appendText(b, k), ':'), v[k])
		}
		return append(b, '}')
	case []any:
		return appendList(b, v, func(b []byte, v *any) []byte { return appendValue(b, *v) })
	case string:
		return appendText(b, v)
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return append(b, v...)
		}
		return appendNumber(b, f)
	case float64:
		return appendNumber(b, v)
	default:
		raw, err := json.Marshal(v)
		if err != nil {
			return fmt.Appendf(b, "%q", err)
		}
		return append(b, raw...)
	}
}

// appendNumber writes a number as a record that was read holds it: a double.
func appendNumber(b []byte, f float64) []byte {
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return strconv.AppendInt(b, int64(f), 10)
	}
	return strconv.AppendFloat(b, f, 'g', -1, 64)
}

// firstDifference names the first field, in the order of the form, in which two
// decisions differ: "deny[0].msg".
func firstDifference(was, now []byte) string {
	var a, b any
	if json.Unmarshal(was, &a) != nil || json.Unmarshal(now, &b) != nil {
		return "?"
	}
	at, _ := differ("", a, b)
	return at
}

func differ(at string, a, b any) (string, bool) {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			return at, true
		}
		keys := maps.Clone(x)
		maps.Copy(keys, y)
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			if where, yes := differ(below(at, k), x[k], y[k]); yes {
				return where, true
			}
		}
		return "", false
	case []any:
		y, ok := b.([]any)
		if !ok {
			return at, true
		}
		for i := range min(len(x), len(y)) {
			if where, yes := differ(fmt.Sprintf("%s[%d]", at, i), x[i], y[i]); yes {
				return where, true
			}
		}
		if len(x) != len(y) {
			return fmt.Sprintf("%s[%d]", at, min(len(x), len(y))), true
		}
		return "", false
	default:
		return at, a != b
	}
}

func below(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}
