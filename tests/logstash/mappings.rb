# Does a document fit an index template of ours? A small reader of mappings, for want
# of an Elasticsearch; and the table of ECS fields, so that the template itself fits ECS.

require "ipaddr"
require "json"
require "time"

# Types of the ECS fields (8.17) that are written, in the form of a JSON schema's
# properties: what ECS says, in our own file, so that the template is held against it.
class Mappings
  ECS = File.join(__dir__, "ecs_enrichments.json")

  def initialize(path)
    mappings = JSON.parse(File.read(path, encoding: "UTF-8")).fetch("template").fetch("mappings")
    @fields = flat(mappings.fetch("properties"))
    @patterns = mappings.fetch("dynamic_templates").map { |one| one.values.first }
  end

  # field => type, of the template.
  attr_reader :fields

  # field => type, of ECS.
  def self.ecs
    JSON.parse(File.read(ECS, encoding: "UTF-8"))
  end

  # What is wrong with a document, in words.
  def faults(document)
    leaves(document).flat_map do |path, value|
      type = @fields[path] || dynamic(path, value)
      next ["#{path} has no mapping"] if type.nil?

      fits?(type, value) ? [] : ["#{path} is no #{type}: #{value.inspect[0, 60]}"]
    end
  end

  private

  def flat(properties, prefix = "")
    properties.each_with_object({}) do |(name, field), all|
      all["#{prefix}#{name}"] = field["type"] if field["type"]
      all.merge!(flat(field["properties"], "#{prefix}#{name}.")) if field["properties"]
    end
  end

  def dynamic(path, value)
    rule = @patterns.find do |one|
      one["match_mapping_type"] == "string" && value.is_a?(String) && File.fnmatch(one["path_match"], path)
    end
    rule && rule["mapping"]["type"]
  end

  # [path, value] of everything that is no object; arrays are their elements.
  def leaves(value, path = "")
    case value
    when Hash then value.flat_map { |name, inner| leaves(inner, path.empty? ? name : "#{path}.#{name}") }
    when Array then value.flat_map { |inner| leaves(inner, path) }
    else [[path, value]]
    end
  end

  def fits?(type, value)
    case type
    when "keyword", "wildcard" then value.is_a?(String) && value.valid_encoding? && value.encoding != Encoding::BINARY
    when "long" then value.is_a?(Integer) && value < 2**63
    when "date" then value.is_a?(String) && Time.iso8601(value)
    when "ip" then value.is_a?(String) && !value.include?("/") && IPAddr.new(value)
    else false
    end
  rescue ArgumentError, IPAddr::Error
    false
  end
end
