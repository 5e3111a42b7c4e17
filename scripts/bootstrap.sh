#!/usr/bin/env bash
# Install the system programs that `seatrial ship` runs, on Debian and Ubuntu. Nothing happens when all are there.
#
#   scripts/bootstrap.sh           install what is missing: at once as root or in CI, else after asking
#   scripts/bootstrap.sh --check   only say what is missing; exit 3 when something is
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }

only_check=no
case "${1:-}" in
  "") ;;
  --check) only_check=yes ;;
  -h | --help)
    sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
  *)
    say "error: unknown option $1; there is --check"
    exit 2
    ;;
esac

# Programs of administrators are not on everybody's PATH.
PATH=$PATH:/usr/sbin:/sbin

# package, and the program or file by which one sees that it is there
needed=(
  bubblewrap bwrap                                                 # runs images without root
  haproxy haproxy                                                  # spreads requests over the replicas of a service
  docker-registry docker-registry                                  # the registry on this machine
  mmdebstrap mmdebstrap                                            # makes base images
  uidmap newuidmap                                                 # users of an image for who is not root
  debian-archive-keyring /usr/share/keyrings/debian-archive-keyring.gpg # signatures of Debian's packages
  ca-certificates /etc/ssl/certs/ca-certificates.crt               # signatures of web servers
)

missing=()
for ((i = 0; i < ${#needed[@]}; i += 2)); do
  sign=${needed[i + 1]}
  if [[ $sign == /* ]]; then
    [ -e "$sign" ] || missing+=("${needed[i]}")
  elif ! command -v "$sign" >/dev/null; then
    missing+=("${needed[i]}")
  fi
done

# Whether we may change the system, and with what in front of the command.
as_root=()
may() { # may "question": asks when somebody is there to answer
  if [ "$(id -u)" = 0 ]; then return 0; fi
  command -v sudo >/dev/null || return 1
  if [ -n "${CI:-}" ]; then
    as_root=(sudo -n)
    sudo -n true 2>/dev/null
    return
  fi
  if ! { [ -t 0 ] && [ -t 2 ]; }; then return 1; fi
  local answer
  read -r -p "$1 [Y/n] " answer || return 1
  case "$answer" in
    "" | [yY]*) as_root=(sudo) ;;
    *) return 1 ;;
  esac
}

# Debian starts the servers that it installs. Ours are started when they are needed, so nothing of that.
policy=/usr/sbin/policy-rc.d
made_policy=no
withdraw_policy() {
  if [ "$made_policy" = yes ]; then "${as_root[@]}" rm -f "$policy"; fi
}
trap withdraw_policy EXIT

install_packages() {
  if [ ! -e "$policy" ]; then
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
  fi
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120)
  # Lists older than a day often name files that are gone.
  if [ -z "$(find /var/lib/apt/lists -name '*Packages*' -mtime -1 -print -quit 2>/dev/null)" ]; then
    "${apt[@]}" update >&2
  fi
  local install=("${apt[@]}" install --yes --no-install-recommends -o Dpkg::Use-Pty=0 "$@")
  "${install[@]}" >&2 </dev/null || { "${apt[@]}" update >&2 && "${install[@]}" >&2 </dev/null; }
  if command -v systemctl >/dev/null && [ -d /run/systemd/system ]; then
    local unit
    for unit in haproxy docker-registry; do
      # Only those that came just now: one that was here before is somebody's.
      if [[ " $* " == *" $unit "* ]]; then "${as_root[@]}" systemctl disable --now --quiet "$unit" || true; fi
    done
  fi
}

if [ ${#missing[@]} -gt 0 ]; then
  say "missing: ${missing[*]}"
  if [ "$only_check" = yes ]; then exit 3; fi
  if ! command -v apt-get >/dev/null; then
    say "error: this is neither Debian nor Ubuntu, so these packages must be installed by hand"
    exit 3
  fi
  if ! may "Install them with apt-get?"; then
    say "not installed. To install them: sudo apt-get install --no-install-recommends ${missing[*]}"
    exit 3
  fi
  install_packages "${missing[@]}"
  say "installed: ${missing[*]}"
fi

# Without root, the users of an image and mmdebstrap need ids of their own: subuid(5).
user=$(id -un)
if [ "$(id -u)" != 0 ] && ! grep -qsE "^($user|$(id -u)):" /etc/subuid; then
  start=$(cat /etc/subuid /etc/subgid 2>/dev/null | awk -F: '$2 + $3 > end { end = $2 + $3 } END { print (end > 100000 ? end : 100000) }')
  give=(usermod --add-subuids "$start-$((start + 65535))" --add-subgids "$start-$((start + 65535))" "$user")
  say "$user has no ids for namespaces in /etc/subuid."
  if [ "$only_check" = yes ]; then exit 3; fi
  if ! may "Give $user the next 65536?"; then
    say "not given. To give them: sudo ${give[*]}"
    exit 3
  fi
  "${as_root[@]}" "${give[@]}"
  say "given: ids from $start on"
fi

# Ubuntu 24.04 and later let programs use user namespaces only when an AppArmor profile says so.
sandbox_works() { bwrap --unshare-all --ro-bind / / true 2>/dev/null; }
restricted() { [ "$(cat /proc/sys/kernel/apparmor_restrict_unprivileged_userns 2>/dev/null)" = 1 ]; }

if restricted && ! sandbox_works; then
  say "AppArmor keeps bwrap from making user namespaces, so images cannot run without root."
  if [ "$only_check" = yes ]; then exit 3; fi
  if ! may "Install an AppArmor profile that allows it for bwrap?"; then
    say "not installed. To install it: sudo $(realpath "${BASH_SOURCE[0]}")"
    exit 3
  fi
  "${as_root[@]}" tee /etc/apparmor.d/seatrial-bwrap >/dev/null <<PROFILE
# Installed by Seatrial: lets bwrap make user namespaces, which is all it is for.
abi <abi/4.0>,
include <tunables/global>
profile seatrial-bwrap $(command -v bwrap) flags=(unconfined) {
  userns,
  include if exists <local/seatrial-bwrap>
}
PROFILE
  "${as_root[@]}" apparmor_parser --replace /etc/apparmor.d/seatrial-bwrap
  sandbox_works || { say "error: bwrap still cannot start; \`seatrial doctor\` says why"; exit 3; }
  say "installed: /etc/apparmor.d/seatrial-bwrap"
fi
