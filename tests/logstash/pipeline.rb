# Runs the filter section of a Logstash configuration on an event double: enough of the
# language and of the filters mutate, kv, fingerprint, memcached and ruby for the
# examples in logstash/. What it does not know it refuses. The memcached filter is the
# real one's order of calls on the real Dalli: sprintf of each key, one get_multi, set.

require "dalli"
require "digest"
require_relative "support"

# Configuration text => [[:plugin, name, options] or [:if, [[condition, body], ...]], ...]
class Configuration
  def self.parse(text)
    new(text.gsub(/^\s*#.*$/, "")).parse
  end

  def initialize(text)
    @rest = text
  end

  def parse
    take(/filter\s*\{/)
    body.tap { raise "left over: #{@rest[0, 60]}" unless @rest.strip.empty? }
  end

  private

  def take(pattern)
    match = /\A\s*(?:#{pattern})/m.match(@rest) || raise("#{pattern.source} expected: #{@rest[0, 60]}")
    @rest = match.post_match
    match
  end

  def next?(pattern)
    /\A\s*(?:#{pattern})/m.match?(@rest)
  end

  def body
    list = []
    list << (next?(/if\b/) ? conditional : plugin) until next?(/\}/)
    take(/\}/)
    list
  end

  def conditional
    take(/if/)
    branches = [branch]
    while next?(/else\b/)
      take(/else/)
      branches << (next?(/if\b/) ? take(/if/) && branch : [[:always], braced])
    end
    [:if, branches]
  end

  def branch
    field = take(/((?:\[[^\[\]]+\])+)/)[1]
    condition = next?(/=~/) ? [:match, field, Regexp.new(take(%r{=~\s*/((?:[^/\\]|\\.)*)/})[1])] : [:truth, field]
    [condition, braced]
  end

  def braced
    take(/\{/)
    body
  end

  def plugin
    name = take(/([a-z_]+)\s*\{/)[1]
    options = {}
    until next?(/\}/)
      key = take(/([a-z_]+)\s*=>/)[1]
      options[key] = value
    end
    take(/\}/)
    [:plugin, name, options]
  end

  def value
    if next?(/"/) then take(/"((?:[^"\\]|\\.)*)"/)[1]
    elsif next?(/'/) then take(/'([^']*)'/)[1]
    elsif next?(/\[/) then array
    elsif next?(/\{/) then hash
    else take(/([0-9a-z_.]+)/)[1]
    end
  end

  def array
    take(/\[/)
    list = []
    until next?(/\]/)
      list << value
      take(/,/) if next?(/,/)
    end
    take(/\]/)
    list
  end

  def hash
    take(/\{/)
    pairs = {}
    until next?(/\}/)
      key = value
      take(/=>/)
      pairs[key] = value
    end
    take(/\}/)
    pairs
  end
end

# A configuration at work.
class Pipeline
  # `variables` are those of ${NAME:default}; `scripts` is where the ruby filters' are.
  def initialize(path, variables, scripts)
    text = File.read(path).gsub(/\$\{([A-Z_]+):([^}]*)\}/) { variables.fetch($1, $2) }
    @scripts = scripts
    @steps = prepare(Configuration.parse(text))
  end

  def filter(event)
    run(@steps, event)
    [event]
  end

  private

  # Each plugin is made once, as when a pipeline starts.
  def prepare(steps)
    steps.map do |kind, *rest|
      next [:if, rest[0].map { |condition, body| [condition, prepare(body)] }] if kind == :if

      name, options = rest
      [:plugin, send("#{name}_filter", options)]
    end
  end

  def run(steps, event)
    steps.each do |kind, what|
      next what.call(event) if kind == :plugin

      chosen = what.find { |condition, _| true?(condition, event) }
      run(chosen[1], event) if chosen
    end
  end

  def true?(condition, event)
    kind, field, pattern = condition
    value = field && event.get(field)
    case kind
    when :always then true
    # As in Logstash: a missing field and an array match no pattern.
    when :match then value.is_a?(String) && pattern.match?(value)
    else !value.nil? && value != false
    end
  end

  # The parts of mutate in the order in which it does them, whatever the order they
  # are written in.
  def mutate_filter(options)
    known = %w[gsub lowercase strip copy remove_field add_tag]
    raise "mutate knows #{known}, not #{options.keys - known}" unless (options.keys - known).empty?

    lambda do |event|
      options.fetch("gsub", []).each_slice(3) do |field, pattern, replacement|
        change(event, field) { |text| text.gsub(Regexp.new(pattern), replacement) }
      end
      options.fetch("lowercase", []).each { |field| change(event, field, &:downcase) }
      options.fetch("strip", []).each { |field| change(event, field, &:strip) }
      options.fetch("copy", {}).each { |from, to| event.set(to, event.get(from)) unless event.get(from).nil? }
      options.fetch("remove_field", []).each { |field| event.remove(field) }
      options.fetch("add_tag", []).each { |tag| event.tag(tag) }
    end
  end

  def change(event, field)
    case value = event.get(field)
    when String then event.set(field, yield(value))
    when Array then event.set(field, value.map { |one| one.is_a?(String) ? yield(one) : one })
    end
  end

  def kv_filter(options)
    lambda do |event|
      Array(event.get(options["source"])).grep(String).each do |text|
        text.split(/[#{Regexp.escape(options['field_split'])}]/).each do |part|
          name, equals, value = part.partition("=")
          next if equals.empty? || value.empty?

          event.set("#{options['target']}[#{name.downcase}]", value) unless name =~ /[\[\],]/ || name.empty?
        end
      end
    end
  end

  def fingerprint_filter(options)
    lambda do |event|
      value = event.get(options["source"])
      event.set(options["target"], Digest::SHA256.hexdigest(value)) if value.is_a?(String)
    end
  end

  def memcached_filter(options)
    settings = { expires_in: 0 }
    settings[:namespace] = options["namespace"] if options["namespace"]
    client = Dalli::Client.new(options["hosts"], settings)
    lambda do |event|
      fields = options["get"].map { |key, field| [event.sprintf(key), field] }.to_h
      found = client.get_multi(fields.keys)
      fields.each { |key, field| event.set(field, found[key]) unless found[key].nil? }
    rescue StandardError
      event.tag("_memcached_failure")
    end
  end

  def ruby_filter(options)
    if options["code"]
      code = eval("lambda { |event| #{options['code']} }", TOPLEVEL_BINDING, "inline")
      lambda do |event|
        code.call(event)
      rescue StandardError
        event.tag("_rubyexception")
      end
    else
      host = ScriptHost.registered(File.join(@scripts, File.basename(options["path"])), options.fetch("script_params", {}))
      ->(event) { host.filter(event) }
    end
  end
end
