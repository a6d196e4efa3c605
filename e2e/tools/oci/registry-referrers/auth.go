package main

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// Lets through who sends user and password.
func withBasic(pair string, next http.Handler) http.Handler {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(want)) != 1 {
			unauthorized(w, `Basic realm="test"`)
			return
		}
		next.ServeHTTP(w, r)
	})
}

type tokenService struct {
	realm, service string
	key            *ecdsa.PublicKey
}

type access struct {
	Type, Name string
	Actions    []string
}

// Lets through who sends a token that allows what the request needs (the token protocol of distribution).
func withBearer(service tokenService, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		needs := needed(r)
		granted, err := service.open(token)
		if err == nil && allows(granted, needs) {
			next.ServeHTTP(w, r)
			return
		}
		challenge := fmt.Sprintf("Bearer realm=%q,service=%q", service.realm, service.service)
		var scopes []string
		for _, need := range needs {
			scopes = append(scopes, fmt.Sprintf("repository:%s:%s", need.Name, strings.Join(need.Actions, ",")))
		}
		if len(scopes) > 0 {
			challenge += fmt.Sprintf(",scope=%q", strings.Join(scopes, " "))
		}
		unauthorized(w, challenge)
	})
}

func unauthorized(w http.ResponseWriter, challenge string) {
	w.Header().Set("WWW-Authenticate", challenge)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnauthorized)
	fmt.Fprint(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
}

// What a request needs: on its repository, and on the one that a blob is mounted from.
func needed(r *http.Request) []access {
	path, found := strings.CutPrefix(r.URL.Path, "/v2/")
	if !found || path == "" {
		return nil
	}
	name := path
	for _, part := range []string{"/manifests/", "/blobs/", "/tags/", "/referrers/"} {
		if at := strings.LastIndex(path, part); at >= 0 {
			name = path[:at]
		}
	}
	actions := []string{"pull"}
	switch r.Method {
	case http.MethodPut, http.MethodPost, http.MethodPatch:
		actions = []string{"pull", "push"}
	case http.MethodDelete:
		actions = []string{"delete"}
	}
	needs := []access{{Type: "repository", Name: name, Actions: actions}}
	if from := r.URL.Query().Get("from"); from != "" {
		needs = append(needs, access{Type: "repository", Name: from, Actions: []string{"pull"}})
	}
	return needs
}

func allows(granted, needs []access) bool {
	for _, need := range needs {
		for _, action := range need.Actions {
			if !slices.ContainsFunc(granted, func(one access) bool {
				return one.Type == need.Type && one.Name == need.Name && slices.Contains(one.Actions, action)
			}) {
				return false
			}
		}
	}
	return true
}

// What a token allows: a JWT signed with ES256, for this service, that has not expired.
func (s tokenService) open(token string) ([]access, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("not a token")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(signature) != 64 {
		return nil, errors.New("not a signature")
	}
	hash := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	left, right := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	if !ecdsa.Verify(s.key, hash[:], left, right) {
		return nil, errors.New("signed by somebody else")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	var claims struct {
		Aud    string
		Exp    int64
		Access []access
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, err
	}
	// The same leeway as distribution's, so that one token service fits both.
	if claims.Aud != s.service || time.Now().After(time.Unix(claims.Exp, 0).Add(time.Minute)) {
		return nil, errors.New("for another service, or expired")
	}
	return claims.Access, nil
}

func readKey(path string) (*ecdsa.PublicKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM", path)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%s holds no ECDSA key", path)
	}
	return key, nil
}
