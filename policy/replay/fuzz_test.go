package replay

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// What is read of an input is what it says, whole or in part, and no input is too
// much.
func FuzzAnInputIsReadAsItSays(f *testing.F) {
	f.Add(`{"a":{"b":[1,2.50,1e400,{"c":null}],"d":"x"},"time":{"ns":1790000000000000001}}`)
	f.Add(`{"a":1,"a":{"b":true}}`)
	f.Add(`{"a":` + strings.Repeat(`[`, 300) + strings.Repeat(`]`, 300) + `}`)
	f.Add("{\"a\":\"\xff\\ud800\"} {}")
	f.Fuzz(func(t *testing.T, text string) {
		r := newReader()
		got, err := r.document([]byte(text), everything)
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		var want map[string]any
		wantErr := dec.Decode(&want)
		if err == nil && (wantErr != nil || !reflect.DeepEqual(got, want)) {
			t.Fatalf("%q is read as %v, and is %v, %v", text, got, want, wantErr)
		}
		// A part of what can be read can be read, and is that part.
		part, partErr := r.document([]byte(text), wantedOf([]string{"a.b", "time"}))
		if err != nil {
			return
		}
		if partErr != nil {
			t.Fatal(partErr)
		}
		same := func(x, y any) bool {
			a, _ := json.Marshal(x)
			b, _ := json.Marshal(y)
			return bytes.Equal(a, b)
		}
		if !same(part["time"], got["time"]) {
			t.Fatalf("%v of %v", part, got)
		}
		if whole, ok := got["a"].(map[string]any); ok {
			a, _ := part["a"].(map[string]any)
			if !same(a["b"], whole["b"]) {
				t.Fatalf("%v of %v", part, got)
			}
		}
	})
}
