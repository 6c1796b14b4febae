#!/bin/sh
# Which system packages of ci/packages.txt are missing, and how they get installed.
#
#   ci/packages.sh missing [FIELD]   one line for each missing package: name, probe, reason (exit 0 even if some are)
#   ci/packages.sh install           installs them with apt-get; says what and why; exit 4 if that cannot be done
#
# Plain sh: on a bare Debian nothing else is there to run it. ./lab and `harness doctor --fix` both come here.
set -eu
list=${PACKAGES:-$(dirname "$0")/packages.txt}
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # where an ordinary user's PATH does not look: sshd, depmod

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $1"; [ -z "${2:-}" ] || say "  next: $2"; exit 4; }
any() { for path; do [ -e "$path" ] && return; done; return 1; }

present() {
	what=${1#*:}
	case $1 in
	cmd:*) command -v "$what" ;;
	file:*) any $what ;; # unquoted: it may be a glob
	inc:*) any "/usr/include/$what" /usr/include/*/"$what" ;;
	lib:*) any "$(cc -print-file-name="$what")" && [ "$(cc -print-file-name="$what")" != "$what" ] ;;
	py:*) python3 -c "import $what" ;;
	static:*) command -v "$what" && ! ldd "$(command -v "$what")" ;;
	*) fail "$list: unknown probe $1" ;;
	esac >/dev/null 2>&1
}

missing() {
	while read -r name probe reason; do
		case $name in '' | '#'*) continue ;; esac
		present "$probe" || printf '%s %s %s\n' "$name" "$probe" "$reason"
	done <"$list"
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

apt() { # one place for the options: no questions, no extras, wait for another apt
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 "$@" >&2
}

install() {
	wanted=$(missing)
	[ -n "$wanted" ] || return 0
	names=$(printf '%s\n' "$wanted" | cut -d ' ' -f 1)
	say "These system packages are missing and will be installed:"
	printf '%s\n' "$wanted" | while read -r name _ reason; do printf '  %-16s %s\n' "$name" "$reason" >&2; done
	command -v apt-get >/dev/null ||
		fail "this is no Debian system (no apt-get)" "install what the list above names with this system's package manager"
	[ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
		fail "not root, and sudo is not installed" "as root: apt-get install --no-install-recommends $(echo $names)"
	# What an interrupted run left half-configured comes first, or apt refuses everything.
	[ -z "$(dpkg --audit)" ] || as_root env DEBIAN_FRONTEND=noninteractive dpkg --configure -a >&2
	apt update || fail "apt-get update failed" "look at the lines above: network, proxy, /etc/apt/sources.list"
	apt install --no-install-recommends $names ||
		fail "apt-get could not install: $(echo $names)" "look at the lines above"
	left=$(missing)
	[ -z "$left" ] || fail "installed, and still not found: $(printf '%s\n' "$left" | cut -d ' ' -f 1,2 | tr '\n' ';')"
}

case ${1:-} in
missing) missing ;;
install) install ;;
*) say "usage: $0 missing|install"; exit 2 ;;
esac
