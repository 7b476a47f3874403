#!/bin/sh
# Moves a stack's state from this machine into the bucket that it made, its secrets under the key that it made.
# usage, in this folder, after 'pulumi up': sh move_state.sh STACK
set -eu
stack=$1
PULUMI_CONFIG_PASSPHRASE=${PULUMI_CONFIG_PASSPHRASE-}
export PULUMI_CONFIG_PASSPHRASE
umask 077
exported=$(mktemp)
trap 'rm -f "$exported"' EXIT

pulumi login --local
state=$(pulumi stack output state --stack "$stack")
secrets=$(pulumi stack output secrets --stack "$stack")
pulumi stack export --show-secrets --stack "$stack" --file "$exported"

pulumi login "$state"
pulumi stack select "$stack" 2>/dev/null || pulumi stack init "$stack" --secrets-provider "$secrets"
pulumi stack import --stack "$stack" --file "$exported"

PULUMI_BACKEND_URL=file://~ pulumi stack rm "$stack" --yes --force --preserve-config
echo "The state of $stack is in $state"
