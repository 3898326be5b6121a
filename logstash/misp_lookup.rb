# Looks the fields of an event up in memcached and writes the MISP events that list
# them into the event: with one request to memcached for each event.
#
#   filter {
#     ruby {
#       path => "/etc/logstash/misp_lookup.rb"
#       script_params => { "misp_url" => "https://misp.example" }
#     }
#   }
#
# It knows which fields hold what (`field_sets`), the forms in which a log writes a
# value and MISP keeps it (`forms`), the keys (docs/keys.md), and how to ask Dalli, the
# client that comes with Logstash, without ever waiting long. It knows nothing of MISP
# itself. README.md beside this file says what it writes and what can be set.
#
# Logstash evaluates this text once for itself and once for each test below, each time
# in an object of its own; hence no constants. Several pipeline workers call `filter`
# at once: what `register` sets is read only, the rest is under a lock or replaced
# whole. The syntax is that of Ruby 2.5, for JRuby 9.2 in Logstash 7.

require "digest"
require "ipaddr"
require "socket"
require "timeout"
require "zlib"

# --- settings -----------------------------------------------------------------------

def defaults
  {
    "servers" => "127.0.0.1:11211",    # one, several in an array, or "a:11211,b:11211"
    "distribution" => "replicate",     # or "ring", as in the loader's configuration
    "prefix" => "misp",                # memcached.prefix of the loader's configuration
    "misp_url" => "",                  # for links to the events
    "sets" => %w[ecs sysmon],          # also: beats7, suricata, zeek
    "fields" => {},                    # field => kind, instead of the sets
    "add_fields" => {},                # field => kind, besides them
    "namespaces" => [],                # ask in these only; none: in all
    "parents" => true,                 # of a name, its parent domains too
    "context" => [],                   # names of what follows EVENTID#TYPE in a value
    "max_age" => 7200,                 # seconds since the last load; 0: any age is fine
    "timeout" => 1,                    # longest wait for an answer, in seconds
    "retry" => 5,                      # seconds in which a silent server is not asked
    "networks_ttl" => 10,              # seconds for which the lists of networks and namespaces are kept
    "max_keys" => 500,                 # for one event
    "max_matches" => 100,              # for one event
    "answers" => nil                   # key => value instead of memcached, for tests
  }
end

def register(params)
  unknown = params.keys.map(&:to_s) - defaults.keys
  unless unknown.empty?
    raise ArgumentError, "script_params has no #{unknown.join(', ')}; there are #{defaults.keys.join(', ')}"
  end

  @settings = defaults.merge(params)
  %w[max_age timeout retry networks_ttl].each { |name| @settings[name] = at_least(0, name, Float(@settings[name])) }
  %w[max_keys max_matches].each { |name| @settings[name] = at_least(1, name, Integer(@settings[name])) }
  at_least(0.01, "timeout", @settings["timeout"])
  raise ArgumentError, "max_keys must be #{most_keys} or less" if @settings["max_keys"] > most_keys

  @prefix = @settings["prefix"].to_s
  @heartbeat = "#{@prefix}-last-load".b.freeze
  @networks_key = "#{@prefix}-networks".b.freeze
  @namespaces_key = "#{@prefix}-namespaces".b.freeze
  @misp_url = @settings["misp_url"].to_s.sub(%r{/+\z}, "")
  @context = Array(@settings["context"]).map(&:to_s)
  @namespaces = Array(@settings["namespaces"]).map(&:to_s)
  @parents = @settings["parents"].to_s != "false"
  @fields = fields(@settings).map { |path, kind| [label(path), kind.to_s, *steps(path)] }
  @urls_in_parts = urls_in_parts.freeze
  @widths = widths.freeze
  @said = nil
  @said_until = 0
  @trouble = nil
  @told_until = 0
  @lock = Mutex.new
  open_places
end

# A request of so many of the longest keys fits into the buffer of a socket (below). A
# larger one would have to wait for a server that does not read, and Dalli's waiting
# there has no end.
def most_keys
  500
end

def at_least(least, name, number)
  raise ArgumentError, "#{name} must be #{least} or more" if number < least

  number
end

# Fields and the kind of value in them: a namespace of docs/keys.md, or one of
#   host           an address or a name
#   hashes         SHA256=..,MD5=.., or an object such as [process][hash]
#   query_results  Sysmon's answers of the DNS
# `[*]` stands for each element of an array.
def field_sets
  hashes = %w[[process][hash] [process][parent][hash] [file][hash] [dll][hash] [email][attachments][*][file][hash]]
  imphashes = %w[[process][pe][imphash] [process][parent][pe][imphash] [file][pe][imphash] [dll][pe][imphash]]
  mails = %w[from sender reply_to to cc bcc].map { |name| "[email][#{name}][address]" }
  data = ->(name) { "[winlog][event_data][#{name}]" }
  {
    "ecs" => {
      "[source][ip]" => "ip", "[destination][ip]" => "ip",
      "[source][domain]" => "host", "[destination][domain]" => "host",
      "[dns][question][name]" => "domain", "[dns][resolved_ip]" => "ip", "[dns][answers][*][data]" => "host",
      "[url][full]" => "url", "[url][original]" => "url", "[url][domain]" => "host",
      "[tls][client][server_name]" => "host", "[tls][client][ja3]" => "ja3", "[tls][server][hash]" => "x509",
      "[user_agent][original]" => "user-agent", "[registry][path]" => "regkey",
      "[network][community_id]" => "community-id",
      "[email][subject]" => "email-subject", "[email][message_id]" => "email-message-id",
      "[email][x_mailer]" => "email-x-mailer"
    }.merge(all_of(hashes, "hashes"), all_of(imphashes, "imphash"), all_of(mails, "email")),
    # What Winlogbeat and Elastic Agent send: the ingest pipelines that make ECS of it are
    # behind Logstash.
    "sysmon" => {
      data["Hashes"] => "hashes", data["Hash"] => "hashes",
      data["SourceIp"] => "ip", data["DestinationIp"] => "ip", data["DestinationHostname"] => "host",
      data["QueryName"] => "domain", data["QueryResults"] => "query_results",
      data["TargetObject"] => "regkey", data["PipeName"] => "named-pipe"
    },
    "beats7" => {
      "[hash]" => "hashes", "[source][ip]" => "ip", "[destination][ip]" => "ip",
      "[dns][question][name]" => "domain", "[dns][resolved_ip]" => "ip",
      "[url][full]" => "url", "[url][original]" => "url", "[url][domain]" => "host",
      "[tls][client_hello][ja3]" => "ja3", "[user_agent][original]" => "user-agent"
    },
    # eve.json as it is written.
    "suricata" => {
      "[src_ip]" => "ip", "[dest_ip]" => "ip",
      "[dns][rrname]" => "domain", "[dns][rdata]" => "host", "[dns][query][*][rrname]" => "domain",
      "[dns][queries][*][rrname]" => "domain", "[dns][answers][*][rdata]" => "host",
      "[tls][sni]" => "host", "[tls][ja3][hash]" => "ja3", "[tls][fingerprint]" => "x509",
      "[http][hostname]" => "host", "[http][url]" => "url", "[http][http_user_agent]" => "user-agent",
      "[fileinfo]" => "hashes", "[files]" => "hashes", "[ssh][client][hassh][hash]" => "hassh", "[ssh][server][hassh][hash]" => "hasshserver",
      "[smtp][mail_from]" => "email", "[smtp][rcpt_to]" => "email", "[email][from]" => "email",
      "[email][to]" => "email", "[email][cc]" => "email", "[email][url]" => "url", "[community_id]" => "community-id"
    },
    # Zeek's logs in JSON.
    "zeek" => {
      "[id.orig_h]" => "ip", "[id.resp_h]" => "ip", "[id][orig_h]" => "ip", "[id][resp_h]" => "ip",
      "[query]" => "domain", "[answers]" => "host", "[server_name]" => "host", "[ja3]" => "ja3",
      "[host]" => "host", "[uri]" => "url", "[user_agent]" => "user-agent",
      "[md5]" => "md5", "[sha1]" => "sha1", "[sha256]" => "sha256", "[hassh]" => "hassh",
      "[hasshServer]" => "hasshserver", "[cert_chain_fps]" => "x509", "[client_cert_chain_fps]" => "x509",
      "[fingerprint]" => "x509", "[community_id]" => "community-id", "[mailfrom]" => "email", "[rcptto]" => "email",
      "[from]" => "email", "[to]" => "email", "[reply_to]" => "email", "[subject]" => "email-subject",
      "[msg_id]" => "email-message-id"
    }
  }
end

# A field with the path of a URL alone => where its host is, and its port. So Suricata and
# Zeek write one, and web servers.
def urls_in_parts
  {
    "url.original" => ["[url][domain]", "[url][port]"],
    "http.url" => ["[http][hostname]", "[http][http_port]", "[dest_port]"],
    "uri" => ["[host]", "[id.resp_p]", "[id][resp_p]"]
  }
end

def all_of(paths, kind)
  paths.map { |path| [path, kind] }.to_h
end

def fields(settings)
  chosen = settings["fields"]
  if chosen.empty?
    chosen = Array(settings["sets"]).map do |name|
      field_sets.fetch(name.to_s) { raise ArgumentError, "sets has no #{name}; there are #{field_sets.keys.join(', ')}" }
    end.reduce({}, :merge)
  end
  chosen.merge(settings["add_fields"])
end

# What to get from the event, and the names to go on with below each `[*]`.
def steps(path)
  first, *rest = path.split("[*]")
  [first, rest.map { |part| names(part) }]
end

def names(path)
  path.scan(/\[([^\[\]]+)\]/).flatten
end

# [source][ip] as ECS writes it.
def label(path)
  path.include?("[") ? (names(path) - ["*"]).join(".") : path
end

# --- one event ----------------------------------------------------------------------

def filter(event)
  asked, all_asked = questions(event)
  return [event] if asked.empty?

  held, trouble = look_up(asked.keys)
  found, all_found = matches(asked, held)
  event.tag("_misp_lookup_failure") if trouble
  event.tag("_misp_lookup_truncated") unless all_asked && all_found
  event.tag("misp_hit") unless found.empty?
  written(event) { event.set("[misp][lookup]", trouble) } if trouble
  written(event) { write_flat(event, found) } unless found.empty?
  written(event) { write_enrichments(event, found) } unless found.empty?
  [event]
rescue StandardError => e
  # Losing the event would be worse than losing the enrichment; the tag shows it.
  logger.warn("misp_lookup: #{e.class}: #{e.message}", "at" => e.backtrace.to_a.first(3))
  event.tag("_misp_lookup_failure")
  [event]
end

# For example [misp] or [threat] is a string that another filter has put there.
def written(event)
  yield
rescue StandardError => e
  logger.warn("misp_lookup: cannot write: #{e.message}")
  event.tag("_misp_enrichment_failure")
end

# key => [[field, value in the event, namespace, value as MISP has it], ...], and
# whether that is all. Parents and networks come last: they give way first.
def questions(event)
  asked = {}
  wide = []
  complete = true
  networks, held = said
  @fields.each do |name, kind, first, rest|
    values = values(event.get(first), rest)
    complete = false if values.size > @settings["max_keys"]
    values.first(@settings["max_keys"]).each do |value|
      found = forms(kind, value, networks).map { |form| [value, *form] }
      whole_urls(event, name, value).each do |url|
        # Its path and its host are asked for by themselves.
        whole = forms("url", url, networks).select { |namespace, text| namespace == "url" && !text.start_with?("/") }
        found.concat(whole.map { |form| [url, *form] })
      end
      found.each do |whole, namespace, text, far, inner|
        # Of a field with several values the one that matched is shown.
        atomic = inner || parts?(kind) ? text : whole.to_s
        question = [inner ? "#{name}.#{inner}" : name, atomic, namespace, text]
        next unless worth_a_question?(question, held)

        far ? wide << question : (complete = false unless put(asked, question))
      end
    end
  end
  wide.each { |question| complete = false unless put(asked, question) }
  [asked, complete]
end

# The URL that a path is the end of, where other fields have its host and its port.
def whole_urls(event, name, path)
  places = @urls_in_parts[name]
  return [] unless places && path.is_a?(String) && path.start_with?("/")

  host, *ports = places.map { |place| event.get(place) }
  return [] unless host.is_a?(String) && !host.strip.empty?

  host = clean(host)
  port = ports.compact.first.to_s
  bare = port !~ /\A[0-9]{1,5}\z/ || port == "80" || port == "443" || host.include?(":")
  bare ? [host + clean(path)] : ["#{host}:#{port}#{clean(path)}", host + clean(path)]
end

def worth_a_question?(question, held)
  namespace, text = question[2, 2]
  !text.empty? && (@namespaces.empty? || @namespaces.include?(namespace)) && (held.nil? || held.include?(namespace))
end

# False where there is no room.
def put(asked, question)
  key = key(*question[2, 2])
  return false if !asked.key?(key) && asked.size >= @settings["max_keys"]

  known = (asked[key] ||= [])
  known << question unless known.include?(question)
  true
end

# The values of a field: one more than are looked at, if there are so many, since an
# array can be as long as a stranger likes.
def values(value, rest, depth = 0)
  most = @settings["max_keys"] + 1
  case value
  when nil then []
  # Arrays in arrays in arrays are nobody's field.
  when Array then depth > 3 ? [] : value.first(most).flat_map { |inner| values(inner, rest, depth + 1) }.first(most)
  else
    return [value] if rest.empty?

    inner = rest.first.reduce(value) { |at, name| at.is_a?(Hash) ? at[name] : nil }
    values(inner, rest.drop(1), depth)
  end
end

# --- from a value in a log to the forms that MISP may have of it ---------------------

# Longest value that MISP keeps; a longer one cannot match.
def longest_value
  65_535
end

# Kinds of text that hold more than one value.
def parts?(kind)
  kind == "hashes" || kind == "query_results"
end

# [[namespace, value, whether it is wider than the value itself, name inside an object]].
def forms(kind, value, networks)
  return object(kind, value) if value.is_a?(Hash)
  return [] unless value.is_a?(String) || value.is_a?(Integer)

  text = clean(value.to_s)
  return [] if text.empty? || text.bytesize > longest_value

  kept = as_kept(text)
  kept == text ? forms_of(kind, text, networks) : forms_of(kind, text, networks) | forms_of(kind, kept, networks)
end

# MISP's database has no characters beyond U+FFFF: each becomes a question mark, also in
# the subject of a mail.
def as_kept(text)
  text.ascii_only? ? text : text.gsub(/[\u{10000}-\u{10ffff}]/, "?")
end

def forms_of(kind, text, networks)
  case kind
  when "ip" then address(text, networks) || []
  when "domain" then name(text) || []
  when "host" then host(text, networks)
  when "url" then url(text, networks)
  when "email" then email(text, networks)
  when "hashes" then named_hashes(text)
  when "query_results" then query_results(text, networks)
  when "regkey" then registry(text)
  when "named-pipe" then pipe(text)
  when "filename" then [text, text.split(%r{[/\\]}).last.to_s].uniq.map { |name| ["filename", name] }
  when "mac-address" then mac(text)
  when "as" then text =~ /\A(?:asn? ?)?([0-9]{1,10})\z/i ? [["as", $1]] : []
  when "tlsh" then tlsh(text)
  when "email-message-id" then [text, text[/\A<(.+)>\z/, 1] || "<#{text}>"].map { |form| [kind, form] }
  when "telfhash" then [text.downcase, text].uniq.map { |form| [kind, form] }
  when "x509", "ja3", "jarm", "hassh", "hasshserver" then [[kind, text.delete(":").downcase]]
  else @widths.key?(kind) ? digest(kind, text) : [[kind, text]]
  end
end

def clean(text)
  text = text.encoding == Encoding::UTF_8 ? text : text.dup.force_encoding(Encoding::UTF_8)
  trim(text.valid_encoding? ? text : text.scrub("?"))
end

# Without blanks of any alphabet at its ends, which the loader takes off as well.
def trim(text)
  return text.strip if text.ascii_only?

  first = text.index(/[^[:space:]\0]/)
  first ? text[first..text.rindex(/[^[:space:]\0]/)] : ""
end

# An address in any spelling, the IPv4 address inside it, and the listed networks
# around it; nil if it is none.
def address(text, networks)
  return nil if text.length > 80 || text !~ /\A[0-9a-fA-F:\[]/

  if (at = text.index(%r{[#|/]}))
    # BIND and MISP put these before a port, and a network may be one address.
    port = text[at..-1] =~ /\A[#|][0-9]{1,5}\z/
    return nil unless port || text[at..-1] == (text.include?(":") ? "/128" : "/32")

    text = text[0, at]
  end
  four = text[/\A([0-9.]{7,15}?)\.?(:[0-9]{1,5})?\z/, 1]
  if four
    number = four_to_i(four)
    return number && [["ip", four]] + networks_of(number, 32, networks)
  end
  inner = text[/\A\[(?:IPv6:)?([^\[\]]*)\](?::[0-9]{1,5})?\z/i, 1]
  # The host of a mail address.
  return address(inner, networks) if inner && !inner.include?(":")

  bare = (inner || text).sub(/%.*\z/m, "")
  return nil unless bare.include?(":") && bare =~ /\A[0-9a-fA-F:.]+\z/

  number = six_to_i(bare)
  number && six(number, networks)
end

def six(number, networks)
  list = [["ip", IPAddr.new(number, Socket::AF_INET6).to_s]]
  wide = networks_of(number, 128, networks)
  if number >> 32 == 0xffff
    list << ["ip", four_to_s(number & 0xffffffff)]
    wide = networks_of(number & 0xffffffff, 32, networks) + wide
  end
  list + wide
end

def six_to_i(text)
  IPAddr.new(text, Socket::AF_INET6).to_i
rescue IPAddr::Error, ArgumentError
  nil
end

def four_to_i(text)
  parts = text.split(".", -1)
  return nil unless parts.size == 4 && parts.all? { |part| part =~ /\A(0|[1-9][0-9]{0,2})\z/ && part.to_i < 256 }

  parts.reduce(0) { |number, part| number << 8 | part.to_i }
end

def four_to_s(number)
  [24, 16, 8, 0].map { |bits| number >> bits & 255 }.join(".")
end

# The networks in use that contain an address, the narrowest first.
def networks_of(number, bits, networks)
  (networks[bits] || []).map do |length|
    first = number >> (bits - length) << (bits - length)
    ["cidr", "#{bits == 32 ? four_to_s(first) : network_to_s(first)}/#{length}", true]
  end
end

# The loader writes ::1.2.3.0/120 in hexadecimal, though MISP writes the addresses with dots.
def network_to_s(first)
  return format("::%x:%x", first >> 16, first & 0xffff) if first >> 32 == 0 && first > 0xffff

  IPAddr.new(first, Socket::AF_INET6).to_s
end

# Bytes of a text that can be a name in some alphabet.
def longest_name
  1024
end

# A name in lower case, without port, wildcard and outer dots, in letters and in
# punycode, and its parents; nil if it is none.
def name(text)
  return nil if text.bytesize > longest_name

  bare = text.downcase.sub(/:[0-9]{1,5}\z/, "").sub(/\A\*\./, "").sub(/\A\.+/, "")
  last = bare.rindex(/[^.]/)
  return nil if last.nil?

  bare = bare[0..last]
  ascii = ascii_name(bare)
  return nil unless ascii && ascii.length <= 253 && ascii =~ /\A[a-z0-9_-]+(\.[a-z0-9_-]+)*\z/
  return nil if ascii =~ /(\A|\.)[0-9]+\z/

  # Older MISP servers kept a name as it was typed.
  spellings = [ascii, bare, letters(ascii)].compact.uniq
  list = in_domains(ascii) + spellings.drop(1).map { |spelling| ["domain", spelling] }
  @parents ? (list + parents(ascii) + parents(spellings.last)).uniq : list
end

def in_domains(name)
  name.end_with?(".onion") ? [["onion-address", name], ["domain", name]] : [["domain", name]]
end

# Shortest parents first, and not more than these: a name has up to 127 labels.
def most_parents
  10
end

def parents(name)
  labels = name.split(".")
  sizes = (2...labels.size).first(most_parents)
  sizes.map { |size| labels.last(size) }.reject { |rest| public?(rest) }.flat_map do |rest|
    in_domains(rest.join(".")).map { |namespace, parent| [namespace, parent, true] }
  end
end

# co.uk and the like, which are nobody's. There is no list of public suffixes in
# Logstash; these are the habits of the country domains.
def public?(labels)
  labels.size == 2 && labels[1].length == 2 &&
    %w[ac co com edu gob go gouv gov gv ltd mil ne net nom or org plc sch].include?(labels[0])
end

def host(text, networks)
  address(text, networks) || name(text) || []
end

# MISP keeps a URL as it was typed. So: as it is, then with host and scheme in lower
# case, without fragment, with and without the slash at its end; its path (MISP's
# `uri`); and its host.
def url(text, networks)
  match = %r{\A(?:([a-zA-Z][a-zA-Z0-9+.-]{0,30})://)?([^/?#\\]*)([^?#]*)(\?[^#]*)?(#.*)?\z}m.match(text)
  return [["url", text]] if match.nil?

  scheme, authority, path, query, fragment = match.captures.map(&:to_s)
  if scheme.empty?
    return ([text] | paths(path, query)).map { |form| ["url", form] } if authority.empty?
    # CONNECT host:443
    return [["url", text]] + host(authority, networks) if path.empty?
  end

  scheme = scheme.downcase
  user, at, place = authority.rpartition("@")
  bare = bare_place(scheme, place)
  authority = user + at + bare
  tail = path + query
  tails = [tail]
  tails << (tail.end_with?("/") ? tail.chomp("/") : "#{tail}/") if query.empty?
  tails = tails.flat_map { |rest| in_all_codes(rest) }.uniq
  schemes = scheme.empty? ? ["", "http://", "https://"] : ["#{scheme}://", ""]
  list = [text, schemes[0] + authority + tail + fragment, text[0, text.length - fragment.length]]
  # What a browser sends has both its name and its path in other letters than a person
  # types, and the user elsewhere; so each with each.
  places = in_all_letters(bare).flat_map { |form| [user + at + form, form] }.uniq
  schemes.product(places, tails) { |parts| list << parts.join }
  list += paths(path, query) if path.length > 1
  list.uniq.map { |form| ["url", form] } + host(place.sub(/:[0-9]*\z/, ""), networks)
end

# MISP's `uri` is the path, with its query or without.
def paths(path, query)
  in_all_codes(path + query) | in_all_codes(path)
end

def in_all_codes(tail)
  [tail, decoded(tail), encoded(tail)].uniq
end

# The name before a port: as it is, in punycode, and in letters.
def in_all_letters(place)
  return [place] if place.ascii_only? && !place.include?("xn--")

  name = place[/\A[^:]+/].to_s
  [name, ascii_name(name), letters(name)].compact.uniq.map { |form| form + place[name.length..-1] }
end

# As people write what browsers put into percent codes: blanks and letters beyond ASCII.
# The other codes are part of what a URL means.
def decoded(tail)
  return tail unless tail.include?("%")

  text = tail.gsub(/(?:%20|%[89a-fA-F][0-9a-fA-F])+/) do |codes|
    letters = [codes.delete("%")].pack("H*").force_encoding(Encoding::UTF_8)
    letters.valid_encoding? ? letters : codes
  end
  as_kept(text)
end

def encoded(tail)
  tail.gsub(/[^!-~]/) { |letter| letter.bytes.map { |byte| format("%%%02X", byte) }.join }
end

def bare_place(scheme, place)
  host, colon, port = place.rpartition(":")
  # Without a port, or the colon of an IPv6 address.
  return place.downcase.chomp(".") if colon.empty? || port !~ /\A[0-9]*\z/

  implied = port.empty? || { "http" => "80", "https" => "443", "ftp" => "21" }[scheme] == port
  host.downcase.chomp(".") + (implied ? "" : ":#{port}")
end

def email(text, networks)
  return [] if text.length > 1024

  bare = text[/<([^<>]+)>\z/, 1] || text.sub(/\Amailto:/i, "")
  return [] if bare !~ /\A[^\s@<>]+(?:@[^\s@<>]+)+\z/

  at = host(bare.rpartition("@").last, networks)
  [["email", bare.downcase], ["email", bare]].uniq + at.map { |namespace, place| [namespace, place, true] }
end

# Hash => digits in hexadecimal.
def widths
  {
    "md5" => 32, "imphash" => 32, "sha1" => 40, "pehash" => 40, "cdhash" => 40, "sha224" => 56, "sha512/224" => 56,
    "sha3-224" => 56, "sha256" => 64, "authentihash" => 64, "sha512/256" => 64, "sha3-256" => 64, "sha384" => 96,
    "sha3-384" => 96, "sha512" => 128, "sha3-512" => 128
  }
end

def digest(kind, text)
  text.length == @widths[kind] && text =~ /\A[0-9a-fA-F]+\z/ ? [[kind, text.downcase]] : []
end

def tlsh(text)
  digits = text.downcase.sub(/\At1/, "")
  digits =~ /\A[0-9a-f]{70}\z/ ? [["tlsh", "t1#{digits}"], ["tlsh", digits]] : []
end

# Of one name in whatever spelling: SHA256, sha-256, IMPHASH.
def named_hash(name, text)
  kind = name.downcase.sub(/\Asha-(?=[0-9])/, "sha")
  case kind
  when "tlsh" then tlsh(text)
  when "ssdeep", "impfuzzy", "vhash", "telfhash" then [[kind, text]]
  else @widths.key?(kind) ? digest(kind, text) : []
  end
end

# SHA256=..,MD5=.., as Sysmon writes it.
def named_hashes(text)
  text[0, 4096].split(/[,;\s]+/).flat_map do |part|
    name, _, value = part.partition(/[=:]/)
    named_hash(name, value)
  end
end

# An object of hashes by name; for a certificate each of them is a fingerprint.
def object(kind, value)
  value.first(64).flat_map do |name, inner|
    next [] unless inner.is_a?(String) && inner.bytesize <= 4096

    text = clean(inner)
    found = kind == "x509" ? forms("x509", text, {}) : (kind == "hashes" ? named_hash(name, text) : [])
    found.map { |namespace, form| [namespace, form, nil, name] }
  end
end

# `type:  5 alias.example;::ffff:203.0.113.7;`
def query_results(text, networks)
  text[0, 4096].split(";").flat_map { |part| host(clean(part.sub(/\A\s*type:\s*[0-9]+\s*/, "")), networks) }
end

# MISP keeps the name of the root that was typed.
def registry(text)
  kernel = text.sub(/\A\\REGISTRY\\MACHINE(?=\\)/i, "HKLM").sub(/\A\\REGISTRY\\USER(?=\\)/i, "HKU")
  root, rest = kernel.split("\\", 2)
  pair = [%w[hklm HKEY_LOCAL_MACHINE], %w[hkcu HKEY_CURRENT_USER], %w[hku HKEY_USERS], %w[hkcr HKEY_CLASSES_ROOT],
          %w[hkcc HKEY_CURRENT_CONFIG]].find { |names| names.any? { |name| name.casecmp(root).zero? } }
  return [["regkey", text]] if pair.nil? || rest.nil?

  list = [text, "#{pair[0].upcase}\\#{rest}", "#{pair[1]}\\#{rest}"]
  seen = pair[0] == "hku" && of_user(rest)
  list += ["HKCU\\#{seen}", "HKEY_CURRENT_USER\\#{seen}"] if seen
  list.uniq.map { |form| ["regkey", form] }
end

# Of a key below HKU what a user sees of it below HKCU: Windows logs a key with the number
# (SID) of the user whose it is, and so nothing in a log begins with HKCU. What is in
# SID_Classes is seen in Software\Classes.
def of_user(rest)
  match = /\AS-1-[0-9-]+(_Classes)?\\(.*)\z/mi.match(rest)
  match && (match[1] ? "Software\\Classes\\" : "") + match[2]
end

def pipe(text)
  name = text.sub(/\A(\\\\[.?]\\pipe\\|\\Device\\NamedPipe\\|\\)/i, "")
  [text, "\\\\.\\pipe\\#{name}", "\\#{name}", name].uniq.map { |form| ["named-pipe", form] }
end

def mac(text)
  digits = text.delete(":. -").downcase
  digits =~ /\A[0-9a-f]{12}\z/ ? [["mac-address", digits.scan(/../).join(":")]] : []
end

# In ASCII: the wide letters of East Asia as the plain ones, the rest as xn--... by RFC
# 3492; nil where a label is too long to be one.
def ascii_name(name)
  return name if name.ascii_only?
  return nil if name.bytesize > longest_name

  labels = name.unicode_normalize(:nfkc).downcase.split(/[.\u3002]/, -1)
  labels = labels.map { |label| label.ascii_only? ? label : label.length > 63 ? nil : "xn--#{punycode(label)}" }
  labels.all? && labels.join(".")
end

# What a name in punycode stands for; nil: it is in no other letters, or is broken.
def letters(name)
  return nil unless name.ascii_only? && name.downcase.include?("xn--") && name.bytesize <= longest_name

  labels = name.downcase.split(".", -1).map { |label| label.start_with?("xn--") ? unpunycode(label[4..-1]) : label }
  labels.all? ? labels.join(".") : nil
end

def unpunycode(label)
  basic, _, digits = label.rpartition("-")
  out = basic.codepoints
  point, at, bias = 128, 0, 72
  until digits.empty?
    before, weight, step = at, 1, 36
    loop do
      digit = digits.slice!(0).to_s
      return nil unless digit =~ /[a-z0-9]/

      # Letters are 0 to 25, and figures follow them.
      digit = digit.to_i(36) < 10 ? digit.to_i + 26 : digit.to_i(36) - 10
      at += digit * weight
      threshold = [[step - bias, 1].max, 26].min
      break if digit < threshold

      weight *= 36 - threshold
      step += 36
    end
    bias = adapted(at - before, out.size + 1, before.zero?)
    point += at / (out.size + 1)
    return nil if point > 0x10ffff || (0xd800..0xdfff).cover?(point)

    at %= out.size + 1
    out.insert(at, point)
    at += 1
  end
  out.pack("U*")
end

def punycode(label)
  points = label.codepoints
  out = points.select { |point| point < 128 }.pack("U*")
  done = basic = out.length
  out << "-" if basic > 0
  at, delta, bias = 128, 0, 72
  while done < points.size
    least = points.select { |point| point >= at }.min
    delta += (least - at) * (done + 1)
    at = least
    points.each do |point|
      delta += 1 if point < at
      next unless point == at

      out << variable(delta, bias)
      bias = adapted(delta, done + 1, done == basic)
      delta = 0
      done += 1
    end
    delta += 1
    at += 1
  end
  out
end

# A number in punycode's base 36 with its moving thresholds.
def variable(number, bias)
  digit = ->(value) { (value < 26 ? value + 97 : value + 22).chr }
  out = +""
  step = 36
  loop do
    threshold = [[step - bias, 1].max, 26].min
    return out << digit[number] if number < threshold

    out << digit[threshold + (number - threshold) % (36 - threshold)]
    number = (number - threshold) / (36 - threshold)
    step += 36
  end
end

def adapted(delta, points, first)
  delta = first ? delta / 700 : delta / 2
  delta += delta / points
  steps = 0
  while delta > 455
    delta /= 35
    steps += 36
  end
  steps + 36 * delta / (delta + 38)
end

# --- keys ---------------------------------------------------------------------------

# memcached's limit for a key; in base64, which the loader needs for blanks and control
# bytes, its text counts. Longer ones are kept under the SHA-256 of the value, and so are
# values that look like such a short form.
def longest_key
  250
end

def key(namespace, value)
  raw = value.b
  stem = "#{@prefix}-#{namespace}:".b
  key = stem + raw
  length = key.bytesize
  length = (length + 2) / 3 * 4 if key =~ /[\x00-\x20\x7f]/n
  short = raw.match?(/\Asha256:[0-9a-f]{64}\z/n)
  length > longest_key || short ? stem + "sha256:#{Digest::SHA256.hexdigest(raw)}" : key
end

# --- asking memcached ---------------------------------------------------------------

# What the keys hold, and what is wrong: nil, "silent", "not_loaded" or "stale".
def look_up(keys)
  held, silent = ask(keys)
  trouble = silent ? "silent" : age_trouble(held[@heartbeat])
  tell(trouble)
  [held, trouble]
end

def age_trouble(last_load)
  return "not_loaded" unless last_load.to_s =~ /\A[0-9]+\z/

  limit = @settings["max_age"]
  "stale" if limit > 0 && Time.now.to_i - last_load.to_i > limit
end

# One line in the log when something begins and one when it is over.
def tell(trouble)
  # Of a ring one server may be gone, and every other event another's.
  return if trouble == @trouble || clock < @told_until

  @trouble = trouble
  @told_until = clock + @settings["retry"]
  logger.warn("misp_lookup: memcached #{trouble ? "is #{trouble.tr('_', ' ')}" : 'answers, and is fresh'}")
end

# What the cache says of itself: the prefix lengths in use, by the bits of the family, and
# the namespaces that have keys; nil: any may. It is asked before the event is looked at,
# for after a quiet night what is remembered is of yesterday.
def said
  return @said if @said && clock < @said_until

  held = ask([@networks_key, @namespaces_key]).first
  if held.key?(@heartbeat)
    @said = [networks(held[@networks_key]), namespaces(held)].freeze
    @said_until = clock + @settings["networks_ttl"]
  else
    # Nobody has answered.
    @said = @said && [@said[0], nil].freeze
  end
  @said || [{}, nil]
end

# No list means no networks.
def networks(list)
  families = { "4" => 32, "6" => 128 }
  read = list.to_s.split(";").map do |part|
    family, _, lengths = part.partition(":")
    bits = families[family.strip] || next
    [bits, lengths.split(",").map(&:strip).grep(/\A[0-9]{1,3}\z/).map(&:to_i).select { |n| n <= bits }.sort.reverse]
  end
  read.compact.to_h.freeze
end

# There is no list while the first keys of a namespace are added; an old one hides keys.
def namespaces(held)
  list = held[@namespaces_key]
  list && age_trouble(held[@heartbeat]).nil? ? list.split(",").map(&:strip).freeze : nil
end

def clock
  Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

# A place is a server with its connections: one for each worker that asks at the same
# time, so that no worker waits for another's answer.
def open_places
  @answers = @settings["answers"]
  return @answers = @answers.map { |key, value| [key.b, value] }.to_h unless @answers.nil?

  servers = Array(@settings["servers"]).flat_map { |text| text.to_s.split(",") }.map(&:strip).reject(&:empty?)
  raise ArgumentError, "servers names none" if servers.empty?

  @places = servers.map { |server| { server: server, idle: [], silent_until: nil } }
  @preferred = 0
  # All of them may be silent, one after the other.
  @patience = @settings["timeout"] / servers.size
  case @settings["distribution"].to_s
  when "replicate" then @ring = nil
  when "ring" then @ring = servers.size > 1 ? ring(servers) : nil
  else raise ArgumentError, "distribution must be replicate or ring"
  end
  require "dalli"
end

# What the keys hold, and whether a server that had to be asked was silent.
def ask(keys)
  return [@answers.select { |key, _| keys.include?(key) || key == @heartbeat }, false] if @answers

  @ring ? ask_ring(keys) : ask_any(keys)
end

# Every server has every key: one is asked, and the next where it is silent or has lost
# its data.
def ask_any(keys)
  empty = nil
  @places.size.times do |i|
    index = (@preferred + i) % @places.size
    held = ask_place(@places[index], keys)
    if held && held.key?(@heartbeat)
      @preferred = index
      return [held, false]
    end
    empty ||= held
  end
  [empty || {}, empty.nil?]
end

# Every key is on one server, the loader's own keys are on each. The oldest load counts.
def ask_ring(keys)
  own, others = keys.partition { |key| [@networks_key, @namespaces_key].include?(key) }
  shares = others.group_by { |key| place_of(key) }
  shares = @places.each_index.map { |index| [index, []] }.to_h if shares.empty?
  answers = shares.map { |index, some| ask_place(@places[index], own + some) }
  held = answers.compact.reduce({}, :merge)
  beats = answers.compact.map { |answer| answer[@heartbeat] }
  beats.all? ? held[@heartbeat] = beats.min_by(&:to_i) : held.delete(@heartbeat)
  held.delete(@namespaces_key) unless answers.compact.all? { |answer| answer.key?(@namespaces_key) }
  [beats.empty? ? {} : held, answers.any?(&:nil?)]
end

# nil: silent. The heartbeat goes last, and memcached answers in order: with it, all
# the answers are there. Dalli itself says nothing when it gives up.
def ask_place(place, keys)
  return nil unless worth_asking?(place)

  keys += [@heartbeat]
  deadline = clock + @patience
  client = @lock.synchronize { place[:idle].pop }
  # A connection that lay idle may be dead though the server lives: so once more, anew.
  held = (client && answer(client, keys)) || begin
    close(client)
    client = nil
    left = deadline - clock
    left > 0 ? Timeout.timeout(left) { answer(client = connect(place), keys) } : nil
  end
  remember(place, held ? client : nil)
  close(client) if held.nil?
  held
rescue StandardError, Timeout::Error
  close(client)
  remember(place, nil)
  nil
end

def answer(client, keys)
  # Dalli 3.2 calls the keys UTF-8, and they would not be found again as bytes.
  held = client.get_multi(keys).map { |key, value| [key.b, value] }.to_h
  return held if held.key?(@heartbeat)

  # Either there is no heartbeat, or there is no server any more.
  client.alive!
  held
rescue StandardError
  nil
end

def connect(place)
  # Half of the time for an old connection, half for a new one. The first failure
  # counts, and how soon to try again is decided here and not by Dalli.
  Dalli::Client.new([place[:server]], socket_timeout: @patience / 2, socket_max_failures: 1,
                                      socket_failure_delay: nil, down_retry_delay: 60,
                                      sndbuf: 262_144, serializer: plain, compressor: plain)
end

# The loader neither serialises nor compresses. What somebody else has put there with
# Dalli is left alone: to load a stranger's Ruby object is to run his code.
def plain
  Object.new.tap do |object|
    %i[load decompress].each { |name| object.define_singleton_method(name) { |_| "" } }
    %i[dump compress].each { |name| object.define_singleton_method(name) { |value| value } }
  end
end

def close(client)
  client.close if client
rescue StandardError
  nil
end

# While a server is silent one event in `retry` seconds tries it, the others go on.
def worth_asking?(place)
  return true if place[:silent_until].nil?

  @lock.synchronize do
    due = place[:silent_until].nil? || clock >= place[:silent_until]
    place[:silent_until] = clock + @settings["retry"] if due && place[:silent_until]
    due
  end
end

def remember(place, client)
  @lock.synchronize do
    place[:silent_until] = client ? nil : clock + @settings["retry"]
    client ? place[:idle].push(client) : nil
  end
end

# Dalli's ring: [value, index of the server], by value. The names are those that the
# loader's configuration has.
def ring(servers)
  parts = servers.map { |server| ring_name(server) }
  total = parts.map(&:last).reduce(:+)
  points = parts.each_with_index.flat_map do |(name, weight), index|
    Array.new((servers.size * 160 * weight / total.to_f).floor) do |i|
      [Digest::SHA1.hexdigest("#{name}:#{i}")[0, 8].to_i(16), index]
    end
  end
  points.sort_by(&:first)
end

def ring_name(server)
  return [server[/\A[^:]*/], (server[/:([0-9]+)\z/, 1] || 1).to_i] if server.start_with?("/")

  match = /\A(?:\[([^\]]+)\]|([^:]+))(?::([0-9]+))?(?::([0-9]+))?\z/.match(server)
  raise ArgumentError, "servers: #{server} is no host:port[:weight]" if match.nil?

  ["#{match[1] || match[2]}:#{match[3] || 11_211}", (match[4] || 1).to_i]
end

def place_of(key)
  hash = Zlib.crc32(key)
  above = @ring.bsearch_index { |value, _| value > hash } || @ring.size
  @ring[above - 1][1]
end

# --- what is written ----------------------------------------------------------------

# [[field, value in the event, namespace, MISP's value, entry], ...], and whether that
# is all. Of a key that thousands of events list the newest are kept.
def matches(asked, held)
  listed = asked.map { |key, questions| [questions, entries(held[key])] }.reject { |_, entries| entries.empty? }
  most = @settings["max_matches"]
  share = [most / [listed.size, 1].max, 1].max
  found = listed.flat_map do |questions, entries|
    entries.last(share).product(questions).map { |entry, question| question + [entry] }
  end
  [found.first(most), found.size <= most && listed.all? { |_, entries| entries.size <= share }]
end

# EVENTID#TYPE[#CONTEXT...][,...]. What is no entry is left out: somebody else may
# write to the same memcached.
def entries(value)
  return [] unless value.is_a?(String)

  # The newest events are at the end. Dalli returns bytes without an encoding, and a
  # broken one must not raise.
  text = value.bytesize > longest_read ? value.b[-longest_read..-1].sub(/\A[^,]*,/n, "") : value.dup
  text.force_encoding(Encoding::UTF_8).scrub("?").split(",").map { |entry| entry.split("#").map(&:strip) }
      .select { |id, type| id =~ /\A[0-9]+\z/ && type && !type.empty? }
end

# A value can have a megabyte, in every event anew.
def longest_read
  65_536
end

def write_flat(event, found)
  pairs = (known(event, "event_id").zip(known(event, "type")) + found.map { |match| match[4].first(2) }).uniq
  event.set("[misp][event_id]", pairs.map(&:first))
  event.set("[misp][type]", pairs.map(&:last))
  event.set("[misp][match]", known(event, "match") | found.map { |match| match[3] })
  event.set("[misp][field]", known(event, "field") | found.map(&:first))
  all = found.map { |match| context(match[4]) }
  # What ECS has a place for is in the enrichments.
  (@context - %w[org threat_level tlp first_seen last_seen event_id type match field lookup]).each do |name|
    list = all.map { |one| one[name] }.compact
    event.set("[misp][#{name}]", known(event, name) | list) unless list.empty?
  end
end

def write_enrichments(event, found)
  old = event.get("[threat][enrichments]")
  old = old.is_a?(Hash) ? [old] : Array(old)
  event.set("[threat][enrichments]", old + found.map { |match| enrichment(match) })
end

def known(event, name)
  Array(event.get("[misp][#{name}]")).map(&:to_s)
end

# The further fields of an entry by their names.
def context(entry)
  @context.zip(entry.drop(2)).map { |name, text| [name, unescape(text.to_s)] }.reject { |_, text| text.empty? }.to_h
end

def unescape(text)
  text.b.gsub(/%([0-9a-fA-F]{2})/n) { $1.hex.chr }.force_encoding(Encoding::UTF_8).scrub("?")
end

# One element of ECS' threat.enrichments.
def enrichment(match)
  field, atomic, namespace, value, entry = match
  more = context(entry)
  indicator = described(namespace, value)
  indicator["name"] = value
  indicator["description"] = "#{entry[1]} in MISP event #{entry[0]}"
  indicator["provider"] = more["org"] || "MISP"
  indicator["reference"] = "#{@misp_url}/events/view/#{entry[0]}" unless @misp_url.empty?
  indicator["confidence"] = confidence(more["threat_level"]) if more["threat_level"]
  indicator["marking"] = { "tlp" => more["tlp"].sub(/\Atlp:/i, "").upcase } if more["tlp"]
  %w[first_seen last_seen].each { |name| indicator[name] = more[name] if more[name] =~ /\A[0-9]{4}-[0-9]{2}-[0-9]{2}/ }
  {
    "indicator" => indicator,
    "matched" => {
      "atomic" => atomic, "field" => field, "id" => entry[0], "type" => "indicator_match_rule",
      "occurred" => Time.now.utc.strftime("%Y-%m-%dT%H:%M:%S.%LZ")
    }
  }
end

# MISP's threat level in the words of ECS' confidence.
def confidence(level)
  { "1" => "High", "2" => "Medium", "3" => "Low", "high" => "High", "medium" => "Medium", "low" => "Low" }[level.downcase] ||
    "Not Specified"
end

# STIX' type of an indicator, and the ECS field for its value, where there is one.
def described(namespace, value)
  case namespace
  when "ip" then { "type" => value.include?(":") ? "ipv6-addr" : "ipv4-addr" }.merge(plain_ip(value))
  # A network is no value of a field of type ip.
  when "cidr" then { "type" => value.include?(":") ? "ipv6-addr" : "ipv4-addr" }
  when "domain", "onion-address" then { "type" => "domain-name", "url" => { "domain" => value } }
  when "url" then { "type" => "url", "url" => { "full" => value } }
  when "email" then { "type" => "email-addr", "email" => { "address" => value } }
  when "md5", "sha1", "sha256", "sha384", "sha512", "ssdeep", "tlsh"
    { "type" => "file", "file" => { "hash" => { namespace => value } } }
  when "imphash", "pehash" then { "type" => "file", "file" => { "pe" => { namespace => value } } }
  when "filename" then { "type" => "file", "file" => { "name" => value } }
  when "regkey" then { "type" => "windows-registry-key", "registry" => { "path" => value } }
  when "x509" then { "type" => "x509-certificate" }
  when "as" then { "type" => "autonomous-system", "as" => { "number" => value.to_i } }
  when "mac-address" then { "type" => "mac-addr" }
  when "mutex" then { "type" => "mutex" }
  when "user-agent", "ja3", "jarm", "hassh", "hasshserver" then { "type" => "software" }
  else @widths.key?(namespace) ? { "type" => "file" } : { "type" => "artifact" }
  end
end

def plain_ip(value)
  value.include?("/") ? {} : { "ip" => value }
end

# --- tests: run by Logstash when the pipeline starts --------------------------------

test "an address, with a link" do
  parameters do
    { "misp_url" => "https://misp.example/",
      "answers" => { "misp-last-load" => Time.now.to_i.to_s, "misp-ip:203.0.113.7" => "12#ip-dst,31#ip-src|port" } }
  end
  in_event { { "source" => { "ip" => "192.0.2.1" }, "destination" => { "ip" => "203.0.113.7" } } }

  expect("one event") { |events| events.size == 1 }
  expect("a tag") { |events| events.first.get("tags") == ["misp_hit"] }
  expect("ids") { |events| events.first.get("[misp][event_id]") == %w[12 31] }
  expect("types") { |events| events.first.get("[misp][type]") == ["ip-dst", "ip-src|port"] }
  expect("what matched") { |events| events.first.get("[misp][match]") == ["203.0.113.7"] }
  expect("where") { |events| events.first.get("[misp][field]") == ["destination.ip"] }
  expect("an enrichment for each") { |events| events.first.get("[threat][enrichments]").size == 2 }
  expect("its indicator") do |events|
    indicator = events.first.get("[threat][enrichments]").last["indicator"]
    indicator["reference"] == "https://misp.example/events/view/31" && indicator["ip"] == "203.0.113.7" &&
      indicator["type"] == "ipv4-addr" && indicator["provider"] == "MISP"
  end
end

test "Sysmon's hashes in one field" do
  parameters do
    { "answers" => { "misp-last-load" => Time.now.to_i.to_s, "misp-sha256:#{'ab' * 32}" => "5#filename|sha256" } }
  end
  in_event { { "winlog" => { "event_data" => { "Hashes" => "MD5=#{'00' * 16},SHA256=#{'AB' * 32}" } } } }

  expect("the event") { |events| events.first.get("[misp][event_id]") == ["5"] }
  expect("the part that matched") do |events|
    matched = events.first.get("[threat][enrichments]").first["matched"]
    matched["atomic"] == "ab" * 32 && matched["field"] == "winlog.event_data.Hashes"
  end
end

test "a network and a parent domain" do
  parameters do
    { "answers" => { "misp-last-load" => Time.now.to_i.to_s, "misp-networks" => "4:24,8;6:44",
                     "misp-cidr:198.51.100.0/24" => "7#ip-dst", "misp-cidr:2001:db8::/44" => "8#ip-dst",
                     "misp-domain:evil.example" => "9#domain" } }
  end
  in_event do
    { "destination" => { "ip" => "2001:0DB8:0:0::9%eth0" },
      "dns" => { "question" => { "name" => "a.b.EVIL.example." }, "resolved_ip" => ["192.0.2.1", "::ffff:198.51.100.9"] } }
  end

  expect("all three") { |events| events.first.get("[misp][event_id]").sort == %w[7 8 9] }
  expect("no network in a field for an address") do |events|
    events.first.get("[threat][enrichments]").none? { |one| one["indicator"].key?("ip") }
  end
end

test "context behind the type" do
  parameters do
    { "context" => %w[category event_uuid threat_level tlp org],
      "answers" => { "misp-last-load" => Time.now.to_i.to_s,
                     "misp-domain:evil.example" => "9#domain#Network%20activity##1#tlp:amber#ACME%2C%20Inc%23" } }
  end
  in_event { { "url" => { "domain" => "evil.example" } } }

  expect("in the enrichment") do |events|
    indicator = events.first.get("[threat][enrichments]").first["indicator"]
    indicator["provider"] == "ACME, Inc#" && indicator["confidence"] == "High" && indicator["marking"] == { "tlp" => "AMBER" }
  end
  expect("what ECS has no place for") { |events| events.first.get("[misp][category]") == ["Network activity"] }
  expect("nothing of a field that is empty") { |events| events.first.get("[misp][event_uuid]").nil? }
end

test "an old load" do
  parameters { { "answers" => { "misp-last-load" => (Time.now.to_i - 7300).to_s, "misp-ip:203.0.113.7" => "12#ip-dst" } } }
  in_event { [{ "source" => { "ip" => "203.0.113.7" } }, { "message" => "nothing to ask" }] }

  expect("a tag, and the hit") { |events| events.first.get("tags").sort == %w[_misp_lookup_failure misp_hit] }
  expect("why") { |events| events.first.get("[misp][lookup]") == "stale" }
  expect("none where nothing was asked") { |events| events.last.get("tags").nil? }
end

test "nothing was ever loaded" do
  parameters { { "answers" => {} } }
  in_event { { "source" => { "ip" => "203.0.113.7" } } }

  expect("a tag") { |events| events.first.get("tags") == ["_misp_lookup_failure"] }
  expect("why") { |events| events.first.get("[misp][lookup]") == "not_loaded" }
end

test "what was there stays" do
  parameters { { "answers" => { "misp-last-load" => Time.now.to_i.to_s, "misp-ip:203.0.113.7" => "12#ip-dst,13#ip-dst" } } }
  in_event do
    { "source" => { "ip" => "203.0.113.7" }, "misp" => { "event_id" => ["12"], "type" => ["ip-dst"] },
      "threat" => { "enrichments" => [{ "indicator" => { "name" => "other" } }] } }
  end

  expect("each pair once") { |events| events.first.get("[misp][event_id]") == %w[12 13] }
  expect("enrichments are added") do |events|
    events.first.get("[threat][enrichments]").map { |one| one["indicator"]["name"] } == %w[other 203.0.113.7 203.0.113.7]
  end
end

test "fields in the way" do
  parameters { { "answers" => { "misp-last-load" => Time.now.to_i.to_s, "misp-ip:203.0.113.7" => "12#ip-dst" } } }
  in_event { { "source" => { "ip" => "203.0.113.7" }, "misp" => "text" } }

  expect("the other half is written") { |events| events.first.get("[threat][enrichments]").size == 1 }
  expect("tags") { |events| events.first.get("tags").sort == %w[_misp_enrichment_failure misp_hit] }
end

test "hostile fields" do
  parameters do
    { "max_keys" => 20, "answers" => { "misp-last-load" => Time.now.to_i.to_s, "misp-ip:203.0.113.7" => ",,x#y,7#,12#ip-dst" } }
  end
  in_event do
    [
      { "source" => { "ip" => ["", nil, 7, " ", "203.0.113.7 "] } },
      { "source" => "text", "destination" => { "ip" => { "a" => 1 } }, "user_agent" => { "original" => "\u00e9" * 126 } },
      { "dns" => { "resolved_ip" => Array.new(5000) { |i| "198.51.100.#{i}" } } },
      { "url" => { "full" => "http://a.example/#{'%' * 100_000}" }, "winlog" => { "event_data" => { "Hashes" => "=" * 9000 } } }
    ]
  end

  expect("every event comes back") { |events| events.size == 4 }
  expect("the good value among the others") { |events| events[0].get("[misp][event_id]") == ["12"] }
  expect("nothing else") { |events| events.drop(1).all? { |event| event.get("[misp]").nil? } }
  expect("a tag where not all was asked") { |events| events[2].get("tags") == ["_misp_lookup_truncated"] }
end
