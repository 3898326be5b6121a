# Runs logstash/process_ioc.rb outside Logstash: its own `test` blocks, checks of
# ours, and the parts of the example configurations that are Ruby (guards, inline
# code). Knows nothing of memcached; tests/dalli reads that back.
#
#   ruby tests/logstash/process_ioc_test.rb
#
# The real LogStash::Event comes only with Logstash itself, so a small double stands
# in: fields by [a][b] paths, and an error where the real one raises (a field below a
# string).

require "ipaddr"

ROOT = File.expand_path("../..", __dir__)
SCRIPT = File.join(ROOT, "logstash", "process_ioc.rb")
CONFIGURATIONS = %w[pipeline.conf pipeline-7x.conf].map { |name| File.join(ROOT, "logstash", name) }

module LogStash
  # The part of Logstash's event that scripts use.
  class Event
    def initialize(data = {})
      @data = copy(data)
    end

    def get(path)
      copy(names(path).reduce(@data) { |at, name| child(at, name) })
    end

    def set(path, value)
      *parents, last = names(path)
      target = parents.reduce(@data) do |at, name|
        raise "could not set field #{name} on #{at.inspect}" unless at.is_a?(Hash)

        at[name] = {} if at[name].nil?
        at[name]
      end
      raise "could not set field #{last} on #{target.inspect}" unless target.is_a?(Hash)

      target[last] = copy(value)
    end

    def remove(path)
      *parents, last = names(path)
      target = parents.reduce(@data) { |at, name| child(at, name) }
      target.delete(last) if target.is_a?(Hash)
    end

    def tag(name)
      @data["tags"] = Array(@data["tags"]) | [name]
    end

    private

    # [a][b] or a bare top-level name.
    def names(path)
      return [path] unless path.include?("[") || path.include?("]")
      raise "invalid field reference #{path}" unless path.match?(/\A(\[[^\[\],]+\])+\z/)

      path.scan(/\[([^\[\]]+)\]/).flatten
    end

    def child(at, name)
      at[name] if at.is_a?(Hash)
    end

    # What goes in and out is copied, as in Logstash: a script that changes what it
    # got has not changed the event.
    def copy(value)
      case value
      when Hash then value.to_h { |name, inner| [name.to_s, copy(inner)] }
      when Array then value.map { |inner| copy(inner) }
      when String then value.dup
      else value
      end
    end
  end
end

# The object in which Logstash evaluates a script, once for each use of it.
class ScriptHost
  # Collects what the script logs.
  class Logger
    attr_reader :lines

    def initialize
      @lines = []
    end

    %i[trace debug info warn error].each do |level|
      define_method(level) { |message, details = {}| @lines << [level, message, details] }
    end
  end

  attr_reader :logger

  def initialize(&on_test)
    @logger = Logger.new
    define_singleton_method(:test) { |name, &block| on_test&.call(name, block) }
    instance_eval(File.read(SCRIPT), SCRIPT, 1)
  end

  def self.registered(params = {})
    new.tap { |host| host.register(params) }
  end
end

# A `test "..." do ... end` block of the script.
class TestBlock
  def initialize(name, block)
    @name = name
    @host = ScriptHost.new
    @expectations = []
    instance_eval(&block)
  end

  def parameters
    @host.register(yield)
  end

  def in_event
    given = yield
    @events = (given.is_a?(Hash) ? [given] : given).map { |data| LogStash::Event.new(data) }
  end
  alias in_events in_event

  def expect(name, &block)
    @expectations << [name, block]
  end

  def run(report)
    results = @events.flat_map { |event| @host.filter(event) }
    @expectations.each { |name, block| report.check("#{@name}: #{name}") { block.call(results) } }
  end
end

# Counts, and names what failed.
class Report
  def initialize
    @checks = 0
    @failed = 0
  end

  def check(name)
    @checks += 1
    result = begin
      yield ? nil : "is not so"
    rescue StandardError => e
      "#{e.class}: #{e.message}"
    end
    return if result.nil?

    @failed += 1
    puts "FAILED #{name}: #{result}"
  end

  def finish
    puts "#{@checks} checks, #{@failed} failed"
    exit(@failed.zero? && @checks.positive? ? 0 : 1)
  end
end

def enrich(data, params = {})
  event = LogStash::Event.new(data)
  [event, ScriptHost.registered(params).filter(event)]
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
  2000.times do
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
  host = ScriptHost.registered
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
  host = ScriptHost.registered
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

# Every look-up by a field stands behind a guard on that same field, and the guard
# lets no key through that Logstash's filter cannot ask for.
def check_guards(report, path, text)
  asked = look_ups(text)
  report.check("#{path}: look-ups are found in the text") { asked.size >= 10 }
  asked.each do |hashed, field, namespace, (guarded, pattern)|
    name = "#{File.basename(path)}: #{field}"
    report.check("#{name} has its guard") { hashed ? field == guarded.sub(/\]\z/, "_sha256]") : field == guarded }

    room = LONGEST - "#{namespace}:".size
    bad = ["", " ", "\t", "a b", "é", "ok\n#{'é' * 200}", "#{'é' * 300}\nok", "ok\n"]
    bad << (hashed ? "a" * room : "a" * (room + 1))
    good = hashed ? ["a" * (room + 1), "a" * 5000] : ["a", "!~", "a" * 230]
    bad.each { |key| report.check("#{name} keeps #{key[0, 8].inspect} out") { !pattern.match?(key) } }
    good.each { |key| report.check("#{name} lets #{key[0, 8].inspect} in") { pattern.match?(key) } }
  end
end

# [whether by SHA-256, field of the key, namespace, [guarded field, pattern]] of each.
# The resolved addresses are left out: code makes their keys, and check_inline_code
# runs it.
def look_ups(text)
  guard = namespace = nil
  text.each_line.with_object([]) do |line, asked|
    case line
    when %r{\bif (\[[^ ]+\]) =~ /(.*)/ \{} then guard = [$1, Regexp.new($2)]
    when /^\s*if / then guard = nil
    when /namespace => "([^"]+)"/ then namespace = $1
    when /"(sha256:)?%\{(\[enrich\]\[key\]\[(?!resolved_)[^}]+)\}"\s*=>/ then asked << [$1, $2, namespace, guard]
    end
  end
end

# Inline code, run as Logstash does: the body of a lambda that has `event`.
def check_inline_code(report, path, text)
  name = File.basename(path)
  spread, stale = text.scan(/code => '(.*?)'/m).flatten.map { |code| eval("lambda { |event| #{code} }") }

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

report = Report.new
blocks = []
ScriptHost.new { |name, block| blocks << TestBlock.new(name, block) }
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
