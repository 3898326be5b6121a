# What values say behind EVENTID#TYPE, from MISP's own answer to the document: the look-up
# script with the real Dalli, against a memcached that our loader has filled from
# context.json with all fields of `memcached.context`, in the order of FIELDS.
#
#   ruby tests/logstash/context.rb HOST:PORT

require "dalli"
require "json"
require "logger"
require_relative "mappings"
require_relative "support"

LOGSTASH = File.expand_path("../../logstash", __dir__)
FIELDS = %w[category attribute_uuid event_uuid event_info threat_level tlp org first_seen last_seen].freeze

# One event of MISP for each; its id is the place.
WORLD = JSON.parse(File.read(File.join(__dir__, "context.json"), encoding: "UTF-8"))

# Fields of a log, and the events of MISP that are found.
LOGS = [
  [{ "destination" => { "ip" => "203.0.113.7" } }, [1, 2]],
  [{ "url" => { "domain" => "www.evil.example" } }, [3]],
  [{ "file" => { "hash" => { "sha256" => WORLD[3]["value"].split("|").last.upcase } } }, [4]],
  [{ "source" => { "ip" => "198.51.100.77" } }, [5]],
  [{ "destination" => { "ip" => "203.0.113.7" }, "url" => { "domain" => "evil.example" } }, [1, 2, 3]],
  [{ "destination" => { "ip" => "192.0.2.1" } }, []]
].freeze

# The longest text of a field that needs no escapes but for its blanks and commas.
def cut(text)
  room = 128
  text.each_char.take_while { |c| (room -= c.match?(/[ ,#%]/) ? 3 : 1) >= 0 }.join
end

# What ECS has a place for, of one event of MISP.
def indicator(id)
  said = WORLD[id - 1]
  { "provider" => said["org"], "confidence" => said["shown"]["confidence"],
    "marking" => said["shown"]["tlp"] && { "tlp" => said["shown"]["tlp"] },
    "first_seen" => said["first_seen"], "last_seen" => said["last_seen"],
    "description" => "#{said['type']} in MISP event #{id}",
    "reference" => "https://misp.example/events/view/#{id}" }.compact
end

def lookup(params)
  params = { "servers" => ARGV, "timeout" => 20, "misp_url" => "https://misp.example" }.merge(params)
  ScriptHost.registered(File.join(LOGSTASH, "misp_lookup.rb"), params)
end

def found(host, data)
  event = LogStash::Event.new(data)
  host.filter(event)
  [event, Array(event.get("[threat][enrichments]"))]
end

def check_all_fields(report, mappings)
  host = lookup("context" => FIELDS)
  LOGS.each do |data, ids|
    event, enrichments = found(host, data)
    report.check("#{data}: events #{ids}") { enrichments.map { |one| one["matched"]["id"].to_i }.sort == ids }
    enrichments.each do |one|
      wanted = indicator(one["matched"]["id"].to_i)
      shown = one["indicator"].slice(*indicator(1).keys)
      report.check("#{data}: #{shown} is #{wanted}") { shown == wanted }
    end
    check_flat(report, event, data, ids)
    wrong = mappings.faults(event.to_hash.slice("misp", "threat"))
    report.check("#{data}: the document fits (#{wrong.join('; ')})") { wrong.empty? }
  end
end

# What ECS has no place for: beside the ids, of all hits.
def check_flat(report, event, data, ids)
  %w[category attribute_uuid event_uuid event_info].each do |name|
    wanted = ids.map { |id| name == "event_info" ? cut(WORLD[id - 1][name]) : WORLD[id - 1][name] }
    shown = Array(event.get("[misp][#{name}]"))
    report.check("#{data}: misp.#{name} #{shown} is #{wanted}") { shown.sort == wanted.uniq.sort }
  end
  %w[org tlp threat_level first_seen last_seen].each do |name|
    report.check("#{data}: no misp.#{name}") { event.get("[misp][#{name}]").nil? }
  end
end

# A reader that was not told of the fields has the hits as ever.
def check_two_fields(report)
  host = lookup({})
  LOGS.each do |data, ids|
    event, enrichments = found(host, data)
    report.check("#{data}: two fields, events #{ids}") { Array(event.get("[misp][event_id]")).map(&:to_i).sort == ids }
    types = ids.map { |id| WORLD[id - 1]["type"] }
    report.check("#{data}: two fields, types #{types}") { Array(event.get("[misp][type]")).sort == types.sort }
    plain = enrichments.all? do |one|
      one["indicator"]["provider"] == "MISP" && (one["indicator"].keys & %w[confidence marking first_seen last_seen]).empty?
    end
    report.check("#{data}: two fields, nothing more") { plain }
  end
end

Dalli.logger = Logger.new(IO::NULL)
report = Report.new
check_all_fields(report, Mappings.new(File.join(LOGSTASH, "elasticsearch", "misp-component-template.json")))
check_two_fields(report)
report.check("a title was cut") { cut(WORLD[3]["event_info"]) != WORLD[3]["event_info"] }
report.finish
