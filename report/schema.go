package report

import (
	_ "embed"
	"io"
)

// schema is made of the types that WriteJSONL writes, by make golden.
//
//go:embed relaysweep.schema.json
var schema string

// WriteSchema writes the JSON Schema (draft 2020-12) of a line of WriteJSONL. Readers should ignore names and types that
// they don't know: later versions of the same schema_version add some.
func WriteSchema(w io.Writer) error {
	_, err := io.WriteString(w, schema)
	return err
}
