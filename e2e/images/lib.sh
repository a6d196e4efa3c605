# Shared by the scripts that make images for tests.
# shellcheck shell=bash

busybox=/bin/busybox

# busybox_root FOLDER: a shell with the usual commands in /bin, /tmp, and users root and nonroot.
# busybox from Debian is static: looking up names would crash it, so tests that need DNS take another image.
busybox_root() {
  local command
  mkdir -p "$1"/{bin,etc}
  install -d -m 1777 "$1/tmp"
  cp "$(realpath $busybox)" "$1/bin/busybox"
  for command in $("$busybox" --list); do [ "$command" = busybox ] || ln -s busybox "$1/bin/$command"; done
  printf 'root:x:0:0::/:/bin/sh\nnonroot:x:65532:65532::/tmp:/bin/sh\n' > "$1/etc/passwd"
  printf 'root:x:0:\nnonroot:x:65532:\n' > "$1/etc/group"
}

# need_busybox: installs it where it is missing.
need_busybox() {
  need_packages $busybox=busybox-static
  ! ldd $busybox > /dev/null 2>&1 || fail "$busybox is not static" "" "apt-get install busybox-static"
}
