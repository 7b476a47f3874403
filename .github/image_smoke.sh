#!/bin/sh
# Starts the images as they are run, read-only and as nobody in particular: sh image_smoke.sh PROJECT TAG
# The app answers that there is no release yet; the steps know their commands.
set -eu
run="docker run --rm --read-only --tmpfs /tmp --user 10002:10002 --env RATCHET_HOME=/tmp/home"

$run "$1-steps:$2" mlops --help > /dev/null
echo "steps: mlops answers"

name=$($run --detach --publish 127.0.0.1::8080 "$1-serve:$2" mlops serve --host 0.0.0.0 --port 8080)
trap 'docker logs "$name" 2>&1 | tail -20; docker kill "$name" > /dev/null' EXIT
address=$(docker port "$name" 8080/tcp)
tries=0
until curl --silent --fail "http://$address/ping"; do
	tries=$((tries + 1))
	test "$tries" -lt 60 || { echo "serve: no answer within a minute" >&2; exit 1; }
	sleep 1
done
status=$(curl --silent --output /dev/null --write-out '%{http_code}' --data '{}' \
	--header 'Content-Type: application/json' "http://$address/invocations")
test "$status" = 503 || { echo "serve: /invocations answered $status without a release, not 503" >&2; exit 1; }
echo "serve: answers, and says that there is no release yet"
