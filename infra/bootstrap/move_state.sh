#!/bin/sh
# Moves a stack's state from this machine into the bucket that it made, its secrets under the key that it made; or back.
# usage, in this folder, after 'pulumi up': sh move_state.sh STACK [back]
# LOCAL_STATE names the place on this machine where it is not that of 'pulumi login --local'.
set -eu
stack=$1
here=${LOCAL_STATE:-file://~}
PULUMI_CONFIG_PASSPHRASE=${PULUMI_CONFIG_PASSPHRASE-}
export PULUMI_CONFIG_PASSPHRASE
umask 077
exported=$(mktemp)
trap 'rm -f "$exported"' EXIT

# at PLACE COMMAND...: a command of Pulumi about the stack whose state is there
at() {
	(PULUMI_BACKEND_URL=$1 && export PULUMI_BACKEND_URL && shift && pulumi "$@" --stack "$stack")
}

if [ "${2-}" = back ]; then
	from=$(pulumi stack output state --stack "$stack")
	to=$here
	secrets=passphrase
else
	from=$here
	to=$(at "$from" stack output state)
	secrets=$(at "$from" stack output secrets)
fi

at "$from" stack change-secrets-provider "$secrets" # of the state and of the settings: nothing leaves in plain text
at "$from" stack export --file "$exported"
at "$to" stack select --create --secrets-provider "$secrets"
at "$to" stack import --file "$exported"
pulumi login "$to"
at "$from" stack rm --yes --force --preserve-config # last, so that this can be run again until it is done
echo "The state of $stack is in $to"
