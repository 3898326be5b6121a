# Every event of cases.rb through both ways, with the real Dalli and a real memcached
# that our loader has filled with world.json: which hit is found in which way. Then the
# documents that come out, against the mappings for Elasticsearch.
#
#   ruby tests/logstash/both_ways.rb HOST:PORT [HOST:PORT...]
#
# With several servers they are a ring. Prints the table that logstash/README.md has.

require "json"
require "logger"
require "timeout"
require_relative "mappings"
require_relative "pipeline"
require_relative "cases"

ROOT = File.expand_path("../..", __dir__)
LOGSTASH = File.join(ROOT, "logstash")
SCRIPT = File.join(LOGSTASH, "misp_lookup.rb")

# Longest time for one event before it counts as hung; the machine may be busy.
PATIENCE = 30

def ids(event)
  Array(event.get("[misp][event_id]")).map(&:to_i).uniq.sort
end

# The event after a way, and its own fields after it.
def through(way, data)
  event = LogStash::Event.new(data)
  result = Timeout.timeout(PATIENCE) { way.filter(event) }
  raise "#{result.size} events" unless result.size == 1 && result[0].equal?(event)

  event
end

def lookup(params)
  # A busy machine must not look like a silent server.
  ScriptHost.registered(SCRIPT, { "servers" => ARGV, "distribution" => ARGV.size > 1 ? "ring" : "replicate",
                                  "timeout" => 20, "misp_url" => "https://misp.example" }.merge(params))
end

# A table of Markdown: which log, in which form, and who finds it.
def table(rows)
  lines = ["| log | value | misp_lookup.rb | memcached filter |", "|---|---|---|---|"]
  lines + rows.map { |one, good, plain| "| #{one.log} | #{one.form} | #{cell(one, good)} | #{cell(one, plain)} |" }
end

def cell(one, found)
  return found.empty? ? "" : "wrongly" if one.listed.empty?

  found == one.listed ? "hit" : found.empty? ? "-" : "#{found.size} of #{one.listed.size}"
end

def check_ways(report, mappings)
  goods = cases.map(&:sets).uniq.map { |sets| [sets, lookup("sets" => sets)] }.to_h
  plain = Pipeline.new(File.join(LOGSTASH, "pipeline.conf"), { "MISP_MEMCACHED" => ARGV[0] }, LOGSTASH)
  rows = cases.map do |one|
    good = through(goods[one.sets], one.data)
    report.check("#{one.log}, #{one.form}: #{ids(good)} by the script") { ids(good) == one.listed }
    report.check("#{one.log}: no tag but the hit's") { good.get("tags") == (one.listed.empty? ? nil : ["misp_hit"]) }
    check_document(report, mappings, one, good)
    # One server of a ring does not have everything.
    next [one, ids(good), one.plain] if ARGV.size > 1

    event = through(plain, one.data)
    report.check("#{one.log}, #{one.form}: #{ids(event)} by the filter") { ids(event) == one.plain }
    report.check("#{one.log}: its tags #{event.get('tags')}") { event.get("tags") == (one.plain.empty? ? nil : ["misp"]) }
    check_untouched(report, one, event)
    [one, ids(good), ids(event)]
  end
  check_manual(report, table(rows))
end

# What Elasticsearch would say of it.
def check_document(report, mappings, one, event)
  check_untouched(report, one, event)
  wrong = mappings.faults(event.to_hash.select { |name, _| %w[misp threat].include?(name) })
  report.check("#{one.log}: the document fits (#{wrong.join('; ')})") { wrong.empty? }
  Array(event.get("[threat][enrichments]")).each do |enrichment|
    id = enrichment["matched"]["id"]
    report.check("#{one.log}: the link") do
      enrichment["indicator"]["reference"] == "https://misp.example/events/view/#{id}" && one.listed.include?(id.to_i)
    end
    report.check("#{one.log}: the field #{enrichment['matched']['field']}") { !enrichment["matched"]["field"].empty? }
  end
end

# Nothing of the event itself is changed or lost.
def check_untouched(report, one, event)
  kept = event.to_hash.reject { |name, _| %w[misp threat tags].include?(name) }
  report.check("#{one.log}: its own fields") { kept == LogStash::Event.new(one.data).to_hash }
end

def check_manual(report, lines)
  puts lines
  manual = File.read(File.join(LOGSTASH, "README.md"), encoding: "UTF-8")
  report.check("logstash/README.md has this table") { manual.include?(lines.join("\n")) }
end

# The template says of each ECS field what ECS says, and has no other in `threat`.
def check_template(report, mappings)
  ours = mappings.fields.select { |name, _| name.start_with?("threat.") }
  report.check("the template's fields are ECS' (#{(ours.to_a - Mappings.ecs.to_a).inspect})") { ours == Mappings.ecs }
  wrong = [{ "misp" => { "event_id" => 7 } }, { "threat" => { "enrichments" => [{ "indicator" => { "ip" => "10.0.0.0/8" } }] } },
           { "threat" => { "enrichments" => [{ "matched" => { "occurred" => "soon" } }] } }, { "misp" => { "x" => { "y" => 1 } } }]
  wrong.each { |document| report.check("#{document} does not fit") { mappings.faults(document).size == 1 } }
end

Dalli.logger = Logger.new(IO::NULL)
report = Report.new
mappings = Mappings.new(File.join(LOGSTASH, "elasticsearch", "misp-component-template.json"))
check_template(report, mappings)
check_ways(report, mappings)
report.finish
