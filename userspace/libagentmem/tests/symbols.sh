#!/bin/sh
# symbols.sh LIBRARY MAP HEADER: what the library exports is what the version script lists, and what the header declares.
set -eu
listed=$(sed -n 's/^\t\(agentmem_[a-z_]*\);$/\1/p' "$2" | sort)
exported=$(nm -D --defined-only "$1" | sed -n 's/.* [TDBR] \([a-z0-9_]*\)@@AGENTMEM_0$/\1/p' | sort)
other=$(nm -D --defined-only "$1" | grep -v -e '@@AGENTMEM_0$' -e ' A AGENTMEM_0$' -e ' __asan' -e ' __odr_asan' || :)
declared=$(grep -v '^ \*' "$3" | sed -n 's/^[a-z].*[ *]\(agentmem_[a-z_]*\)(.*/\1/p' | sort)
[ "$listed" = "$exported" ] || { echo "exported: $exported"; echo "listed: $listed"; exit 1; }
[ "$listed" = "$declared" ] || { echo "declared: $declared"; echo "listed: $listed"; exit 1; }
[ -z "$other" ] || { echo "exported besides: $other"; exit 1; }
