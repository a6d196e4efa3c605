# Shared by the scripts under e2e/: where things live, how to speak, how to fail.
# shellcheck shell=bash
shopt -s inherit_errexit # or a failure inside $(...) goes unseen

# shellcheck disable=SC2034 # used by the scripts
E2E=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
FLOE_CACHE=${FLOE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/floe}          # built parts; safe to delete
FLOE_STATE=${FLOE_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/floe}    # the running cluster and registry
export FLOE_CACHE FLOE_STATE

# All words go to stderr: stdout is for answers that other scripts read.
say() { printf '%s  %s\n' "$(date +%T)" "$*" >&2; }

# fail WHAT [LOG] [NEXT STEP]
fail() {
  printf 'error: %s\n' "$1" >&2
  if [ -n "${2:-}" ]; then
    [ ! -s "$2" ] || tail -n 15 "$2" | sed 's/^/  | /' >&2
    printf '  log:  %s\n' "$2" >&2
  fi
  [ -z "${3:-}" ] || printf '  next: %s\n' "$3" >&2
  exit 1
}

# wait_until SECONDS COMMAND...: tries the command until it succeeds or the time is over.
wait_until() {
  local end=$((SECONDS + $1))
  shift
  until "$@" > /dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.2
  done
}

# logged LABEL LOG LIMIT COMMAND...: runs a command into a log, with a sign of life every 30 seconds.
logged() {
  local label=$1 log=$2 limit=$3 start=$SECONDS pid beat=30
  shift 3
  mkdir -p "$(dirname "$log")"
  timeout --kill-after=10 "$limit" "$@" > "$log" 2>&1 < /dev/null &
  pid=$!
  # timeout(1) moves the command out of the terminal's process group, so Ctrl-C would miss it.
  trap 'kill "$pid" 2> /dev/null; exit 130' INT TERM
  while kill -0 "$pid" 2> /dev/null; do # bounded: timeout(1) ends it
    sleep 0.2
    if [ $((SECONDS - start)) -ge "$beat" ]; then
      say "  $label: $((SECONDS - start)) s, $(wc -l < "$log") lines of log"
      beat=$((beat + 30))
    fi
  done
  trap - INT TERM
  wait "$pid"
}

# hash_of [FILE_OR_FOLDER...] reads more to hash (versions, flags) from stdin.
hash_of() {
  { cat; [ $# = 0 ] || find "$@" -type f -print0 | sort -z | xargs -0 cat; } | sha256sum | cut -c1-16
}

# kubernetes_version: 1.37.1
kubernetes_version() {
  sed -nE 's/^(require)?[[:space:]]+k8s.io\/kubernetes v([0-9.]+).*/\2/p' "$E2E/tools/kubernetes/go.mod" | grep .
}

# cached NAME HASH COMMAND...: prints the folder $FLOE_CACHE/NAME-HASH. Where it is missing,
# the command fills an empty folder (its last argument), which is then moved into place in one step.
cached() {
  local name=$1 dir=$FLOE_CACHE/$1-$2 new=$FLOE_CACHE/.$1.new
  shift 2
  if [ ! -d "$dir" ]; then
    mkdir -p "$FLOE_CACHE/logs"
    # One builder at a time. A killed one leaves $new, which the next one throws away.
    # The file descriptor must not reach the command, or a daemon started by it would keep the lock.
    exec 9> "$FLOE_CACHE/.$name.lock"
    flock 9
    if [ ! -d "$dir" ]; then
      rm -rf "$new"
      mkdir -p "$new"
      "$@" "$new" 9>&-
      mv -T "$new" "$dir"
    fi
    exec 9>&-
  fi
  printf '%s\n' "$dir"
}

# need_packages COMMAND_OR_FILE=PACKAGE...: installs the Debian packages whose command or file is missing.
need_packages() {
  local pair thing missing=() log=$FLOE_CACHE/logs/apt.log
  for pair in "$@"; do
    thing=${pair%%=*}
    case $thing in
      */*) [ -e "$thing" ] || missing+=("${pair#*=}") ;;
      *) PATH=$PATH:/usr/sbin:/sbin command -v "$thing" > /dev/null || missing+=("${pair#*=}") ;;
    esac
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    fail "missing: ${missing[*]}" "" "install these packages (I only can as root on Debian)"
  fi
  say "installing ${missing[*]}"
  { logged apt-update "$log" 300 apt-get -qq update &&
    logged apt "$log" 600 env DEBIAN_FRONTEND=noninteractive \
      apt-get -qq install -y --no-install-recommends "${missing[@]}"; } ||
    fail "cannot install ${missing[*]}" "$log" "run: apt-get install ${missing[*]}"
}
