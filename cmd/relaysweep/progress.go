package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// statsInterval is how often a line tells how far the scan is, where stderr is no terminal.
const statsInterval = 5 * time.Second

// progressBar shows on stderr how far a scan is: bars on a terminal, a line now and then elsewhere.
type progressView struct {
	done chan struct{}
	wg   sync.WaitGroup
}

func newProgress(sc *scanning) *progressView {
	v := &progressView{done: make(chan struct{})}
	f, isFile := sc.talk.(*os.File)
	switch {
	case sc.talk == io.Discard:
	case isFile && term.IsTerminal(int(f.Fd())):
		v.wg.Go(func() { v.bars(sc, f) })
	default:
		v.wg.Go(func() { v.lines(sc) })
	}
	return v
}

func (v *progressView) stop() {
	close(v.done)
	v.wg.Wait()
}

func (v *progressView) lines(sc *scanning) {
	tick := time.NewTicker(statsInterval)
	defer tick.Stop()
	for {
		select {
		case <-v.done:
			return
		case <-tick.C:
			fmt.Fprintf(sc.talk, "  %s, %d open, %d of them probed\n", sc.progress(), sc.opened.Load(), sc.probed.Load())
		}
	}
}

func (v *progressView) bars(sc *scanning, f *os.File) {
	p := mpb.New(mpb.WithOutput(f), mpb.WithWidth(40), mpb.WithAutoRefresh())
	bar := func(name string) *mpb.Bar {
		return p.AddBar(0, mpb.PrependDecorators(decor.Name(name, decor.WCSyncSpaceR), decor.CountersNoUnit("%d/%d", decor.WCSyncSpace)))
	}
	targets, services := bar("targets"), bar("services")
	set := func() {
		looked, of := sc.coverageSum()
		targets.SetTotal(int64(of), false)
		targets.SetCurrent(int64(looked))
		services.SetTotal(int64(sc.opened.Load()), false)
		services.SetCurrent(int64(sc.probed.Load()))
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-v.done:
			running = false
		case <-tick.C:
		}
		set()
	}
	targets.Abort(false)
	services.Abort(false)
	p.Wait()
}
