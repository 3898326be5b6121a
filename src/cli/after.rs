//! What stands behind the flags in `--help` and on the manual pages: exit codes, where a
//! command has its own, and examples of what people type. As it is printed; a line that
//! begins with a letter and ends in a colon becomes a section of the manual page.
//!
//! That each example is one that the program takes is tested in `tests/it/docs`.

pub(super) const PROGRAM: &str = "Exit codes:
  0   done (lookup: at least one value matched)
  1   lookup found nothing
  2   a flag or argument that does not exist
  64  wrong usage
  65  MISP's answer cannot be trusted; nothing was removed
  69  MISP or memcached cannot be reached, or memcached has too little room
  70  a bug in this program
  73  an output cannot be written
  75  another run holds the lock, or a signal ended this one
  77  MISP refuses the key
  78  the configuration is wrong

Examples:
  # see it work, with a sample MISP
  misp2memcached demo
  # does everything answer? then load
  misp2memcached check && misp2memcached load
  # which events list this?
  misp2memcached lookup 'hxxp://evil[.]example/gate.php'
  # what is in the cache, and how old is it?
  misp2memcached status";

pub(super) const LOAD: &str = "Examples:
  # one pass, as cron or the timer runs it
  misp2memcached load
  # once a night, every event again
  misp2memcached --quiet load --full
  # what would go? nothing is written
  misp2memcached load --dry-run | grep '^-'
  # yes, MISP is right that so many are gone (stop `follow` for it)
  misp2memcached load --allow-shrink
  # for a script
  misp2memcached load --json | jq .keys";

pub(super) const FOLLOW: &str = "Examples:
  # until Ctrl-C; as a service: misp2memcached-follow.service
  misp2memcached follow
  # with a log for a program that collects logs
  misp2memcached --log-format json follow
  # how it is doing, from another terminal
  misp2memcached status";

pub(super) const LOOKUP: &str = "Examples:
  # as it stands in a mail or a report
  misp2memcached lookup 'hxxp://evil[.]example/gate.php' '198.51.100[.]7:443'
  # a hash, as MD5 only
  misp2memcached lookup -n md5 44D88612FEA8A8F36DE82E1278ABB02F
  # every name that was asked for
  zeek-cut query < dns.log | misp2memcached lookup -
  # what matches, as it happens
  tail -F names.txt | misp2memcached lookup --json - | grep event_id
  # in a script
  if misp2memcached lookup \"$address\" > /dev/null; then echo \"MISP lists it\"; fi";

pub(super) const STATUS: &str = "Examples:
  # first of all
  misp2memcached status
  # for monitoring: seconds since the last load, keys, whether they fit
  misp2memcached status --json | jq '.memcached[] | {age_seconds, keys, fits}'
  # of another installation
  misp2memcached --config /etc/misp2memcached/dmz.yaml status";

pub(super) const CHECK: &str = "Examples:
  # before the first load, and after each change of the configuration
  misp2memcached check
  # a configuration that is not in its place yet
  misp2memcached --config new.yaml check
  # only what fails
  misp2memcached check --json | jq -r '.tried[] | select(.ok | not) | .found'";

pub(super) const KIBANA: &str = "Examples:
  # for Kibana 8.8 and later
  misp2memcached kibana > misp.ndjson
  # for an older one, and for these indices
  misp2memcached kibana --version 7 --index 'winlogbeat-*' > misp.ndjson
  # where people reach MISP at another address than the loader does
  MISP_URL=https://misp.example misp2memcached kibana > misp.ndjson";

pub(super) const SIGHTING: &str = "Exit codes:
  0   MISP has them all, or had them lately, or the cache does not list them
  65  some were refused: by MISP, or because they are no sightings
  69  some wait for the next run, since MISP or memcached cannot be reached
  73  the spool is full or cannot be written: some are lost
  77  MISP refuses the key; what was not sent waits
  78  the configuration is wrong

Examples:
  # two values that somebody saw
  misp2memcached sighting 203.0.113.7 'hxxp://evil[.]example/gate.php'
  # an analyst's verdict
  misp2memcached sighting --source proxy --type false-positive cdn.example
  # the hits of Logstash, as they come
  tail -F hits.json | misp2memcached sighting --source logstash -
  # what would be reported
  misp2memcached sighting --dry-run - < hits.json
  # send what waits, and nothing else
  misp2memcached sighting";

pub(super) const WAZUH: &str = "Exit codes, those of Wazuh's own integrations:
  0   looked up, and answered if anything matched
  2   no alert file named
  4   memcached gave no answer; the queue was told so
  5   Wazuh's queue did not take the answer
  6   the alert file cannot be read
  7   the alert file holds no JSON
  78  the configuration is wrong

Examples:
  # by hand, with what was looked up and sent on standard error
  misp2memcached wazuh alert.json debug
  # with the configuration of the manager
  misp2memcached --config /var/ossec/etc/misp2memcached.yaml wazuh alert.json";

pub(super) const SHARE: &str = "Exit codes:
  0   done: MISP has every event, or there was nothing that may leave
  64  wrong usage
  65  some lines or events, or parts of events, were refused; each is named
  69  MISP cannot be reached; the events wait in the state directory
  73  events can neither be sent nor kept; each is named
  75  a signal ended the run; the events wait in the state directory
  77  MISP refuses the key; the events wait in the state directory
  78  the configuration is wrong

Examples:
  # what would leave; needs neither MISP nor a key
  misp2memcached share --from flowmon --dry-run < detections.txt
  # detections of Flowmon ADS, without our own networks
  misp2memcached share --from flowmon --exclude-file ours.txt < detections.txt
  # drafts, for an analyst to publish
  misp2memcached share --from json --no-publish --tag tlp:green < events.jsonl
  # send what waits, and nothing else
  misp2memcached share --from flowmon < /dev/null";

pub(super) const DEMO: &str = "Examples:
  # half a minute
  misp2memcached demo
  # page by page
  misp2memcached demo | less";

pub(super) const COMPLETIONS: &str = "Examples:
  # bash: in ~/.bashrc
  source <(misp2memcached completions bash)
  # zsh: into a directory of $fpath
  misp2memcached completions zsh > ~/.zfunc/_misp2memcached
  # fish: in ~/.config/fish/config.fish
  misp2memcached completions fish | source";

pub(super) const MAN: &str = "Examples:
  # read it
  misp2memcached man | man -l -
  # all pages, for this user
  misp2memcached man --directory ~/.local/share/man/man1";
