// A registry in memory that has the referrers API, which distribution v3.1 lacks.
package main

import (
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
	log.Fatal(http.Serve(listener, registry.New(options...)))
}
