# Runs logstash/process_ioc.rb outside Logstash: its own `test` blocks, checks of
# ours, and the parts of the example configurations that are Ruby (guards, inline
# code). Knows nothing of memcached; tests/dalli reads that back.
#
#   ruby tests/logstash/process_ioc_test.rb

require "ipaddr"
require_relative "support"

ROOT = File.expand_path("../..", __dir__)
SCRIPT = File.join(ROOT, "logstash", "process_ioc.rb")
CONFIGURATIONS = %w[pipeline.conf pipeline-7x.conf].map { |name| File.join(ROOT, "logstash", name) }

def enrich(data, params = {})
  event = LogStash::Event.new(data)
  [event, ScriptHost.registered(SCRIPT, params).filter(event)]
end

def found(value)
  { "enrich" => { "tmp" => value } }
end

# The contract that holds for every input: the event itself comes back, alone, and the
# arrays are parallel.
def kept?(event, result)
  ids = event.get("[misp][event_id]") || []
  types = event.get("[misp][type]") || []
  result.size == 1 && result.first.equal?(event) && ids.size == types.size &&
    ids.all? { |id| id.match?(/\A[0-9]+\z/) } && types.none?(&:empty?)
end

def check_contract(report)
  broken = [
    nil, "", " ", "\n", ",", "#", ",,,", "##", "7", "7#", "#md5", "x#md5", "7##md5", "7 8#md5", "-7#md5",
    "\xff\xfe", "7#\xff", "\xff#md5,7#md5".b, "7#md5\x00", "７#md5", true, false, 7, 7.5, [], {}, [nil, 7, [""]],
    { "a" => nil, "b" => { "c" => "" } }, "7#md5".b.freeze, "7#md5," * 100_000
  ]
  broken.each do |value|
    event, result = enrich(found(value))
    report.check("contract for #{value.inspect[0, 40]}") { kept?(event, result) && event.get("[tags]").nil? }
  end

  # A fixed seed: a failure comes again.
  random = Random.new(20_261_121)
  alphabet = ["7", "12", "#", "#", ",", ",", "md5", "ip-dst|port", " ", "\xff", "é", "\n", "-", ""]
  # JRuby is slow until it is warm, and has the same ones first.
  (RUBY_ENGINE == "jruby" ? 200 : 2000).times do
    value = Array.new(random.rand(12)) { alphabet.sample(random: random) }.join
    value = value.b if random.rand(2).zero?
    event, result = enrich(found(value))
    report.check("contract for #{value.inspect}") { kept?(event, result) }
  end
end

def check_values(report)
  event, = enrich(found("2#ip-dst,3#ip-dst".b))
  report.check("bytes without an encoding become text") do
    event.get("[misp][type]") == %w[ip-dst ip-dst] &&
      event.get("[misp][event_id]").all? { |id| id.encoding == Encoding::UTF_8 }
  end

  event, = enrich({ "found" => "2#url" }, { "field" => "found" })
  report.check("a top-level field") { event.get("[misp][event_id]") == ["2"] && event.get("found").nil? }

  event, = enrich(found("2#url"), { "field" => " " })
  report.check("a blank field name is the default") { event.get("[misp][event_id]") == ["2"] }

  # The way of older configurations: one field, one ruby filter behind each look-up.
  host = ScriptHost.registered(SCRIPT)
  event = LogStash::Event.new(found("2#ip-dst"))
  host.filter(event)
  host.filter(event)
  event.set("[enrich][tmp]", "2#ip-dst,9#domain")
  host.filter(event)
  report.check("one filter behind each look-up") do
    event.get("[misp][event_id]") == %w[2 9] && event.get("[misp][type]") == %w[ip-dst domain]
  end

  event, = enrich({ "misp" => { "event_id" => 2, "type" => "url" } }.merge(found("3#md5")))
  report.check("plain values that were there are kept") do
    event.get("[misp][event_id]") == [2, "3"] && event.get("[misp][type]") == %w[url md5]
  end
end

def check_failures(report)
  host = ScriptHost.registered(SCRIPT)
  event = LogStash::Event.new({ "misp" => "a string" }.merge(found("2#url")))
  result = host.filter(event)
  report.check("a field in the way: the event lives, tagged and logged") do
    result == [event] && event.get("misp") == "a string" &&
      event.get("tags") == ["_misp_enrichment_failure"] && host.logger.lines.size == 1
  end

  event, result = enrich(found("2#url"), { "field" => "[enrich][tmp" })
  report.check("a field name that is none") { result == [event] && event.get("tags") == ["_misp_enrichment_failure"] }

  report.check("the double refuses what Logstash refuses") do
    LogStash::Event.new("a" => "b").set("[a][c]", 1)
    false
  rescue RuntimeError
    true
  end
end

# The longest key that Logstash's filter finds, namespace and colon included.
LONGEST = 250

# What the loader calls a value: as it is, or by its SHA-256 where that is too long for
# memcached (in base64, if it has a blank). docs/keys.md.
def stored(namespace, value)
  key = "#{namespace}:#{value}"
  wire = value.include?(" ") ? (key.bytesize + 2) / 3 * 4 : key.bytesize
  wire > LONGEST ? :hashed : :plain
end

# Every look-up by a field stands behind a guard on that same field, and the guard
# lets no key through that Logstash's filter cannot ask for, nor one under which the
# loader keeps nothing.
def check_guards(report, path, text)
  asked = look_ups(text)
  report.check("#{path}: look-ups are found in the text") { asked.size >= 10 }
  bad = ["", " ", "\t", " a", "é", "ok\n#{'é' * 200}", "#{'é' * 300}\nok", "ok\n", "#{'é' * 126}"]
  good = [1, 2, 160, 170, 175, 190, 225, 230, 235, 241, 242, 250, 300, 5000].flat_map { |n| ["a" * n, "a#{' ' * (n - 1)}"] }.uniq
  asked.each do |hashed, field, namespace, (guarded, pattern)|
    name = "#{File.basename(path)}: #{field}"
    report.check("#{name} has its guard") { hashed ? field == guarded.sub(/\]\z/, "_sha256]") : field == guarded }
    bad.each { |key| report.check("#{name} keeps #{key[0, 8].inspect} out") { !pattern.match?(key) } }
    report.check("#{name} has a guard of printable ASCII") { pattern.source.start_with?("\\A") && pattern.source.end_with?("\\z") }
  end
  # Of an if and its else ifs the first that fits asks.
  asked.group_by { |_, _, _, (guarded, _)| guarded }.each do |field, branches|
    good.each do |value|
      hashed, _, namespace, = branches.find { |_, _, _, (_, pattern)| pattern.match?(value) }
      form = namespace && (hashed ? :hashed : :plain)
      kept = stored(branches[0][2], value)
      name = "#{File.basename(path)}: #{field} of #{value.size}#{' with blanks' if value.include?(' ')}"
      report.check("#{name}: #{form.inspect} for #{kept}") { form.nil? ? value.size > 230 || value.include?(" ") : form == kept }
    end
  end
end

# [whether by SHA-256, field of the key, namespace, [guarded field, pattern]] of each.
# Those of arrays are left out: code makes their keys, and check_inline_code runs it.
def look_ups(text)
  guard = namespace = nil
  text.each_line.with_object([]) do |line, asked|
    case line
    when %r{\bif (\[[^ ]+\]) =~ /(.*)/ \{} then guard = [$1, Regexp.new($2)]
    when /^\s*if / then guard = nil
    when /namespace => "([^"]+)"/ then namespace = $1
    when /"(sha256:)?%\{(\[enrich\]\[key\]\[(?!resolved_|mail_)[^}]+)\}"\s*=>/ then asked << [$1, $2, namespace, guard]
    end
  end
end

# Inline code, run as Logstash does: the body of a lambda that has `event`.
def check_inline_code(report, path, text)
  name = File.basename(path)
  codes = text.scan(/code => '(.*?)'/m).flatten.map { |code| eval("lambda { |event| #{code} }") }
  spread, stale, mails = codes.values_at(0, -1, codes.size > 2 ? 1 : 9)
  check_mails(report, name, mails) if mails

  addresses = [" 1.2.3.4", "::FFFF:5.6.7.8", "2001:DB8::1", "fe80::1%eth0", "%eth0", "", nil, 7, "é", "x" * 300, "1.2.3.4"]
  event = LogStash::Event.new("dns" => { "resolved_ip" => addresses })
  spread.call(event)
  keys = Array.new(8) { |i| event.get("[enrich][key][resolved_#{i}]") }
  report.check("#{name}: resolved addresses") do
    keys == ["1.2.3.4", "5.6.7.8", "2001:db8::1", "fe80::1", "-", "-", "-", "-"]
  end
  report.check("#{name}: the event's own field stays") { event.get("[dns][resolved_ip]") == addresses }

  event = LogStash::Event.new("dns" => { "resolved_ip" => "1.2.3.4" })
  spread.call(event)
  report.check("#{name}: one address") { event.get("[enrich][key][resolved_0]") == "1.2.3.4" }

  event = LogStash::Event.new("dns" => { "resolved_ip" => Array.new(20) { |i| IPAddr.new(i, Socket::AF_INET).to_s } })
  spread.call(event)
  report.check("#{name}: eight addresses at most") { event.get("[enrich][key]").size == 8 }

  { Time.now.to_i.to_s => false, (Time.now.to_i - 7300).to_s => true, nil => true, "" => true }.each do |last, tagged|
    event = LogStash::Event.new("enrich" => { "last_load" => last })
    stale.call(event)
    report.check("#{name}: last load #{last.inspect}") { (event.get("tags") == ["_misp_stale"]) == tagged }
  end
end

def check_mails(report, name, mails)
  event = LogStash::Event.new(
    "email" => { "from" => { "address" => ["A <Mail@Evil.Example>"] }, "to" => { "address" => "é@x" },
                 "cc" => { "address" => [nil, " ", "b@evil.example", "x" * 300, "mail@evil.example"] } }
  )
  mails.call(event)
  keys = Array.new(8) { |i| event.get("[enrich][key][mail_#{i}]") }
  report.check("#{name}: mail addresses") { keys == ["mail@evil.example", "b@evil.example"] + ["-"] * 6 }
  event = LogStash::Event.new("email" => "text")
  mails.call(event)
  report.check("#{name}: no mail address") { event.get("[enrich][key]").values.uniq == ["-"] }
end

report = Report.new
blocks = TestBlock.of(SCRIPT)
report.check("the script has tests") { blocks.size >= 3 }
blocks.each { |block| block.run(report) }
check_contract(report)
check_values(report)
check_failures(report)
CONFIGURATIONS.each do |path|
  text = File.read(path).gsub(/^\s*#.*$/, "")
  check_guards(report, path, text)
  check_inline_code(report, path, text)
end
report.finish
