# What logstash/misp_lookup.rb asks for, against the keys that the loader writes. Each
# line of standard input is a value as a log has it, its kind, the prefix lengths in use,
# and keys, of which one has to be asked for, or none (`wanted`).
#
#   ruby tests/logstash/spellings.rb < LINES

require "json"
require_relative "support"

script = ScriptHost.registered(File.expand_path("../../logstash/misp_lookup.rb", __dir__),
                               { "answers" => { "misp-last-load" => Time.now.to_i.to_s } })
report = Report.new
$stdin.set_encoding("UTF-8")
$stdin.each_line do |line|
  one = JSON.parse(line)
  networks = one["networks"].map { |bits, lengths| [bits.to_i, lengths] }.to_h
  forms = script.forms(one["kind"], one["log"], networks)
  keys = forms.map { |namespace, text| script.key(namespace, text).force_encoding("UTF-8") }
  found = !(keys & one["keys"]).empty?
  report.check("#{one['kind']} #{one['log'].inspect}: #{one['keys']} in #{keys}") { found == one["wanted"] }
end
report.finish
