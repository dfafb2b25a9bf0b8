package inventory

import (
	"fmt"
	"testing"

	"relaysweep/probe"
)

func TestDelivered(t *testing.T) {
	databases(t, func(t *testing.T, name string) {
		s := open(t, name)
		one, two := probe.Delivery{Canary: "rs-a", Time: at(1), Received: []string{"from x"}}, probe.Delivery{Canary: "rs-a", Time: at(2), Bounce: true}
		for _, d := range []probe.Delivery{two, one, {Canary: "rs-b", Time: at(1)}} {
			if err := s.Deliver(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		for token, want := range map[string][]probe.Delivery{"rs-a": {one, two}, "rs-c": nil} {
			if got, err := s.Delivered(t.Context(), token); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: got %v, %v, want %v", token, got, err, want)
			}
		}
	})
}
