#!/usr/bin/env bash
# The main job on the example: find and fix a real conflict, assemble, test, push, serve, verify, remove. Then the image
# that was shipped is deployed, and a second version takes over its traffic while it is asked all the time.
# Works on a copy under .demo/, which git ignores. With options it only ships: they are those of `seatrial ship`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

example=iris-service
project=.demo/$example
seatrial=.venv/bin/seatrial
report=.demo/deployment.html

main() {
  scripts/setup.sh
  scripts/bootstrap.sh
  rm -rf "$project"
  mkdir -p .demo
  cp -R "examples/$example" "$project"
  mkdir "$project/.git" # a project of its own: what this repository ignores is not ignored there
  if [ $# -gt 0 ]; then
    exec "$seatrial" ship "$project" --fix "$@"
  fi
  "$seatrial" ship "$project" --fix --write
  deploy_under_load
}

deploy_under_load() {
  # Services of its own: none that is up on this machine is touched.
  export SEATRIAL_HOME=$PWD/.demo/state
  trap clean_up EXIT
  trap 'exit 130' INT TERM
  end_services # what a demo that was killed has left
  say "deploy the image that was shipped: a load balancer, and behind it the first version"
  assemble first
  "$seatrial" deploy run "$project" --image .demo/first --bake 0
  say "change the service, and deploy that as a canary while a process of its own asks all the time"
  sed -i 's/"the body is not JSON"/"the body is no JSON at all"/' "$project/serve.py"
  assemble second
  url=$("$seatrial" deploy services iris --json | .venv/bin/python -c 'import json, sys; print(json.load(sys.stdin)[0]["url"])')
  .venv/bin/python scripts/ask_all_the_time.py "$url/invocations" --body "$project/verify/request.json" \
    --rate 250 --seconds 300 > .demo/asked.json &
  asking=$!
  deploy_second
  kill "$asking"
  if wait "$asking"; then asked=0; else asked=$?; fi
  asking=
  "$seatrial" deploy show iris --html "$report" --svg .demo/deployment.svg
  echo "asked by the other process: $(cat .demo/asked.json)"
  echo "the picture of the deployment: $report"
  if [ "$asked" != 0 ]; then
    echo "error: a request failed while the second version took over" >&2
    exit 1
  fi
}

# On a machine that is very busy the evidence may stay unclear for long: then the second version is promoted by hand.
deploy_second() {
  "$seatrial" deploy run "$project" --image .demo/second --description "a canary under load" &
  deploying=$!
  for _ in $(seq 90); do
    kill -0 "$deploying" 2> /dev/null || break
    sleep 0.5
  done
  if kill -0 "$deploying" 2> /dev/null; then
    say "the evidence is still unclear: promote it by hand"
    "$seatrial" deploy promote iris
  fi
  wait "$deploying"
  deploying=
}

assemble() {
  "$seatrial" image assemble "$project" --oci ".demo/$1" > /dev/null
}

clean_up() {
  for process in "${asking:-}" "${deploying:-}"; do
    if [ -n "$process" ]; then
      kill "$process" 2> /dev/null || true
      wait "$process" 2> /dev/null || true
    fi
  done
  end_services
}

end_services() {
  "$seatrial" deploy stop iris > /dev/null 2>&1 || true # there may be nothing to stop
  "$seatrial" deploy down --all
}

say() {
  printf '\n── %s\n' "$1"
}

main "$@"
