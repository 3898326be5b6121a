#!/bin/bash
# A custom script of Flowmon ADS: shares its events with MISP.
#
# Flowmon hands events over on standard input and parameters as NAME 'VALUE' pairs, those
# of its own guide:
#
#   misp_server        https://misp.example
#   misp_api_key       the automation key; better: the path of a file that holds it
#   misp_tag           a tag of every event, made in MISP if it is missing
#   misp_ids           1: the attributes are meant for detection; 0: they are not
#   misp_distribution  0 your organisation, 1 this community, 2 connected ones, 3 all
#   flowmon_filters    addresses and networks that do not leave besides the private ones,
#                      separated by commas; a name stands for the file filters/NAME here
#   flowmon_user, flowmon_pass   not needed: nothing is asked of Flowmon
#   misp_sharing_group           instead of misp_distribution, the group's number in MISP
#
# The key goes on in the environment, and exec takes the script's own arguments away: it
# is in no list of processes once the program runs. A file keeps it out from the beginning.

set -u -f

fail() {
    printf 'misp_integration_script: %s\n' "$1" >&2
    exit 64
}

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd) || fail 'cannot tell where this script is'
server= key= filters=
arguments=(--from flowmon "--sensor=${HOSTNAME:-}")
number=1

while (($#)); do
    # No message shows a parameter: out of step, it may be the key.
    (($# >= 2)) || fail "parameter $number has no value; they come as NAME 'VALUE' pairs"
    name=$1
    while [[ $name == -* ]]; do name=${name#-}; done
    value=$2
    case $name in
    misp_server) server=$value ;;
    misp_api_key) key=$value ;;
    misp_tag) [[ -z $value ]] || arguments+=("--tag=$value") ;;
    misp_ids) [[ -z $value ]] || arguments+=("--ids=$value") ;;
    misp_distribution) [[ -z $value ]] || arguments+=("--distribution=$value") ;;
    misp_sharing_group) [[ -z $value ]] || arguments+=("--sharing-group=$value") ;;
    flowmon_filters) filters=$value ;;
    flowmon_user | flowmon_pass) ;;
    *) fail "parameter $number has a name that is not known; see the head of this script" ;;
    esac
    shift 2
    number=$((number + 1))
done

[[ -z $server ]] || arguments+=("--server=$server")

# What is no file is for the program to judge: it refuses what it does not understand,
# since a filter that were left out would let its addresses leave.
IFS=, read -r -a entries <<<"$filters"
rest=
for entry in ${entries[@]+"${entries[@]}"}; do
    entry=${entry#"${entry%%[![:space:]]*}"}
    entry=${entry%"${entry##*[![:space:]]}"}
    if [[ -n $entry && $entry != */* && -f $here/filters/$entry ]]; then
        arguments+=("--exclude-file=$here/filters/$entry")
    else
        rest+=${rest:+,}$entry
    fi
done
[[ -z $rest ]] || arguments+=("--exclude=$rest")

if [[ $key == /* ]]; then
    [[ -r $key ]] || fail 'the file of misp_api_key cannot be read'
    key=$(<"$key")
fi
[[ -z $key ]] || export MISP2MEMCACHED_MISP_TOKEN=$key
unset key value

program=${MISP2MEMCACHED:-$here/misp2memcached}
[[ -x $program ]] || program=/usr/local/bin/misp2memcached
exec "$program" share "${arguments[@]}"
