# memcached killed, restarted, emptied and stopped under the look-up script: the tag
# appears and goes, no event waits longer than it may, and hits come back.
#
#   ruby tests/logstash/silence.rb HOST:PORT
#
# Whoever starts it does to memcached what it asks for on standard output (`kill`,
# `restart`, `load`, `stop`, `continue`), and answers each with a line.

require "json"
require "logger"
require "dalli"
require_relative "support"

SCRIPT = File.expand_path("../../logstash/misp_lookup.rb", __dir__)
WORKERS = 4
LIMIT = 2.0
RETRY = 0.2
# What a busy machine may add to the limit.
GRACE = 8.0

HOST = ScriptHost.registered(SCRIPT, { "servers" => ARGV[0], "timeout" => LIMIT, "retry" => RETRY })
$slowest = 0.0

def clock
  Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

# One event with an address that is listed and one that is not, and what became of it.
def look
  event = LogStash::Event.new("source" => { "ip" => "203.0.113.200" }, "destination" => { "ip" => "192.0.2.10" })
  began = clock
  HOST.filter(event)
  spent = clock - began
  $slowest = spent if spent > $slowest
  [Array(event.get("tags")).sort, event.get("[misp][lookup]")]
end

# An event of as many long keys as there may be: what is written must not wait either.
def look_wide
  event = LogStash::Event.new("user_agent" => { "original" => Array.new(500) { |i| "#{i}#{'x' * 230}" } })
  HOST.filter(event)
end

# As several workers do it, at the same time.
def looks(count)
  Array.new(WORKERS) { Thread.new { Array.new(count) { look } } }.flat_map(&:value)
end

def wish(word)
  puts word
  $stdout.flush
  $stdin.gets or abort "nobody answers"
end

# Waits until all workers see a state that has to come: the first events after a change
# may see either, and a machine can be so busy that memcached seems silent to one.
def settle(state)
  limit = clock + 60
  until looks(10).uniq == [state]
    return false if clock > limit
  end
  true
end

HIT = [["misp_hit"], nil].freeze
SILENT = [["_misp_lookup_failure"], "silent"].freeze
EMPTY = [["_misp_lookup_failure"], "not_loaded"].freeze

Dalli.logger = Logger.new(IO::NULL)
report = Report.new
report.check("a hit, from several workers") { settle(HIT) }

wish("kill")
report.check("killed: the tag") { settle(SILENT) }
began = clock
200.times { look }
report.check("most events do not wait at all") { clock - began < GRACE }
wish("restart")
report.check("restarted and empty: the tag") { settle(EMPTY) }
wish("load")
report.check("loaded: the hit, no tag") { settle(HIT) }

wish("stop")
$slowest = 0.0
began = clock
look_wide
report.check("stopped: a request that nobody reads") { clock - began < LIMIT + GRACE / 4 }
report.check("stopped: the tag") { settle(SILENT) }
report.check("no event waited longer than its limit (#{$slowest.round(2)} s)") { $slowest < LIMIT + GRACE / 4 }
wish("continue")
report.check("going on: the hit, no tag") { settle(HIT) }

# It says so when its next line is due.
limit = clock + 30
sleep 0.02 until look && HOST.logger.lines.last[1].include?("answers") || clock > limit
lines = HOST.logger.lines.map { |_, text, _| text }
report.check("the log says when it begins and when it is over: #{lines}") do
  lines.include?("misp_lookup: memcached is silent") && lines.last == "misp_lookup: memcached answers, and is fresh" && lines.size < 400
end
report.finish
