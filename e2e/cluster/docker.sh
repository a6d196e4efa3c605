# A private Docker daemon, for a machine where none answers. Comes after lib.sh.
#
# It never writes a firewall rule ("iptables": false): published ports go through docker-proxy, and the way
# out is one nftables table of ours. So the machine's rules and its FORWARD policy stay as they are, two of
# these daemons can live side by side, and nothing is left to guess about when one was killed.
# shellcheck shell=bash disable=SC2034,SC2154 # the variables are shared between these files

# What Docker, the kubelet and systemd change for the whole machine.
sysctls=(net/ipv4/ip_forward kernel/panic kernel/panic_on_oops vm/overcommit_memory vm/panic_on_oom fs/file-max)

private_docker_up() {
  [ "$(id -u)" = 0 ] || fail "no Docker daemon answers" "" "start Docker, or run as root on Debian: a private one is started then"
  need_packages dockerd=docker.io nft=nftables iptables=iptables ip=iproute2
  need_packages docker=docker-cli # since Debian 13 it is not in docker.io
  use_docker && return # on some systems the package starts a daemon
  local socket=$docker_state/docker.sock config=$docker_state/daemon.json log=$logs/dockerd.log runtime='{}' default=runc
  [ ${#socket} -lt 100 ] || fail "the path $socket is too long for a socket" "" "set FLOE_STATE to a shorter one"
  [ ! -d "$docker_state" ] || private_docker_sweep # what a killed daemon left
  mkdir -p "$docker_state"
  if lacks_sys_resource; then
    # A copy: the cache may be deleted while the cluster is up.
    cp "$("$E2E/tools/get" runtime)" "$docker_state/runtime"
    runtime="{\"floe\": {\"path\": \"$docker_state/runtime\"}}" default=floe
  fi
  cat > "$config" << END
{
  "data-root": "$docker_state/data",
  "exec-root": "$docker_state/exec",
  "pidfile": "$docker_state/pid",
  "hosts": ["unix://$socket"],
  "bridge": "none",
  "iptables": false,
  "cgroup-parent": "/$id",
  "exec-opts": ["native.cgroupdriver=cgroupfs"],
  "runtimes": $runtime,
  "default-runtime": "$default"
}
END
  [ -e "$docker_state/sysctls" ] || (cd /proc/sys && grep -s '' "${sysctls[@]}") > "$docker_state/sysctls"
  say "starting a private Docker daemon (log: $log)"
  setsid dockerd --config-file "$config" > "$log" 2>&1 < /dev/null 8>&- 9>&- &
  export DOCKER_HOST=unix://$socket
  wait_until 60 docker info || fail "the private Docker daemon does not start" "$log" "see the log"
}

# kind takes the network named `kind` as it is, if there is one: ours has a known interface and gateway.
private_network_up() {
  local log=$logs/network.log subnet
  subnet=$(docker network inspect kind --format '{{range .IPAM.Config}}{{.Subnet}}{{end}}' 2> /dev/null) || subnet=
  if [ "$subnet" != "$FLOE_DOCKER_SUBNET" ]; then
    if [ -n "$subnet" ]; then
      docker ps --all --quiet --filter network=kind | xargs -r docker rm --force --volumes > "$log"
      docker network rm kind > "$log"
    fi
    docker network create --driver bridge --subnet "$FLOE_DOCKER_SUBNET" \
      --opt "com.docker.network.bridge.name=$id" kind > "$log" 2>&1 ||
      fail "cannot make a network with $FLOE_DOCKER_SUBNET" "$log" "set FLOE_DOCKER_SUBNET to a free one"
  fi
  nft -f - << END
table ip $id
delete table ip $id
table ip $id {
  chain postrouting {
    type nat hook postrouting priority srcnat
    ip saddr $FLOE_DOCKER_SUBNET ip daddr != $FLOE_DOCKER_SUBNET masquerade
  }
}
END
}

private_docker_down() {
  if private_docker_answers > /dev/null 2>&1; then
    DOCKER_HOST=unix://$docker_state/docker.sock docker network rm kind > /dev/null 2>&1 || true
    say "stopping the private Docker daemon"
  fi
  stop "$docker_state/pid" "$docker_state/daemon.json" 30
  private_docker_sweep
  # Its data stays: with the node image in place the next start is quick.
  rm -rf "$docker_state"/{exec,daemon.json,docker.sock,sysctls,runtime}
}

# Removes all that a daemon of this state folder has outside of it, however it ended.
private_docker_sweep() {
  local pid path value
  stop "$docker_state/pid" "$docker_state/daemon.json" 10
  for _ in 1 2 3; do # containers first, and once more what their shims started meanwhile
    for pid in $(find /sys/fs/cgroup -path "*/$id/*" -name cgroup.procs -exec cat {} + 2> /dev/null | sort -un); do
      kill -9 "$pid" 2> /dev/null || true
    done
    for path in /proc/[0-9]*; do
      case $(cat "$path/comm" 2> /dev/null) in containerd*) ;; *) continue ;; esac
      if { tr '\0' ' ' < "$path/cmdline"; } 2> /dev/null | grep -qF "$docker_state/"; then kill -9 "${path#/proc/}" 2> /dev/null || true; fi
    done
    if wait_until 3 not has_processes; then break; fi
  done
  awk -v at="$docker_state/" 'index($2, at) == 1 { print $2 }' /proc/mounts | sort -r | while read -r path; do umount -l "$path"; done
  # The far ends of these pairs went with their containers, but the kernel may take minutes to notice.
  for path in /sys/class/net/"$id"/brif/*; do ip link delete "${path##*/}" 2> /dev/null || true; done
  ip link delete "$id" 2> /dev/null || true
  nft delete table ip "$id" 2> /dev/null || true
  find /sys/fs/cgroup -depth -type d \( -path "*/$id/*" -o -name "$id" \) -exec rmdir {} + 2> /dev/null || true
  if [ -s "$docker_state/sysctls" ] && ! ip -brief link | grep -q '^floe-'; then # no other instance needs them
    while IFS=: read -r path value; do echo "$value" > "/proc/sys/$path"; done < "$docker_state/sysctls"
  fi
  rm -rf "$docker_state/exec" "$docker_state/docker.sock"
}

has_processes() { find /sys/fs/cgroup -path "*/$id/*" -name cgroup.procs -exec cat {} + 2> /dev/null | grep -q .; }

lacks_sys_resource() { # bit 24 of the capabilities that a process here may have
  local bounding
  bounding=$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/self/status)
  [ $((0x$bounding >> 24 & 1)) = 0 ]
}
