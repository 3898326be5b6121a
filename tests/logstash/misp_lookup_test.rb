# Runs logstash/misp_lookup.rb outside Logstash and without a memcached: its own `test`
# blocks, the forms it makes of values, and what must hold for every event. What it
# finds in a real memcached is tests/logstash/both_ways.rb's.
#
#   ruby tests/logstash/misp_lookup_test.rb

require "json"
require_relative "support"

SCRIPT = File.expand_path("../../logstash/misp_lookup.rb", __dir__)
FRESH = { "misp-last-load" => Time.now.to_i.to_s }.freeze
NETWORKS = { 32 => [24, 8], 128 => [44] }.freeze

def host(params = {})
  ScriptHost.registered(SCRIPT, { "answers" => FRESH }.merge(params))
end

# The keys that a value of this kind is asked for under.
def keys(kind, value, params = {})
  script = host(params)
  script.forms(kind, value, NETWORKS).map { |namespace, text| script.key(namespace, text).force_encoding("UTF-8") }
end

def check_forms(report)
  {
    ["ip", "198.51.100.9"] => %w[misp-ip:198.51.100.9 misp-cidr:198.51.100.0/24 misp-cidr:198.0.0.0/8],
    ["ip", "[2001:0DB8:0:0:0:0:0:1]:443"] => %w[misp-ip:2001:db8::1 misp-cidr:2001:db8::/44],
    ["ip", "::FFFF:198.51.100.9"] => %w[misp-ip:::ffff:198.51.100.9 misp-ip:198.51.100.9 misp-cidr:198.51.100.0/24
                                        misp-cidr:198.0.0.0/8 misp-cidr:::/44],
    ["ip", "198.51.100.9:443"] => %w[misp-ip:198.51.100.9 misp-cidr:198.51.100.0/24 misp-cidr:198.0.0.0/8],
    ["ip", "010.1.1.1"] => [], ["ip", "1.2.3.256"] => [], ["ip", "evil.example"] => [], ["ip", "::1::"] => [],
    ["ip", "face.example"] => [], ["ip", "%eth0"] => [], ["ip", "1.2.3.4/24"] => [],
    ["domain", "WWW.Host.Example."] => %w[misp-domain:www.host.example misp-domain:host.example],
    ["domain", "a.evil.co.uk"] => %w[misp-domain:a.evil.co.uk misp-domain:evil.co.uk],
    ["domain", "*.evil.example:8443"] => %w[misp-domain:evil.example],
    ["domain", "Bücher.example"] => %w[misp-domain:xn--bcher-kva.example misp-domain:bücher.example],
    ["domain", "他们为什么不说中文.example"] =>
      %w[misp-domain:xn--ihqwcrb4cv8a8dqg056pqjye.example misp-domain:他们为什么不说中文.example],
    ["domain", "x.onion"] => %w[misp-onion-address:x.onion misp-domain:x.onion],
    ["domain", "a b.example"] => [], ["domain", "..."] => [], ["domain", "10.0.19045"] => [],
    ["host", "192.0.2.1"] => %w[misp-ip:192.0.2.1 misp-cidr:192.0.2.0/24 misp-cidr:192.0.0.0/8],
    ["url", "HTTP://A.Example:80/x#top"] =>
      %w[misp-url:HTTP://A.Example:80/x#top misp-url:http://a.example/x#top misp-url:HTTP://A.Example:80/x
         misp-url:http://a.example/x misp-url:http://a.example/x/ misp-url:a.example/x misp-url:a.example/x/
         misp-url:/x misp-domain:a.example],
    ["url", "/gate.php?id=1"] => %w[misp-url:/gate.php?id=1 misp-url:/gate.php],
    ["url", "evil.example:443"] => %w[misp-url:evil.example:443 misp-domain:evil.example],
    ["hashes", "MD5=#{'A' * 32},IMPHASH=#{'B' * 32},SHA-256=short"] => ["misp-md5:#{'a' * 32}", "misp-imphash:#{'b' * 32}"],
    ["md5", "A" * 32] => ["misp-md5:#{'a' * 32}"], ["md5", "A" * 31] => [],
    ["x509", "AA:bb:01"] => %w[misp-x509:aabb01],
    ["email", "A Name <User@Sub.Evil.Example>"] =>
      %w[misp-email:user@sub.evil.example misp-email:User@Sub.Evil.Example misp-domain:sub.evil.example misp-domain:evil.example],
    ["regkey", "HKLM\\Software\\X"] => ["misp-regkey:HKLM\\Software\\X", "misp-regkey:HKEY_LOCAL_MACHINE\\Software\\X"],
    ["named-pipe", "\\evil"] => ["misp-named-pipe:\\evil", "misp-named-pipe:\\\\.\\pipe\\evil", "misp-named-pipe:evil"],
    ["filename", "C:\\Temp\\evil.exe"] => ["misp-filename:C:\\Temp\\evil.exe", "misp-filename:evil.exe"],
    ["mac-address", "00-1B-44-11-3A-B7"] => %w[misp-mac-address:00:1b:44:11:3a:b7],
    ["as", "AS9009"] => %w[misp-as:9009], ["as", 9009] => %w[misp-as:9009], ["as", "9009 x"] => [],
    ["query_results", "type:  5 cdn.evil.example;::ffff:192.0.2.1;"] =>
      %w[misp-domain:cdn.evil.example misp-domain:evil.example misp-ip:::ffff:192.0.2.1 misp-ip:192.0.2.1
         misp-cidr:192.0.2.0/24 misp-cidr:192.0.0.0/8 misp-cidr:::/44],
    ["user-agent", " Mozilla/5.0 (evil) "] => ["misp-user-agent:Mozilla/5.0 (evil)"]
  }.each do |(kind, value), wanted|
    got = keys(kind, value)
    report.check("#{kind} #{value}: #{got}") { got == wanted }
  end
end

def check_keys(report)
  script = host
  long = "http://a.example/#{'x' * 300}"
  hex = Digest::SHA256.hexdigest(long)
  report.check("a long one by its hash") { script.key("url", long) == "misp-url:sha256:#{hex}" }
  room = 250 - "misp-url:".size
  report.check("the longest that fits") { script.key("url", "x" * room).bytesize == 250 }
  report.check("one more") { script.key("url", "x" * (room + 1)).include?("sha256:") }
  report.check("with a blank, base64 counts") do
    script.key("url", "#{'x' * (185 - 'misp-url:'.size)} ").bytesize == 186 &&
      script.key("url", "#{'x' * (186 - 'misp-url:'.size)} ").include?("sha256:")
  end
  report.check("bytes, not letters") { script.key("url", "é" * 126).include?("sha256:") }
  report.check("another prefix") { host("prefix" => "other").key("ip", "1.2.3.4") == "other-ip:1.2.3.4" }
end

def check_settings(report)
  answers = FRESH.merge("misp-ip:192.0.2.1" => "1#ip-dst", "misp-domain:evil.example" => "2#domain")
  look = lambda do |params, data|
    event = LogStash::Event.new(data)
    host({ "answers" => answers }.merge(params)).filter(event)
    event.get("[misp][event_id]")
  end
  both = { "source" => { "ip" => "192.0.2.1" }, "x" => "a.evil.example" }
  report.check("add_fields") { look.call({ "add_fields" => { "[x]" => "domain" } }, both) == %w[1 2] }
  report.check("fields") { look.call({ "fields" => { "x" => "host" } }, both) == %w[2] }
  report.check("parents") { look.call({ "fields" => { "x" => "host" }, "parents" => false }, both).nil? }
  report.check("namespaces") { look.call({ "add_fields" => { "x" => "host" }, "namespaces" => ["domain"] }, both) == %w[2] }
  report.check("sets") { look.call({ "sets" => ["suricata"] }, { "src_ip" => "192.0.2.1" }) == %w[1] }
  report.check("elements of an array") do
    look.call({ "fields" => { "[a][*][b]" => "ip" } }, { "a" => [{ "b" => 7 }, "x", { "b" => "192.0.2.1" }] }) == %w[1]
  end
  report.check("any age") do
    old = { "answers" => answers.merge("misp-last-load" => "1"), "max_age" => 0 }
    event = LogStash::Event.new(both)
    host(old).filter(event)
    event.get("tags") == ["misp_hit"]
  end
  many = (1..300).map { |id| "#{id}#ip-dst" }.join(",")
  event = LogStash::Event.new(both)
  host("answers" => FRESH.merge("misp-ip:192.0.2.1" => many), "max_matches" => 3).filter(event)
  report.check("the newest of many") do
    event.get("[misp][event_id]") == %w[298 299 300] && event.get("tags").include?("_misp_lookup_truncated")
  end
  huge = (1..200_000).map { |id| "#{id}#ip-dst" }.join(",")
  event = LogStash::Event.new(both)
  host("answers" => FRESH.merge("misp-ip:192.0.2.1" => huge)).filter(event)
  report.check("the newest of a megabyte") { event.get("[misp][event_id]").last == "200000" }

  [{ "max_agee" => 1 }, { "timeout" => -1 }, { "timeout" => 0 }, { "timeout" => "soon" }, { "sets" => ["none"] }, { "max_keys" => 0 }, { "max_keys" => 501 },
   { "answers" => nil, "servers" => [] }, { "answers" => nil, "distribution" => "any" }].each do |params|
    report.check("#{params} is refused") do
      host(params)
      false
    rescue ArgumentError, TypeError
      true
    end
  end
end

# What the cache says of itself: where to look at all, and with which prefix lengths.
def check_said(report)
  held = FRESH.merge("misp-namespaces" => "ip", "misp-ip:192.0.2.1" => "1#ip-dst", "misp-url:http://a.example/" => "2#url",
                     "misp-cidr:198.51.100.0/24" => "3#ip-dst")
  data = { "source" => { "ip" => "192.0.2.1" }, "destination" => { "ip" => "198.51.100.9" }, "url" => { "full" => "http://a.example/" } }
  of = lambda do |changes, ttl = 0|
    script = host("answers" => held.merge(changes), "networks_ttl" => ttl)
    answers = script.instance_variable_get(:@answers)
    asked = []
    script.define_singleton_method(:ask) { |keys| asked.concat(keys) && [answers.select { |key, _| (keys + [@heartbeat]).include?(key) }, false] }
    look = lambda do |more = {}|
      more.each { |key, value| value ? answers[key.b] = value : answers.delete(key.b) }
      asked.clear
      event = LogStash::Event.new(data)
      script.filter(event)
      Array(event.get("[misp][event_id]"))
    end
    [look, asked]
  end

  look, asked = of.call({})
  report.check("asked only where there is anything") { look.call == %w[1] && asked.none? { |key| key.start_with?("misp-url:") } }
  report.check("a namespace that has come") { look.call("misp-namespaces" => "ip,url") == %w[1 2] }
  report.check("the first network, for the first event after it") { look.call("misp-networks" => "4:24", "misp-namespaces" => "cidr,ip,url") == %w[1 2 3] }
  report.check("everywhere while keys of a new one are added") { look.call("misp-namespaces" => nil) == %w[1 2 3] }
  look, asked = of.call({}, 1000)
  report.check("the lists are kept for their time") { look.call == %w[1] && look.call("misp-namespaces" => "ip,url") == %w[1] && asked == ["misp-ip:192.0.2.1", "misp-ip:198.51.100.9"] }
  [["a list of long ago", (Time.now.to_i - 100_000).to_s], ["a list that nobody vouches for", nil]].each do |name, beat|
    look, = of.call("misp-last-load" => beat)
    report.check(name) { look.call == %w[1 2] }
  end
  script = host("servers" => %w[192.0.2.1:11211 192.0.2.2:11211], "answers" => nil, "distribution" => "ring")
  script.define_singleton_method(:ask_place) { |place, _| { "misp-last-load" => "7" }.merge(place[:server] == "192.0.2.1:11211" ? { "misp-namespaces" => "ip" } : {}) }
  report.check("one of a ring does not say") { script.ask(["misp-namespaces".b])[0] == { "misp-last-load" => "7" } }
end

# What the Dallis of different Logstashes do differently.
def check_answers(report)
  script = host
  asked = [script.key("email-subject", "März"), "misp-last-load".b]
  [Encoding::UTF_8, Encoding::BINARY].each do |encoding|
    client = Object.new
    client.define_singleton_method(:get_multi) { |keys| keys.map { |key| [key.dup.force_encoding(encoding), "1#x"] }.to_h }
    report.check("keys that come back as #{encoding}") { script.answer(client, asked).keys == asked }
  end
  gone = Object.new
  gone.define_singleton_method(:get_multi) { |_| {} }
  gone.define_singleton_method(:alive!) { raise IOError, "no server" }
  report.check("no answer and no server") { script.answer(gone, asked).nil? }
  empty = gone.clone
  empty.define_singleton_method(:alive!) { true }
  report.check("no answer, but a server") { script.answer(empty, asked) == {} }
end

# Several servers, each of which answers what it is told to here; nil: nothing.
def check_servers(report)
  servers = { "servers" => %w[192.0.2.1:11211 192.0.2.2:11211], "answers" => nil }
  beat = "misp-last-load"
  [
    ["replicate", [nil, { beat => "7", "k" => "v" }], { beat => "7", "k" => "v" }, false, "the second where the first is silent"],
    ["replicate", [{}, { beat => "7" }], { beat => "7" }, false, "the second where the first is empty"],
    ["replicate", [{}, nil], {}, false, "empty is not silent"],
    ["replicate", [nil, nil], {}, true, "silent"],
    ["ring", [{ beat => "9" }, { beat => "7" }], { beat => "7" }, false, "the oldest load of a ring"],
    ["ring", [{ beat => "9" }, {}], {}, false, "one of a ring is empty"],
    ["ring", [{ beat => "9", "k" => "v" }, nil], { beat => "9", "k" => "v" }, true, "one of a ring is silent"],
    ["ring", [nil, nil], {}, true, "a silent ring"]
  ].each do |distribution, answers, held, silent, name|
    script = host(servers.merge("distribution" => distribution))
    script.define_singleton_method(:ask_place) { |place, _| answers[place[:server] == "192.0.2.1:11211" ? 0 : 1] }
    report.check(name) { script.ask(["misp-networks".b]) == [held, silent] }
    report.check("#{name}, once more") { script.ask(["misp-networks".b]) == [held, silent] }
  end
end

# Whatever is in the fields: the event comes back, alone, and nothing is raised.
def check_contract(report)
  random = Random.new(20_261_121)
  script = host("sets" => %w[ecs sysmon beats7 suricata zeek])
  pieces = ["", " ", ".", ":", "/", "%", "@", "[", "]", "=", ",", "#", "é", "\xff", "\0", "\n", "1", "192.0.2.1", "::1",
            "a.example", "http://", "SHA256=", "\\", "HKLM", "xn--", "\u{1f600}", "ﬀ", "٣"]
  value = lambda do |depth|
    case random.rand(depth > 2 ? 5 : 8)
    when 0..3 then Array.new(random.rand(8)) { pieces.sample(random: random) }.join
    when 4 then [nil, 7, 7.5, true, "\xff".b, 10**40].sample(random: random)
    when 5 then Array.new(random.rand(4)) { value[depth + 1] }
    else Array.new(random.rand(4)) { [%w[sha256 data address hash ip file name][random.rand(7)], value[depth + 1]] }.to_h
    end
  end
  tops = %w[source destination dns url tls user_agent registry email process file winlog hash http host query answers src_ip]
  # JRuby is slow until it is warm, and has the same ones first.
  (RUBY_ENGINE == "jruby" ? 100 : 300).times do |round|
    event = LogStash::Event.new(tops.map { |name| [name, value[0]] }.to_h)
    result = script.filter(event)
    report.check("round #{round}") { result.size == 1 && result[0].equal?(event) && script.logger.lines.empty? }
  end
  kinds = %w[ip domain host url email hashes query_results regkey named-pipe filename mac-address as tlsh x509 md5 vhash]
  long = ["." * 65_000, "a." * 32_000, "é" * 32_000, "http://" * 9000, "<" * 65_000, "\\" * 65_000, "1" * 65_000, ";" * 65_000,
          "http://a/#{'%c3' * 20_000}", "http://a/#{'%20é😀' * 5000}", "http://#{'é.' * 20_000}/", "\u{1f600}" * 16_000, "#{' ' * 30_000}é#{' ' * 30_000}x",
          "@" * 65_000, "a=" * 30_000, "x" * 70_000, "http://#{'@' * 60_000}", "[#{':' * 60_000}", "%" * 65_000]
  began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  kinds.product(long).each { |kind, text| report.check("#{kind} of #{text[0, 4]}") { script.forms(kind, text, NETWORKS).size < 500 } }
  spent = Process.clock_gettime(Process::CLOCK_MONOTONIC) - began
  report.check("long texts are soon done with (#{spent.round(2)} s)") { spent < 10 }
end

report = Report.new
blocks = TestBlock.of(SCRIPT)
report.check("the script has tests") { blocks.size >= 8 }
blocks.each { |block| block.run(report) }
check_forms(report)
check_keys(report)
check_settings(report)
check_said(report)
check_answers(report)
check_servers(report)
check_contract(report)
report.finish
