#!/bin/bash
# A custom script of Flowmon ADS: the addresses of its events that MISP lists become
# sightings there. ADS calls it with pairs of names and values,
#
#   misp_sighting_script.bash misp_server 'https://misp.example' misp_api_key 'KEY' source 'flowmon'
#
# and writes the events to its standard input, a line each: tab-separated (17 fields of
# ADS 12.5 and later, 15 of earlier ones, IDS events) or JSON.
#
# misp_api_key is the key, or the path of a file that holds it. What ADS passes as an
# argument everybody on the machine can see while bash reads it; this script passes it
# on by environment only. With a file the key is in no list of processes at all.

set -u

program=${MISP2MEMCACHED:-/usr/local/bin/misp2memcached}
source=flowmon

while [ $# -ge 2 ]; do
    case $1 in
        misp_server) [ -n "$2" ] && export MISP_URL=$2 ;;
        misp_api_key)
            case $2 in
                /*) MISP2MEMCACHED_MISP_TOKEN=$(cat -- "$2") || exit 78 ;;
                *) MISP2MEMCACHED_MISP_TOKEN=$2 ;;
            esac
            [ -n "$MISP2MEMCACHED_MISP_TOKEN" ] && export MISP2MEMCACHED_MISP_TOKEN
            ;;
        source) [ -n "$2" ] && source=$2 ;;
        *)
            echo "misp_sighting_script: unknown parameter $1; there are misp_server, misp_api_key and source" >&2
            exit 64
            ;;
    esac
    shift 2
done
if [ $# -ne 0 ]; then
    echo "misp_sighting_script: the parameter $1 has no value" >&2
    exit 64
fi

# The addresses of both sides, a line each; a blank field is one blank.
addresses() {
    awk -F '\t' '
        function each(list, parts, n, i) {
            n = split(list, parts, /[ ,]+/)
            for (i = 1; i <= n; i++) if (parts[i] ~ /^[0-9A-Fa-f:.]+$/) print parts[i]
        }
        function member(name, rest) {
            if (!match($0, "\"" name "\"[ ]*:[ ]*\"[^\"]*\"")) return ""
            rest = substr($0, RSTART, RLENGTH)
            sub(/^"[^"]*"[ ]*:[ ]*"/, "", rest)
            return substr(rest, 1, length(rest) - 1)
        }
        { sub(/\r$/, "") }
        /^[ ]*\{/ { each(member("source")); each(member("targets")); each(member("srcIp")); each(member("dstIp")); next }
        NF >= 17 { each($13); each($15); next }
        NF == 15 { each($11); each($13); next }
        NF >= 6 { each($4); each($6) }
    '
}

# Bash goes, and its arguments with it.
exec "$program" ${MISP2MEMCACHED_FLAGS:-} sighting --source "$source" - < <(addresses)
