# Events as they reach Logstash, each with a value that tests/logstash/world.json lists
# (the event's id is its place there) in the form in which such a log writes it, and
# which of them each way finds. Nothing is asked here.

Case = Struct.new(:log, :form, :listed, :plain, :sets, :data)

WORLD = JSON.parse(File.read(File.join(__dir__, "world.json"), encoding: "UTF-8"))

# What MISP lists in the event of this id, its value, or the half of it that counts.
def listed(id)
  WORLD[id - 1][1]
end

# As Winlogbeat 8 and Elastic Agent send Sysmon's events to Logstash: what makes ECS of
# them is an ingest pipeline, further on.
def winlog(code, data)
  { "event" => { "code" => code.to_s, "module" => "sysmon" }, "winlog" => { "event_id" => code.to_s, "event_data" => data } }
end

# As Winlogbeat 7 or Elastic Defend send them.
def ecs(code, data)
  { "event" => { "code" => code.to_s, "module" => "sysmon" } }.merge(data)
end

# `listed`: ids that there are to find; `plain`: those that the memcached filter finds.
def cases
  sha256 = listed(1).upcase
  stream = listed(4).split("|").last
  all = "MD5=#{'0' * 32},SHA256=#{sha256},IMPHASH=#{'1' * 32}"
  image = "SHA1=#{'2' * 40},IMPHASH=#{listed(3).upcase}"
  both = %w[ecs sysmon]
  [
    Case.new("Sysmon 1, as sent", "`Hashes`: `MD5=..,SHA256=5F70..`", [1], [1], both, winlog(1, "Hashes" => all)),
    Case.new("Sysmon 1, ECS", "`process.hash.sha256` in upper case", [1], [1], both,
             ecs(1, "process" => { "hash" => { "md5" => "0" * 32, "sha256" => sha256 } })),
    Case.new("Sysmon 3, as sent", "`2001:0DB8:0066:0:0:0:0:0080`", [2], [], both,
             winlog(3, "SourceIp" => "192.0.2.10", "DestinationIp" => "2001:0DB8:0066:0:0:0:0:0080")),
    Case.new("Sysmon 3, ECS", "`::FFFF:203.0.113.200`", [22], [22], both,
             ecs(3, "source" => { "ip" => "192.0.2.10" }, "destination" => { "ip" => "::FFFF:203.0.113.200" })),
    Case.new("Sysmon 7, as sent", "`Hashes`: `SHA1=..,IMPHASH=F34D..`", [3], [3], both, winlog(7, "Hashes" => image)),
    Case.new("Sysmon 7, ECS", "`dll.pe.imphash` in upper case", [3], [3], both,
             ecs(7, "dll" => { "pe" => { "imphash" => listed(3).upcase } })),
    Case.new("Sysmon 13, as sent", "`HKLM\\..`, listed as `HKEY_LOCAL_MACHINE\\..`", [13], [], both,
             winlog(13, "TargetObject" => "HKLM\\SOFTWARE\\Evil Corp\\Run")),
    Case.new("Sysmon 13, as sent", "`HKU\\S-1-5-21-..`, listed as `HKCU\\..`", [24], [], both,
             winlog(13, "TargetObject" => "HKU\\S-1-5-21-1-2-3-1001\\Software\\Evil")),
    Case.new("Sysmon 15, as sent", "`Hash`: `SHA256=9F86..`, listed as `filename\\|sha256`", [4], [4], both,
             winlog(15, "Hash" => "SHA256=#{stream.upcase}")),
    Case.new("Sysmon 17, as sent", "`\\evil_7`, listed with its path", [21], [], both, winlog(17, "PipeName" => "\\evil_7")),
    Case.new("Sysmon 22, as sent", "a host below a listed domain", [5], [], both,
             winlog(22, "QueryName" => "www.Cdn.host.example", "QueryResults" => "-")),
    Case.new("Sysmon 22, as sent", "an answer in a listed network", [6], [], both,
             winlog(22, "QueryName" => "other.example", "QueryResults" => "type:  5 a.example;::ffff:198.51.100.9;")),
    Case.new("Sysmon 22, ECS", "an array of addresses, one is listed", [16], [16], both,
             ecs(22, "dns" => { "question" => { "name" => "other.example" },
                                  "resolved_ip" => ["192.0.2.1", "", "192.0.2.77", nil] })),
    Case.new("Suricata EVE dns, Filebeat", "`EVIL.example.`", [7], [7], both,
             { "event" => { "module" => "suricata" }, "dns" => { "question" => { "name" => "EVIL.example." } } }),
    Case.new("Suricata EVE tls, as written", "`tls.ja3.hash`, and `tls.fingerprint` with colons", [8, 20], [], ["suricata"],
             { "event_type" => "tls", "src_ip" => "192.0.2.10", "dest_ip" => "192.0.2.20",
               "tls" => { "sni" => "ok.example", "fingerprint" => listed(20).scan(/../).join(":"),
                          "ja3" => { "hash" => listed(8) } } }),
    Case.new("Suricata EVE fileinfo, as written", "`fileinfo.md5`", [18], [], ["suricata"],
             { "event_type" => "fileinfo", "src_ip" => "192.0.2.10", "fileinfo" => { "md5" => listed(18), "size" => 68 } }),
    Case.new("Suricata EVE http, as written", "`http.hostname` and `http.url`, listed as a URL", [10], [], ["suricata"],
             { "event_type" => "http", "src_ip" => "192.0.2.10", "dest_ip" => "192.0.2.20", "dest_port" => 80,
               "http" => { "hostname" => "Update.example", "url" => "/gate.php?id=1", "http_method" => "GET" } }),
    Case.new("Suricata EVE alert, as written", "`files`, one of which is listed", [18], [], ["suricata"],
             { "event_type" => "alert", "src_ip" => "192.0.2.10",
               "files" => [{ "filename" => "/a", "md5" => "0" * 32 }, { "filename" => "/b", "md5" => listed(18) }] }),
    Case.new("Suricata EVE smtp, as written", "`email.from`, and `email.url`", [10, 14], [], ["suricata"],
             { "event_type" => "smtp", "src_ip" => "192.0.2.10", "smtp" => { "mail_from" => "<ok@ok.example>" },
               "email" => { "from" => "<invoice@bad-mail.example>", "to" => ["you@ok.example"],
                            "url" => ["ok.example/x", "update.example/gate.php?id=1"] } }),
    Case.new("Zeek conn, Filebeat", "an address in a listed network", [6], [], both,
             { "source" => { "ip" => "192.0.2.10" }, "destination" => { "ip" => "198.51.100.77" } }),
    Case.new("Zeek conn, as written", "`id.orig_h`", [22], [], ["zeek"],
             { "id.orig_h" => "203.0.113.200", "id.resp_h" => "192.0.2.20", "proto" => "tcp" }),
    Case.new("Zeek http, as written", "`host`, `uri` and `id.resp_p`, listed as a URL", [23], [], ["zeek"],
             { "id.orig_h" => "192.0.2.10", "id.resp_h" => "192.0.2.20", "id.resp_p" => 8080, "method" => "GET",
               "host" => "port.example", "uri" => "/gate.php" }),
    Case.new("Zeek ssl, as written", "`cert_chain_fps`, one of which is listed", [20], [], ["zeek"],
             { "id.orig_h" => "192.0.2.10", "id.resp_h" => "192.0.2.20", "server_name" => "ok.example",
               "cert_chain_fps" => ["0" * 64, listed(20)] }),
    Case.new("Zeek smtp, as written", "`from`, with a name", [14], [], ["zeek"],
             { "id.orig_h" => "192.0.2.10", "mailfrom" => "<ok@ok.example>", "from" => "A Name <Invoice@bad-mail.example>",
               "to" => ["you@ok.example"], "subject" => "Hello" }),
    Case.new("Zeek dns, Filebeat", "`bücher.example`, listed in punycode", [17], [], both,
             { "dns" => { "question" => { "name" => "Bücher.example" } } }),
    Case.new("Zeek ssl, Filebeat", "`tls.client.server_name` in upper case, and `ja3`", [8, 12], [8, 12], both,
             { "tls" => { "client" => { "server_name" => "MAIL.bad.example", "ja3" => listed(8).upcase } } }),
    Case.new("Proxy", "scheme, host and port other than listed, and a fragment", [10], [], both,
             { "url" => { "full" => "HTTP://Update.example:80/gate.php?id=1#x", "domain" => "Update.example" } }),
    Case.new("Proxy", "punycode and percent codes, listed in letters", [25], [], both,
             { "url" => { "full" => "http://xn--kse-qla.example/%C3%BC", "domain" => "ok.example" } }),
    Case.new("Web server", "`url.domain` and `url.original`, listed as a URL", [10], [], both,
             { "url" => { "original" => "/gate.php?id=1", "domain" => "update.example" } }),
    Case.new("Proxy", "a user agent with blanks", [11], [11], both, { "user_agent" => { "original" => listed(11) } }),
    Case.new("Proxy", "a URL of 300 characters and more", [9], [9], both,
             { "url" => { "full" => listed(9), "domain" => "long.example" } }),
    Case.new("Proxy", "126 accented letters", [15], [], both, { "user_agent" => { "original" => listed(15) } }),
    Case.new("Mail", "`A Name <Invoice@bad-mail.example>`, in an array", [14], [14], both,
             { "email" => { "from" => { "address" => ["A Name <Invoice@bad-mail.example>"] } } }),
    Case.new("Mail", "a subject that is not ASCII", [19], [], both, { "email" => { "subject" => " Rechnung für März " } }),
    Case.new("Any", "a blank field beside a listed one", [7], [7], both,
             { "source" => { "ip" => " " }, "destination" => { "ip" => "" }, "dns" => { "question" => { "name" => "evil.example" } } }),
    Case.new("Any", "nothing listed", [], [], both,
             { "source" => { "ip" => "192.0.2.10" }, "url" => { "full" => "https://ok.example/#{'x' * 300}" } })
  ]
end
