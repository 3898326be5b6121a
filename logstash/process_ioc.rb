# Turns what a look-up in memcached found into fields of the event.
#
# A value has the form EVENTID#TYPE[,EVENTID#TYPE...], with MISP's event id and
# MISP's attribute type. For each entry one id goes to the array
# [misp][event_id] and one type to the array [misp][type], at the same position.
# Further fields behind another "#" are left alone. What is already in the arrays
# stays; a pair that is there already is not added again.
#
# It knows nothing of memcached, of keys or of namespaces.
#
#   ruby {
#     path => "/etc/logstash/process_ioc.rb"
#     script_params => { "field" => "[enrich][tmp]" }   # the default
#   }
#
# The field holds one value, or an array or a map of values (several look-ups that
# wrote to [enrich][tmp][a], [enrich][tmp][b] ...). It is removed once it is read,
# so that a later look-up that finds nothing is not taken for this one.
#
# Logstash evaluates this text once for itself and once for each test below, each
# time in an object of its own; hence no constants, and instance variables are
# written in register only, because all pipeline workers share them.

def register(params)
  field = params["field"].to_s.strip
  @field = field.empty? ? "[enrich][tmp]" : field
end

def filter(event)
  found = event.get(@field)
  return [event] if found.nil?

  append(event, values(found).flat_map { |value| pairs(value) })
  event.remove(@field)
  [event]
rescue StandardError => e
  # For example [misp] is a string that another filter has put there. Losing the
  # event would be worse than losing the enrichment; the tag makes it visible.
  logger.warn("process_ioc: cannot enrich", "field" => @field, "error" => e.message)
  event.tag("_misp_enrichment_failure")
  [event]
end

# The strings in a field, whatever holds them. Maps are read by name, because
# Logstash gives no order to them.
def values(found)
  case found
  when String then [found]
  when Array then found.flat_map { |value| values(value) }
  when Hash then found.sort_by { |name, _| name.to_s }.flat_map { |_, value| values(value) }
  else []
  end
end

# The [id, type] pairs of one value. What is no entry is left out: somebody else
# may write to the same memcached.
def pairs(value)
  # Dalli returns bytes without an encoding, and a broken one must not raise.
  text = value.dup.force_encoding(Encoding::UTF_8).scrub("?")
  text.split(",").map { |entry| entry.split("#").first(2).map(&:strip) }.select do |id, type|
    id =~ /\A[0-9]+\z/ && type && !type.empty?
  end
end

def append(event, found)
  return if found.empty?

  # An array as it is; one plain value, set by another filter, as an array of one.
  ids = Array(event.get("[misp][event_id]"))
  types = Array(event.get("[misp][type]"))
  known = ids.map(&:to_s).zip(types)
  added = found.uniq - known
  return if added.empty?

  event.set("[misp][event_id]", ids + added.map(&:first))
  event.set("[misp][type]", types + added.map(&:last))
end

test "one entry" do
  parameters { {} }
  in_event { { "enrich" => { "tmp" => "2#ip-dst" } } }

  expect("one event") { |events| events.size == 1 }
  expect("its id") { |events| events.first.get("[misp][event_id]") == ["2"] }
  expect("its type") { |events| events.first.get("[misp][type]") == ["ip-dst"] }
  expect("the field is used up") { |events| events.first.get("[enrich][tmp]").nil? }
end

test "several entries, more fields, a composite type" do
  parameters { {} }
  in_event { { "enrich" => { "tmp" => "2#ip-dst,3#ip-dst|port#Network activity#tlp:amber,12#domain|ip" } } }

  expect("ids in order") { |events| events.first.get("[misp][event_id]") == ["2", "3", "12"] }
  expect("types beside them") do |events|
    events.first.get("[misp][type]") == ["ip-dst", "ip-dst|port", "domain|ip"]
  end
end

test "appended to what is there, each pair once" do
  parameters { {} }
  in_event do
    {
      "enrich" => { "tmp" => "2#domain,4#url,2#hostname" },
      "misp" => { "event_id" => ["2"], "type" => ["domain"] }
    }
  end

  expect("ids") { |events| events.first.get("[misp][event_id]") == ["2", "4", "2"] }
  expect("types") { |events| events.first.get("[misp][type]") == ["domain", "url", "hostname"] }
end

test "several look-ups below one field" do
  parameters { { "field" => "[enrich][found]" } }
  in_event { { "enrich" => { "found" => { "b" => "7#md5", "a" => "5#sha256", "c" => ["9#url", "7#md5"] } } } }

  expect("ids") { |events| events.first.get("[misp][event_id]") == ["5", "7", "9"] }
  expect("types") { |events| events.first.get("[misp][type]") == ["sha256", "md5", "url"] }
end

test "nothing found, blank or broken" do
  parameters { {} }
  in_event do
    [
      {},
      { "enrich" => { "tmp" => "" } },
      { "enrich" => { "tmp" => "  " } },
      { "enrich" => { "tmp" => ",,#,7#,#md5,x#md5,-1#md5,7" } },
      { "enrich" => { "tmp" => 7 } }
    ]
  end

  expect("every event comes back") { |events| events.size == 5 }
  expect("none is enriched") { |events| events.all? { |event| event.get("[misp]").nil? } }
  expect("none is tagged") { |events| events.all? { |event| event.get("[tags]").nil? } }
end

test "good entries among broken ones" do
  parameters { {} }
  in_event { { "enrich" => { "tmp" => " 8 # md5 ,,9#,x#y,10#sha1" } } }

  expect("ids") { |events| events.first.get("[misp][event_id]") == ["8", "10"] }
  expect("types") { |events| events.first.get("[misp][type]") == ["md5", "sha1"] }
end
