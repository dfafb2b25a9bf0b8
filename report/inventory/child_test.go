package inventory

// The environment of the other process of a test: what it does, and to which inventory.
const (
	childDoes = "RELAYSWEEP_TEST_CHILD"
	childArgs = "RELAYSWEEP_TEST_ARGS"
)

var children = map[string]func(){}
