package report

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"relaysweep/discover"
	"relaysweep/discover/firewall"
	"relaysweep/probe"
)

const schemaFile = "relaysweep.schema.json"

// lineTypes are the lines of WriteJSONL. A line of a further type wants a row here.
var lineTypes = []struct {
	kind string
	line any
}{
	{"scan", scanObject{}},
	{"finding", findingObject{}},
	{"delivery", deliveryObject{}},
	{"coverage", coverageObject{}},
	{"ruleset", rulesetObject{}},
	{"reconciliation", reconciliationObject{}},
	{"rule", ruleObject{}},
	{"shadowed_rule", struct {
		head
		shadowObject
	}{}},
	{"approval", approvalObject{}},
	{"violation", violationObject{}},
	{"changes", changesObject{}},
	{"change", endpointChange{}},
	{"end", endObject{}},
}

// enums are the words of types that have few.
var enums = map[reflect.Type][]string{
	reflect.TypeFor[probe.Verdict]():  {"refused", "unknown", "accepted", "ready", "queued", "delivered"},
	reflect.TypeFor[probe.Class]():    {"relay", "sink", "catch-all", "auth-only", "closed", "not-smtp", "undetermined"},
	reflect.TypeFor[discover.State](): {"open", "closed", "filtered", "prohibited", "unreachable", "not-attempted", "failed"},
	reflect.TypeFor[Severity]():       severityNames[:],
}

// schemer makes the schema of Go types. What a name means is told by the comment behind its field, or by schemaWords.
type schemer struct {
	defs      map[string]any
	comments  map[string]string
	wordless  []string
	described map[string]bool
}

type object = map[string]any

func makeSchema(t *testing.T) ([]byte, *schemer) {
	t.Helper()
	s := &schemer{defs: object{}, comments: fieldComments(t), described: make(map[string]bool)}
	var lines []any
	for _, l := range lineTypes {
		o := s.object(l.kind, reflect.TypeOf(l.line))
		o["properties"].(object)["type"] = object{"const": l.kind, "description": "what the line is"}
		o["properties"].(object)["schema_version"] = object{"const": SchemaVersion, "description": "version of this contract: names are added to it, never changed"}
		s.defs[l.kind] = o
		lines = append(lines, object{"if": object{"properties": object{"type": object{"const": l.kind}}}, "then": object{"$ref": "#/$defs/" + l.kind}})
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": fmt.Sprintf("urn:relaysweep:jsonl:%d", SchemaVersion),
		"title":       "A line of relaysweep's JSON Lines",
		"description": "Lines of a type that is not known, and names that are not, should be ignored: later versions add some.",
		"type":        "object", "required": []string{"type", "schema_version"}, "allOf": lines, "$defs": s.defs,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), s
}

func (s *schemer) object(name string, t reflect.Type) object {
	properties, required := object{}, []string{}
	var add func(owner string, t reflect.Type)
	add = func(owner string, t reflect.Type) {
		for f := range t.Fields() {
			if f.Anonymous {
				add(f.Type.Name(), f.Type)
				continue
			}
			key, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			ft := f.Type
			if options == "omitempty" && ft.Kind() == reflect.Pointer {
				ft = ft.Elem() // left out, and never null
			} else if options == "" {
				required = append(required, key)
			}
			p := s.of(ft)
			if d := s.words(owner+"."+f.Name, strings.TrimSuffix(owner, "Object")+"."+key); d != "" {
				p["description"] = d
			}
			properties[key] = p
		}
	}
	add(t.Name(), t)
	o := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		slices.Sort(required)
		o["required"] = required
	}
	if d := schemaWords[name]; d != "" {
		s.described[name] = true
		o["description"] = d
	}
	return o
}

func (s *schemer) words(field, name string) string {
	if d := schemaWords[name]; d != "" {
		s.described[name] = true
		return d
	}
	if d := s.comments[field]; d != "" {
		return d
	}
	s.wordless = append(s.wordless, name)
	return ""
}

func (s *schemer) of(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[timestamp]():
		return object{"type": "string", "format": "date-time"}
	case enums[t] != nil:
		return object{"type": "string", "enum": enums[t]}
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return object{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return object{"anyOf": []any{s.of(t.Elem()), object{"type": "null"}}}
	case reflect.Struct:
		name := strings.TrimSuffix(t.Name(), "Object")
		if s.defs[name] == nil {
			s.defs[name] = object{} // it may hold itself
			s.defs[name] = s.object(name, t)
		}
		return object{"$ref": "#/$defs/" + name}
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Uint16:
		return object{"type": "integer", "minimum": 0, "maximum": 65535}
	case reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	}
	return object{} // whatever it is
}

// fieldComments are the comments of the package's struct fields, by type and field.
func fieldComments(t *testing.T) map[string]string {
	t.Helper()
	out := make(map[string]string)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if st, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range st.Fields.List {
					text := field.Comment.Text()
					if text == "" {
						text = field.Doc.Text()
					}
					for _, name := range field.Names {
						out[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(text), " ")
					}
				}
			}
			return true
		})
	}
	return out
}

// broken lists what a schema no longer promises that an older one did: names that are gone, and types that changed.
func broken(path string, before, after any) []string {
	switch b := before.(type) {
	case object:
		a, ok := after.(object)
		if !ok {
			return []string{path + " is something else"}
		}
		var out []string
		for _, k := range slices.Sorted(maps.Keys(b)) {
			if k == "description" || k == "title" {
				continue
			}
			if _, ok := a[k]; !ok {
				out = append(out, path+"/"+k+" is gone")
				continue
			}
			out = append(out, broken(path+"/"+k, b[k], a[k])...)
		}
		return out
	case []any:
		a, _ := after.([]any)
		var out []string
		for _, e := range b {
			if !slices.ContainsFunc(a, func(x any) bool { return len(broken("", e, x)) == 0 }) {
				out = append(out, fmt.Sprintf("%s: %v is gone", path, e))
			}
		}
		return out
	}
	if !reflect.DeepEqual(before, after) {
		return []string{fmt.Sprintf("%s was %v and is %v", path, before, after)}
	}
	return nil
}

func decode(t *testing.T, b []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The schema is the one of the types. Writing it anew refuses to take a name away, or to change what it holds.
func TestSchemaIsThatOfTheTypes(t *testing.T) {
	want, s := makeSchema(t)
	if len(s.wordless) > 0 {
		t.Errorf("say what they mean, by a comment behind the field or in schemaWords: %q", s.wordless)
	}
	for name := range schemaWords {
		if !s.described[name] {
			t.Errorf("schemaWords describes %s, which is not there", name)
		}
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if lost := broken("", decode(t, got), decode(t, want)); len(lost) > 0 {
		t.Fatalf("names are a contract (DESIGN.md 6), and these are broken:\n%s", strings.Join(lost, "\n"))
	}
	if *update {
		if err := os.WriteFile(schemaFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(got, want) {
		t.Errorf("%s differs; look at it, then go test ./report -update\n%s", schemaFile, firstDifference(want, got))
	} else if out := render(t, func(w io.Writer, _ *Report) error { return WriteSchema(w) }, nil); out != string(got) {
		t.Error("what is printed is not the file")
	}
}

func TestBrokenContracts(t *testing.T) {
	of := func(properties, required string) any {
		return decode(t, []byte(`{"$defs":{"end":{"description":"d","type":"object","properties":{`+properties+`},"required":[`+required+`]}}}`))
	}
	const exit, verdict = `"exit":{"type":"integer","description":"code"}`, `"verdict":{"type":"string","enum":["refused","ready"]}`
	before := of(exit+","+verdict+`,"approval":{}`, `"exit"`)
	for _, tt := range []struct {
		name string
		now  any
		want string
	}{
		{"nothing changed", before, ""},
		{"a name was added", of(exit+","+verdict+`,"approval":{},"new":{"type":"string"}`, `"exit","new"`), ""},
		{"a word was added", of(exit+`,"verdict":{"type":"string","enum":["refused","queued","ready"]},"approval":{}`, `"exit"`), ""},
		{"a description was bettered", of(`"exit":{"type":"integer","description":"exit code"},`+verdict+`,"approval":{}`, `"exit"`), ""},
		{"what could be anything is told", of(exit+","+verdict+`,"approval":{"type":"object"}`, `"exit"`), ""},
		{"a name is gone", of(exit+`,"approval":{}`, `"exit"`), "/$defs/end/properties/verdict is gone"},
		{"a name is another", of(`"code":{"type":"integer"},`+verdict+`,"approval":{}`, `"code"`), "/$defs/end/properties/exit is gone /$defs/end/required: exit is gone"},
		{"a type is another", of(`"exit":{"type":"string"},`+verdict+`,"approval":{}`, `"exit"`), "/$defs/end/properties/exit/type was integer and is string"},
		{"a word is gone", of(exit+`,"verdict":{"type":"string","enum":["refused"]},"approval":{}`, `"exit"`), "/$defs/end/properties/verdict/enum: ready is gone"},
		{"what stood there always may be left out", of(exit+","+verdict+`,"approval":{}`, ""), "/$defs/end/required: exit is gone"},
	} {
		if got := strings.Join(broken("", before, tt.now), " "); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// published is the schema of the file: with -update it is newer than the one that was built in.
func published(t *testing.T) object {
	t.Helper()
	b, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, b).(object)
}

// validator is the published schema. A strict one knows no names and types but those that it tells.
func validator(t *testing.T, strict bool) func(line any) error {
	t.Helper()
	doc := published(t)
	if strict {
		kinds := []any{}
		for _, l := range lineTypes {
			kinds = append(kinds, l.kind)
		}
		doc["properties"] = object{"type": object{"enum": kinds}}
		for _, d := range doc["$defs"].(object) {
			d.(object)["additionalProperties"] = false
		}
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled.Validate
}

// rich has what the other fixtures lack: the names that are left out where there is nothing to say.
func rich(t *testing.T) *Report {
	a := attempt("I2", "rs-aaaaaaaaaaaaaaaaaaaa", ok, taken)
	a.Before, a.Params, a.Source, a.Bounced = []probe.Exchange{{Line: "AUTH PLAIN", Reply: r("235 ok")}}, "BODY=8BITMIME", "203.0.113.11", true
	f := finding("192.0.2.1:25", "Postfix", "Postfix", "3.4.13", "mx.org.example", a)
	f.Crowd, f.Help, f.Behind, f.EndsData, f.Injected, f.Source = []uint16{25, 26}, []string{"214 help"}, "PROXY", []string{"LF . LF"}, true, "203.0.113.11"
	f.RandomLocal, f.RandomForeign = taken, taken // so that it may be a sink
	failed := finding("192.0.2.2:465", "", "", "", "")
	failed.TLS = &probe.TLS{Mode: "implicit", Error: "handshake failure"}
	unnamed := probe.Finding{Addr: netip.MustParseAddrPort("192.0.2.3:25"), TLS: &probe.TLS{Mode: "implicit", Version: "TLS 1.3"}}
	out := New(Input{Scan: scan(), Findings: []probe.Finding{f, failed, unnamed}, Coverage: []discover.CoverageRow{{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Port: 25}}})
	out.Rules = ruled(t).Rules
	for _, l := range []*Line{&out.Rules.Openings[0].Line, &out.Rules.Shadowed[0].Line} {
		l.Created, l.Changed, l.Packet = firewall.Change{By: "netops", Time: began}, firewall.Change{By: "netops"}, "answer"
	}
	return out
}

func TestLinesKeepToTheSchema(t *testing.T) {
	outputs := make(map[string]string)
	golden, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(golden) < 3 {
		t.Fatalf("%v: golden files %q", err, golden)
	}
	for _, file := range golden {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		outputs[file] = string(b)
	}
	for i, report := range append([]*Report{rich(t), everywhere(), ruled(t), bare(), quiet(), New(Input{}), New(Input{Findings: []probe.Finding{{}}})}, markedAll()...) {
		outputs[fmt.Sprint("report ", i)] = render(t, WriteJSONL, report)
	}
	lenient, strict := validator(t, false), validator(t, true)
	written := make(map[string]bool)
	for name, out := range outputs {
		for line := range strings.Lines(out) {
			v := decode(t, []byte(line))
			if err := lenient(v); err != nil {
				t.Errorf("%s: %v\n%.200s", name, err, line)
			}
			if err := strict(v); err != nil {
				t.Errorf("%s: %v\n%.200s", name, err, line)
			}
			note(written, v.(object)["type"].(string), v)
		}
	}
	// What the schema tells of and nothing writes would stand there unproved.
	for _, l := range lineTypes {
		for key := range published(t)["$defs"].(object)[l.kind].(object)["properties"].(object) {
			if !written[l.kind+"."+key] {
				t.Errorf("no fixture has %s.%s", l.kind, key)
			}
		}
	}
}

func note(written map[string]bool, kind string, line any) {
	for key := range line.(object) {
		written[kind+"."+key] = true
	}
}

// The schema refuses what it should.
func TestSchemaFindsFaults(t *testing.T) {
	lines := strings.SplitAfter(render(t, WriteJSONL, full()), "\n")
	finding := lines[slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, `"type":"finding"`) })]
	lenient, strict := validator(t, false), validator(t, true)
	for _, tt := range []struct {
		name              string
		change            func(object)
		published, strict bool // whether it passes
	}{
		{"as it is", func(object) {}, true, true},
		{"a name more", func(o object) { o["new"] = 1 }, true, false},
		{"a name more within", func(o object) { o["service"].(object)["new"] = 1 }, true, false},
		{"another type of line", func(o object) { o["type"] = "novel" }, true, false},
		{"a name less", func(o object) { delete(o, "verdict") }, false, false},
		{"a name less within", func(o object) { delete(o["fix"].(object), "server") }, false, false},
		{"no list", func(o object) { o["names"] = nil }, false, false},
		{"no such verdict", func(o object) { o["verdict"] = "perhaps" }, false, false},
		{"no such port", func(o object) { o["port"] = json.Number("65536") }, false, false},
		{"no time", func(o object) { o["timestamp"] = "yesterday" }, false, false},
		{"another version", func(o object) { o["schema_version"] = json.Number("2") }, false, false},
		{"no type", func(o object) { delete(o, "type") }, false, false},
	} {
		o := decode(t, []byte(finding)).(object)
		tt.change(o)
		if got := lenient(o) == nil; got != tt.published {
			t.Errorf("%s: the published schema passes it: %v", tt.name, got)
		}
		if got := strict(o) == nil; got != tt.strict {
			t.Errorf("%s: the strict schema passes it: %v", tt.name, got)
		}
	}
}
