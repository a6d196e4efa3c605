# Shared by the demos: how they show what they do. Comes after e2e/lib.sh.
# shellcheck shell=bash

title() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

# Shows a command and runs it.
run() {
  printf '\033[36m$ %s\033[0m\n' "$*"
  "$@"
}

# Shows a command that has to end with this exit code.
refused() {
  local expected=$1 code=0
  shift
  run "$@" || code=$?
  [ "$code" = "$expected" ] || fail "exit code $code, expected $expected: $*"
  printf '(exit code %s)\n' "$code"
}

# own_namespace NAME FOLDER: makes the namespace anew. From here on every command works in it, without a change to
# anybody's kubeconfig.
own_namespace() {
  kubectl delete namespace "$1" --ignore-not-found > /dev/null
  kubectl create namespace "$1" > /dev/null
  kubectl label namespace "$1" pod-security.kubernetes.io/enforce=restricted > /dev/null
  kubectl config view --raw --flatten --minify > "$2/kubeconfig"
  export KUBECONFIG=$2/kubeconfig
  kubectl config set-context --current --namespace "$1" > /dev/null
}
