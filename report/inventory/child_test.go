package inventory

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"relaysweep/report"
)

// The environment of the other process of a test: what it does, and with what.
const (
	childDoes = "RELAYSWEEP_TEST_CHILD"
	childArgs = "RELAYSWEEP_TEST_ARGS"
)

var children = map[string]func(){"add": addMany, "open": openOnly, "full": fillDisk}

// adding is what another process adds: findings of one scan, by several goroutines.
type adding struct {
	Inventory string
	Scan      string
	First     int // of the endpoints
	Count     int
	Writers   int
	Start     time.Time
	Times     []int // minutes after Start, by the endpoint's number, again and again
	Wait      bool  // for a line before the inventory is opened
}

// endpointAt is the n-th endpoint of a test.
func endpointAt(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 25)
}

func (a *adding) time(n int) time.Time {
	if len(a.Times) == 0 {
		return a.Start
	}
	return a.Start.Add(time.Duration(a.Times[n%len(a.Times)]) * time.Minute)
}

func (a *adding) about() report.Scan {
	return report.Scan{ID: a.Scan, Vantage: "internet", Started: a.Start, Ended: a.Start.Add(time.Hour), Complete: true}
}

// addMany is the other process: it prints each endpoint when its finding is stored.
func addMany() {
	var a adding
	err := json.Unmarshal([]byte(os.Getenv(childArgs)), &a)
	if err == nil {
		if a.Wait {
			bufio.NewReader(os.Stdin).ReadString('\n')
		}
		err = a.add()
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println("done")
}

func (a *adding) add() error {
	ctx := context.Background()
	s, err := Open(ctx, a.Inventory)
	if err != nil {
		return err
	}
	defer s.Close()
	w, err := s.Begin(ctx, a.about(), "", KindScan)
	if err != nil {
		return err
	}
	defer w.Close()
	var wg sync.WaitGroup
	errs := make(chan error, a.Writers)
	for i := range a.Writers {
		wg.Go(func() {
			for n := a.First + i; n < a.First+a.Count; n += a.Writers {
				e := endpointAt(n)
				if err := w.Add(found(e.String(), n%7 == 0, a.time(n))); err != nil {
					errs <- err
					return
				}
				os.Stdout.WriteString(e.String() + "\n") // one write: a line is whole, or not there
			}
		})
	}
	wg.Wait()
	close(errs)
	if err := <-errs; err != nil {
		return err
	}
	return w.End(ctx, End{About: a.about()})
}

// openOnly is the other process: it opens the inventory and lists its scans.
func openOnly() {
	ctx := context.Background()
	s, err := Open(ctx, os.Getenv(childArgs))
	if err == nil {
		_, err = s.Scans(ctx)
		s.Close()
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println("done")
}

// child is another process of the test binary.
type child struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startChild(t *testing.T, does string, args any) *child {
	t.Helper()
	text, ok := args.(string)
	if !ok {
		b, err := json.Marshal(args)
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
	}
	c := &child{Cmd: exec.Command(os.Args[0])}
	c.Env = append(os.Environ(), childDoes+"="+does, childArgs+"="+text)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewScanner(out)
	return c
}

// lines reads what it printed to the end.
func (c *child) lines() (out []string) {
	for c.out.Scan() {
		out = append(out, c.out.Text())
	}
	c.Wait()
	return out
}
