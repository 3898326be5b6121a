# One event, in JSON on standard input, through the look-up script with its settings of
# docs/getting_started.md; prints it as it comes out. The time of the match is a fixed
# one, so that the page can show it.
#
#   ruby tests/logstash/one_event.rb HOST:PORT < event.json

require "json"
require_relative "support"

SCRIPT = File.expand_path("../../logstash/misp_lookup.rb", __dir__)

host = ScriptHost.registered(SCRIPT, "servers" => ARGV[0], "misp_url" => "https://misp.example", "timeout" => 20)
event = LogStash::Event.new(JSON.parse($stdin.read))
host.filter(event)
Array(event.get("[threat][enrichments]")).each_index do |i|
  all = event.get("[threat][enrichments]")
  all[i]["matched"]["occurred"] = "2026-11-21T05:00:00.000Z"
  event.set("[threat][enrichments]", all)
end
puts JSON.pretty_generate(event.to_hash)
