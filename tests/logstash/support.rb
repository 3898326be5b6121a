# A small double of what Logstash gives a ruby filter script: the event, the object in
# which the script is evaluated, and the runner of its `test` blocks. Knows nothing of
# any script.
#
# The real LogStash::Event comes only with Logstash itself. This one has fields by
# [a][b] paths, sprintf, tags, and an error where the real one raises (a field below a
# string).

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

    # "%{[a][b]}" becomes the field's text: an array its elements with commas, a missing
    # one stays as it is.
    def sprintf(text)
      text.gsub(/%\{(\[[^}]+\]|[^}]+)\}/) do |whole|
        value = get($1)
        value.nil? ? whole : Array(value).join(",")
      end
    end

    def include?(path)
      !get(path).nil?
    end

    def to_hash
      copy(@data)
    end

    def tag(name)
      @data["tags"] = Array(@data["tags"]) | [name]
    end

    private

    # [a][b] or a bare top-level name. Kept, as Logstash keeps them; for each thread, as
    # several workers ask at once.
    def names(path)
      known = (Thread.current[:field_references] ||= {})
      known[path] ||= parsed(path)
    end

    def parsed(path)
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
      @lock = Mutex.new
    end

    %i[trace debug info warn error].each do |level|
      define_method(level) { |message, details = {}| @lock.synchronize { @lines << [level, message, details] } }
    end
  end

  attr_reader :logger

  def initialize(script, &on_test)
    @logger = Logger.new
    define_singleton_method(:test) { |name, &block| on_test&.call(name, block) }
    instance_eval(File.read(script), script, 1)
  end

  def self.registered(script, params = {})
    new(script).tap { |host| host.register(params) }
  end
end

# A `test "..." do ... end` block of the script.
class TestBlock
  def initialize(script, name, block)
    @name = name
    @host = ScriptHost.new(script)
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

  # All those of a script.
  def self.of(script)
    [].tap { |blocks| ScriptHost.new(script) { |name, block| blocks << new(script, name, block) } }
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

