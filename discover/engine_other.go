//go:build !linux

package discover

import "errors"

// NewSYN is the connect engine: see synRights.
func NewSYN(o EngineOptions) Sweeper { return NewConnect(o) }

// synRights is why there is no SYN engine here.
func synRights() error { return errors.New("raw packets are sent on Linux only") }
