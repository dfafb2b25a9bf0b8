package main

import (
	"encoding/json"
	"net"
	"net/http"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdNetBox: netbox FILE ADDRESS:PORT TOKEN. It answers as NetBox does, from a JSON object of answers by path, and keeps
// score: asked counts the paths.
func cmdNetBox(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "netbox")
	if len(args) != 3 {
		ts.Fatalf("usage: netbox FILE ADDRESS:PORT TOKEN")
	}
	var answers map[string]json.RawMessage
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &answers))
	score := new(zone)
	l, err := net.Listen("tcp", args[1])
	ts.Check(err)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		score.mu.Lock()
		score.asked = append(score.asked, r.URL.Path)
		score.mu.Unlock()
		switch b, ok := answers[r.URL.Path]; {
		case r.Header.Get("Authorization") != "Token "+args[2]:
			w.WriteHeader(http.StatusForbidden)
		case !ok:
			http.NotFound(w, r)
		default:
			w.Write(b)
		}
	})}
	go srv.Serve(l)
	ts.Defer(func() { srv.Close() })
	ts.Value(zonesKey{}).(map[string]*zone)[args[1]] = score
}
