# Reads keys back with Dalli, the client inside Logstash's memcached filter, and
# compares them with what was expected. What this finds, Logstash finds.
#
#   ruby tests/dalli/read_back.rb HOST:PORT EXPECTATIONS.json
#
# EXPECTATIONS is an array of {"namespace": "misp-ip", "key": "1.2.3.4", "value": "2#ip-dst"}.
# A value of null must be a miss; a namespace of null or none at all is no namespace.
# Each mismatch is one line; the last line is "N read back, M wrong". Exit code: 0 all
# right, 1 something wrong or no server, 2 wrong usage.
#
# It knows nothing of how keys are built: the expectations say what is asked.

require "json"
require "logger"
require "timeout"
begin
  require "dalli"
rescue LoadError
  warn "read_back: Dalli is missing: install the gem dalli (Debian: ruby-dalli)"
  exit 2
end

# get_multi gives up silently after one second. On a busy machine that looks like a
# miss, so an unexpected one is asked for once more.
ATTEMPTS = 2

# Dalli 3.2.4 and later never return for some keys; a test must.
PATIENCE_SECONDS = 10

def usage(message)
  warn "read_back: #{message}"
  warn "usage: ruby read_back.rb HOST:PORT EXPECTATIONS.json"
  exit 2
end

def read_expectations(path)
  list = JSON.parse(File.read(path, encoding: "UTF-8"))
  usage("#{path}: not an array of objects") unless list.is_a?(Array) && list.all?(Hash)
  list.each_with_index do |one, i|
    texts = one["key"].is_a?(String) && [one["namespace"], one["value"]].all? { |text| text.nil? || text.is_a?(String) }
    usage("#{path}: entry #{i}: key must be text; namespace and value text or null") unless texts && one.key?("value")
  end
rescue SystemCallError, JSON::ParserError => e
  usage("#{path}: #{e.message}")
end

# One client per namespace, with the options that the filter passes and no others.
class Reader
  def initialize(host)
    @host = host
    @clients = {}
  end

  # What the filter would put into the event: the value, or nil for a miss.
  def read(namespace, key)
    Timeout.timeout(PATIENCE_SECONDS) { client(namespace).get_multi([key])[key] }
  rescue StandardError
    # The connection may be in the middle of an answer.
    @clients.delete(namespace)
    raise
  end

  # The filter asks this when the pipeline starts. Without it a server that is not
  # there would read as nothing but misses.
  def check!
    client(nil).alive!
  end

  private

  def client(namespace)
    @clients[namespace] ||= begin
      options = { expires_in: 0 }
      options[:namespace] = namespace unless namespace.nil? || namespace.empty?
      Dalli::Client.new([@host], options)
    end
  end
end

# nil where the server holds what is expected, else what is wrong.
def mismatch(reader, expected)
  want = expected["value"]&.b
  got = nil
  ATTEMPTS.times do
    got = reader.read(expected["namespace"], expected["key"])
    break unless got.nil? && want
  end
  return "is #{got.class}, not text (client flags?)" unless got.nil? || got.is_a?(String)
  return if got&.b == want

  "expected #{want.nil? ? 'a miss' : want.inspect}, got #{got.nil? ? 'a miss' : got.b.inspect}"
rescue StandardError => e
  "#{e.class}: #{e.message}"
end

usage("two arguments, please") unless ARGV.size == 2
host, path = ARGV
expectations = read_expectations(path)
Dalli.logger = Logger.new(IO::NULL)
reader = Reader.new(host)
wrong = 0
begin
  reader.check!
  expectations.each do |expected|
    message = mismatch(reader, expected)
    next if message.nil?

    wrong += 1
    puts "#{expected['namespace']}:#{expected['key'].inspect}: #{message}"
  end
  reader.check!
rescue Dalli::DalliError => e
  puts "no memcached at #{host}: #{e.message}"
  wrong = expectations.size
end
puts "#{expectations.size} read back, #{wrong} wrong"
exit(wrong.zero? ? 0 : 1)
