// A registry that has the referrers API, which distribution v3.1 lacks. It gets what go-containerregistry's registry
// lacks: TLS, a question who is there, and a folder that outlives the process.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	address := flag.String("address", "127.0.0.1:0", "address to listen on; port 0 takes a free one")
	quiet := flag.Bool("quiet", false, "do not log requests")
	certificate := flag.String("certificate", "", "speak TLS with this certificate (PEM)")
	key := flag.String("key", "", "key of the certificate (PEM)")
	user := flag.String("user", "", "ask for this user:password (Basic)")
	realm := flag.String("token-realm", "", "ask for tokens of the service at this address (Bearer)")
	service := flag.String("token-service", "", "audience that a token must have")
	tokenKey := flag.String("token-key", "", "public key (PEM, P-256) that tokens must be signed by")
	data := flag.String("data", "", "keep everything in this folder; without it, in memory")
	flag.Parse()

	options := []registry.Option{registry.WithReferrersSupport(true)}
	if *quiet {
		options = append(options, registry.Logger(log.New(io.Discard, "", 0)))
	}
	if *data != "" {
		blobs := filepath.Join(*data, "blobs")
		if err := os.MkdirAll(blobs, 0o755); err != nil {
			log.Fatal(err)
		}
		options = append(options, registry.WithBlobHandler(registry.NewDiskBlobHandler(blobs)))
	}
	handler := withSubject(registry.New(options...))
	if *data != "" {
		var err error
		if handler, err = journaled(filepath.Join(*data, "changes"), handler); err != nil {
			log.Fatal(err)
		}
	}
	switch {
	case *user != "":
		handler = withBasic(*user, handler)
	case *realm != "":
		trusted, err := readKey(*tokenKey)
		if err != nil {
			log.Fatal(err)
		}
		handler = withBearer(tokenService{realm: *realm, service: *service, key: trusted}, handler)
	}
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on %s", listener.Addr())
	if *certificate != "" {
		log.Fatal(http.ServeTLS(listener, handler, *certificate, *key))
	}
	log.Fatal(http.Serve(listener, handler))
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
