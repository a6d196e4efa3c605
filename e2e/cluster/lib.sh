# What `up`, `down` and the registry know about the cluster. Comes after ../lib.sh.
# shellcheck shell=bash disable=SC2034,SC2154 # the variables are shared between these files

FLOE_CLUSTER_NAME=${FLOE_CLUSTER_NAME:-floe}
FLOE_DOCKER_SUBNET=${FLOE_DOCKER_SUBNET:-172.31.208.0/24} # of the private daemon's one network
PATH=$PATH:/usr/sbin:/sbin                                # dockerd, nft and ip, for a user's shell

docker_state=$FLOE_STATE/docker
logs=$FLOE_STATE/logs
KUBECONFIG_OF_CLUSTER=$FLOE_STATE/kubeconfig
export KUBECACHEDIR=$FLOE_STATE/kube-cache # kubectl's, else in the home folder

# Names the interface, the cgroup and the nftables table of this state folder's private daemon, so that
# they can be found and removed when the daemon is dead. (An interface's name has at most 15 characters.)
id=floe-$(printf %s "$FLOE_STATE" | sha256sum | cut -c1-8)

# Only one script at a time may change the cluster. Daemons must not inherit this file (8>&-).
lock_state() {
  mkdir -p "$logs"
  exec 8> "$FLOE_STATE/lock"
  flock --wait 1200 8 || fail "another run holds $FLOE_STATE/lock" "" "wait for it, or end it"
}

# is_running PIDFILE WORD: the process of the file lives and has the word (a path of ours) in its
# command line. A number alone says nothing: after a restart of the machine it is somebody else's.
is_running() {
  local pid
  pid=$(cat "$1" 2> /dev/null) && [ -n "$pid" ] && { tr '\0' ' ' < "/proc/$pid/cmdline"; } 2> /dev/null | grep -qF -- "$2"
}

# stop PIDFILE WORD SECONDS: TERM, then KILL.
stop() {
  local pid
  if is_running "$1" "$2"; then
    pid=$(cat "$1")
    kill "$pid" 2> /dev/null || true
    wait_until "$3" not is_running "$1" "$2" || { kill -9 "$pid" && wait_until 5 not is_running "$1" "$2"; } || true
  fi
  rm -f "$1"
}
not() { ! "$@"; }

private_docker_answers() { DOCKER_HOST=unix://$docker_state/docker.sock timeout 10 docker info; }

# use_docker: points the docker client at the daemon of this cluster, if there is one.
use_docker() {
  if private_docker_answers > /dev/null 2>&1; then
    export DOCKER_HOST=unix://$docker_state/docker.sock
  else
    timeout 20 docker info > /dev/null 2>&1
  fi
}

# is_ours: the cluster of our name is one that this state folder's `up` made.
is_ours() { [ -e "$FLOE_STATE/made-from" ] || [ "${DOCKER_HOST:-}" = "unix://$docker_state/docker.sock" ]; }

kind() { "$("$E2E/tools/get" kind)" "$@"; }
kubectl() { "$("$E2E/tools/get" kubectl)" --kubeconfig "$KUBECONFIG_OF_CLUSTER" "$@"; }

# write_env: what a shell needs to work with the cluster.
write_env() {
  {
    echo "export KUBECONFIG='$KUBECONFIG_OF_CLUSTER'"
    [ -z "${DOCKER_HOST:-}" ] || echo "export DOCKER_HOST='$DOCKER_HOST'"
    [ ! -s "$FLOE_STATE/registry/address" ] || echo "export FLOE_REGISTRY='$(cat "$FLOE_STATE/registry/address")'"
  } > "$FLOE_STATE/env"
}

# trust_registry ADDRESS: lets the nodes' containerd pull from it without TLS.
trust_registry() {
  local node
  for node in $(kind get nodes --name "$FLOE_CLUSTER_NAME" 2> /dev/null); do
    printf 'server = "http://%s"\n[host."http://%s"]\n' "$1" "$1" |
      docker exec -i "$node" sh -euc "mkdir -p '/etc/containerd/certs.d/$1'; cat > '/etc/containerd/certs.d/$1/hosts.toml'"
  done
}
