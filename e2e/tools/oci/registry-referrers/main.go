// A registry in memory that has the referrers API, which distribution v3.1 lacks.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	address := flag.String("address", "127.0.0.1:0", "address to listen on; port 0 takes a free one")
	quiet := flag.Bool("quiet", false, "do not log requests")
	flag.Parse()

	options := []registry.Option{registry.WithReferrersSupport(true)}
	if *quiet {
		options = append(options, registry.Logger(log.New(io.Discard, "", 0)))
	}
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on %s", listener.Addr())
	log.Fatal(http.Serve(listener, withSubject(registry.New(options...))))
}

// Says OCI-Subject when it takes a manifest with a subject, as a registry with the referrers API must
// (distribution-spec 1.1, "Pushing Manifests with Subject"); go-containerregistry's registry forgets it.
// Clients take its absence as a sign that they have to maintain the fallback tag.
func withSubject(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && r.Body != nil {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			var manifest struct {
				Subject struct{ Digest string }
			}
			if json.Unmarshal(body, &manifest) == nil && manifest.Subject.Digest != "" {
				w.Header().Set("OCI-Subject", manifest.Subject.Digest)
			}
		}
		next.ServeHTTP(w, r)
	})
}
