# Events a second of both ways, with one worker and with several, on the events of
# cases.rb, against a memcached that it starts and fills. The plain way is its
# simulation (pipeline.rb), whose memcached filter does what the real one does; what
# Logstash itself takes for an event comes on top of both.
#
#   ruby tests/logstash/throughput.rb [SECONDS]

require "json"
require "logger"
require "socket"
require_relative "pipeline"
require_relative "cases"

LOGSTASH = File.expand_path("../../logstash", __dir__)
SECONDS = (ARGV[0] || 10).to_f
EVENTS = cases.select { |one| one.sets.include?("ecs") }.map(&:data)

def clock
  Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

# Events a second in a third of SECONDS.
def rate(way, workers)
  seconds = SECONDS / 3
  stop = clock + seconds
  counts = Array.new(workers) do
    Thread.new do
      count = 0
      while clock < stop
        EVENTS.each { |data| way.filter(LogStash::Event.new(data)) }
        count += EVENTS.size
      end
      count
    end
  end
  counts.map(&:value).reduce(:+) / seconds
end

def start_memcached
  port = TCPServer.open("127.0.0.1", 0) { |server| server.addr[1] }
  user = Process.uid.zero? ? %w[-u root] : []
  process = Process.spawn("memcached", "-U", "0", "-l", "127.0.0.1", "-p", port.to_s, *user)
  at_exit { Process.kill("TERM", process) }
  client = Dalli::Client.new(["127.0.0.1:#{port}"], {})
  limit = clock + 20
  begin
    client.alive!
  rescue Dalli::DalliError
    retry if clock < limit && sleep(0.05)
    raise
  end
  values.each { |key, value| client.set(key, value, 0, raw: true) }
  "127.0.0.1:#{port}"
end

# A few of the listed values, and networks of three lengths.
def values
  { "misp-last-load" => Time.now.to_i.to_s, "misp-networks" => "4:24,22,16;6:48", "misp-cidr:198.51.100.0/24" => "6#ip-dst",
    "misp-sha256:#{listed(1)}" => "1#sha256", "misp-domain:evil.example" => "7#domain|ip", "misp-ip:203.0.113.200" => "22#ip-src" }
end

Dalli.logger = Logger.new(IO::NULL)
server = start_memcached
script = ScriptHost.registered(File.join(LOGSTASH, "misp_lookup.rb"), "servers" => server, "timeout" => 20)
plain = Pipeline.new(File.join(LOGSTASH, "pipeline.conf"), { "MISP_MEMCACHED" => server }, LOGSTASH)
ways = { "misp_lookup.rb" => script, "memcached filters" => plain }
puts RUBY_DESCRIPTION
# For the JIT compiler.
ways.each_value { |way| 3.times { rate(way, 4) } }
# In turns, so that a machine that is busy for a while is so for both.
[1, 4].each do |workers|
  rates = Array.new(3) { ways.map { |_, way| rate(way, workers) } }.transpose.map { |three| three.sort[1].round }
  puts "#{workers} worker(s): #{ways.keys.zip(rates).map { |name, one| "#{name} #{one} events/s" }.join(', ')}"
end
