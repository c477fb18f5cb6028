#!/bin/bash
# Runs the tests of the chart on a real cluster: the one of KUBECONFIG, or one that it makes on this machine.
# usage: run.sh [PYTEST ARGUMENT...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if [ -z "${KUBECONFIG:-}" ]; then
  [ "$(id -u)" = 0 ] || { echo "Set KUBECONFIG to a cluster of yours, or be root to make one here." >&2; exit 1; }
  command -v go > /dev/null || { echo "Go is needed to make a cluster; or set KUBECONFIG to yours." >&2; exit 1; }
  ./node/build.sh
  # shellcheck source=node/lib.sh
  . node/lib.sh
  if ! is_up; then
    ./node/up.sh
    trap '"$PTC_SRC/down.sh"' EXIT
  fi
  eval "$(./node/env.sh)"
  export POLYTOPE_TEST_FORWARD="$PWD/node/forward.sh" REGISTRY="${REGISTRY:-$SKAFFOLD_DEFAULT_REPO}"
  export BASE_IMAGE="${BASE_IMAGE:-local/python-base:bookworm}" POLYTOPE_TEST_HOST=10.0.2.2 # of slirp4netns
fi

cd ../..
"${VENV:-.venv}/bin/python" -m pytest tests/cluster -p no:cacheprovider --timeout 1800 -x "$@"
