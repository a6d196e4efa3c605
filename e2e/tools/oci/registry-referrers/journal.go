package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// A change of a manifest or tag. The registry keeps these in memory alone.
type change struct {
	Method, Path, Type string
	Body               []byte
}

// Writes down every change of manifests, one file each, and makes those of an earlier process again first.
func journaled(dir string, next http.Handler) (http.Handler, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	// The names are numbers of one length, so that their order is that of the changes.
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if err := again(file, next); err != nil {
			return nil, err
		}
	}
	var turn sync.Mutex
	count := len(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		changes := r.Method == http.MethodPut || r.Method == http.MethodDelete
		if !changes || !strings.Contains(r.URL.Path, "/manifests/") {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		turn.Lock()
		defer turn.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		if answer.Code < 300 {
			done := change{r.Method, r.URL.Path, r.Header.Get("Content-Type"), body}
			if err := write(filepath.Join(dir, fmt.Sprintf("%08d.json", count)), done); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			count++
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		w.Write(answer.Body.Bytes())
	}), nil
}

func again(file string, handler http.Handler) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var done change
	if err := json.Unmarshal(text, &done); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	request := httptest.NewRequest(done.Method, done.Path, bytes.NewReader(done.Body))
	request.Header.Set("Content-Type", done.Type)
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	if answer.Code >= 300 {
		return fmt.Errorf("%s: %s %s: %d", file, done.Method, done.Path, answer.Code)
	}
	return nil
}

// In one step, so that a process that is killed leaves no half of a file.
func write(path string, done change) error {
	text, err := json.Marshal(done)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
