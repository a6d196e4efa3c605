// An OCI runtime that asks runc for everything but CAP_SYS_RESOURCE. On a machine
// that lacks this capability `docker run --privileged` fails ("can't apply
// capabilities"), and kind runs its nodes privileged.
//
// The list is in the bundle for create and run, and in a process file for exec
// (kind uses `docker exec --privileged`). $RUNC names the real runc.
package main

import (
	"encoding/json"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const missing = "CAP_SYS_RESOURCE"

func main() {
	arguments := os.Args[1:]
	var err error
	switch {
	case slices.Contains(arguments, "create") || slices.Contains(arguments, "run"):
		err = edit(filepath.Join(value(arguments, "--bundle", "-b"), "config.json"), func(spec map[string]any) any {
			return spec["process"]
		})
	case slices.Contains(arguments, "exec"):
		if file := value(arguments, "--process", "-p"); file != "" {
			err = edit(file, func(process map[string]any) any { return process })
		}
	}
	if err != nil {
		log.Fatal("runtime: ", err)
	}
	name := os.Getenv("RUNC")
	if name == "" {
		name = "runc"
	}
	runc, err := exec.LookPath(name)
	if err != nil {
		log.Fatal("runtime: ", err)
	}
	log.Fatal(syscall.Exec(runc, append([]string{"runc"}, arguments...), os.Environ()))
}

// value finds `--flag value` and `--flag=value`.
func value(arguments []string, flags ...string) string {
	for i, argument := range arguments {
		for _, flag := range flags {
			if argument == flag && i+1 < len(arguments) {
				return arguments[i+1]
			}
			if rest, found := strings.CutPrefix(argument, flag+"="); found {
				return rest
			}
		}
	}
	return ""
}

// edit takes the capability out of every set of the process that pick finds in the file.
func edit(path string, pick func(map[string]any) any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var document map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber() // some limits are larger than a float64 holds exactly
	if err := decoder.Decode(&document); err != nil {
		return err
	}
	process, _ := pick(document).(map[string]any)
	sets, _ := process["capabilities"].(map[string]any)
	for name, set := range sets {
		list, _ := set.([]any)
		sets[name] = slices.DeleteFunc(list, func(capability any) bool { return capability == missing })
	}
	if text, err = json.Marshal(document); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}
