package inventory

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if do := children[os.Getenv(childDoes)]; do != nil { // the other process of a test
		do()
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		running.stop("immediate")
		running.remove()
		os.Exit(code)
	}))
}
