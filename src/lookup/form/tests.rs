//! What people and programs type, and what must be among the candidates for it.

use super::*;
use crate::cache::networks::Networks;
use crate::indicator::{MispType, split};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn with(networks: &str, value: &str) -> Vec<String> {
    let networks = Held::with_networks(Networks::parse(networks.as_bytes()));
    candidates(value, &networks).iter().map(|c| format!("{}:{}", c.namespace.name(), c.value)).collect()
}

fn all(value: &str) -> Vec<String> {
    with("", value)
}

fn within(namespace: Namespace, value: &str) -> Vec<String> {
    candidates_in(namespace, value).into_iter().map(|c| c.value).collect()
}

/// Each of `wanted` is among the candidates of `value`.
fn has(value: &str, wanted: &[&str]) {
    let all = all(value);
    for one in wanted {
        assert!(all.iter().any(|c| c == one), "{value:?}: {one:?} is not in {all:#?}");
    }
}

#[test]
fn hashes_by_length() {
    let md5 = "E7D00812FCF0D4E11C1D088568CC2229";
    let low = md5.to_lowercase();
    let names = ["md5", "imphash", "ja3", "hassh", "hasshserver", "x509"];
    assert_eq!(all(md5), names.map(|n| format!("{n}:{low}")));
    for (digits, first, count) in [(40, "sha1", 4), (56, "sha224", 3), (62, "jarm", 1), (64, "sha256", 5)] {
        let all = all(&"A".repeat(digits));
        assert_eq!((all[0].as_str(), all.len()), (format!("{first}:{}", "a".repeat(digits)).as_str(), count));
    }
    has(&"aB".repeat(48), &[&format!("sha3-384:{}", "ab".repeat(48))]);
    has(&"aB".repeat(64), &[&format!("sha512:{}", "ab".repeat(64))]);
}

#[test]
fn hashes_in_other_clothes() {
    let sha1 = "d1854cae891ec7b29161ccaf79a24b00c274bdaa";
    let pairs = "D1:85:4C:AE:89:1E:C7:B2:91:61:CC:AF:79:A2:4B:00:C2:74:BD:AA";
    assert_eq!(all(pairs)[0], format!("x509:{sha1}"));
    has(pairs, &[&format!("ssh-fingerprint:{}", pairs.to_lowercase())]);
    let sysmon = format!("SHA1={},MD5={},IMPHASH=", sha1.to_uppercase(), "A".repeat(32));
    assert_eq!(all(&sysmon), [format!("sha1:{sha1}"), format!("md5:{}", "a".repeat(32))]);
    assert_eq!(all(&format!("sha-1:{sha1}")), [format!("sha1:{sha1}")]);
    assert_eq!(all(&format!("SHA1: {sha1}")), [format!("sha1:{sha1}")]);
    // A name that the length contradicts is no hash.
    assert!(!all(&format!("MD5={sha1}")).iter().any(|c| c.starts_with("md5:")));
    let tlsh = "AB".repeat(35);
    has(&format!("T1{tlsh}"), &[&format!("tlsh:t1{}", tlsh.to_lowercase()), &format!("telfhash:T1{tlsh}")]);
    has(&tlsh, &[&format!("tlsh:t1{}", tlsh.to_lowercase()), &format!("tlsh:{}", tlsh.to_lowercase())]);
    assert_eq!(all("96:ABCdef+/:XYZ"), ["ssdeep:96:ABCdef+/:XYZ", "impfuzzy:96:ABCdef+/:XYZ"]);
    let print = "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8";
    has(print, &[&format!("ssh-fingerprint:{print}"), &format!("ssh-fingerprint:{}", &print[7..])]);
    has("MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48", &["x509:1627aca576282d36631b564debdfa648"]);
}

#[test]
fn addresses() {
    for typed in ["1.2.3.4", " \"1[.]2[.]3[.]4\" ", "1.2.3.4:443", "1.2.3.4|443", "1.2.3.4.", "[1.2.3.4]", "1.2.3.4/32"]
    {
        assert_eq!(all(typed)[0], "ip:1.2.3.4", "{typed}");
    }
    let v6 = [
        "2001:DB8:0:0::1",
        "2001:0db8:0000:0000:0000:0000:0000:0001",
        "[2001:db8::1]",
        "[2001:db8::1]:443",
        "[IPv6:2001:db8::1]",
        "2001:db8::1%eth0",
        "2001:db8::1|80",
        "2001:db8::1#80",
        "2001:db8::1 port 80",
        "2001:db8::1p80",
        "2001:db8::1.80",
        "2001:db8:0:0:0:0:0:1:80",
    ];
    for typed in v6 {
        assert_eq!(all(typed), ["ip:2001:db8::1"], "{typed}");
    }
    for typed in ["::ffff:1.2.3.4", "::FFFF:102:304", "[::ffff:1.2.3.4]:80"] {
        assert_eq!(all(typed), ["ip:::ffff:1.2.3.4", "ip:1.2.3.4"], "{typed}");
    }
    // The C library's spelling, which MISP shows.
    assert_eq!(all("::102:304"), ["ip:::102:304", "ip:::1.2.3.4"]);
    assert!(!all("1.2.3").iter().any(|c| c.starts_with("ip:")));
    assert!(!all("1.2.3.4:99999").iter().any(|c| c.starts_with("ip:")));
}

#[test]
fn networks_around_an_address() {
    let used = "4:24,8;6:96,44";
    assert_eq!(with(used, "10.1.2.3"), ["ip:10.1.2.3", "cidr:10.1.2.0/24", "cidr:10.0.0.0/8"]);
    assert_eq!(
        with(used, "::ffff:10.1.2.3"),
        [
            "ip:::ffff:10.1.2.3",
            "ip:10.1.2.3",
            "cidr:10.1.2.0/24",
            "cidr:10.0.0.0/8",
            "cidr:::ffff:0.0.0.0/96",
            "cidr:::/44"
        ]
    );
    assert_eq!(with(used, "10.1.2.3/16"), ["cidr:10.1.0.0/16", "ip:10.1.2.3/16", "cidr:10.0.0.0/8"]);
    assert_eq!(with(used, "2001:DB8:1::5/64")[..2], ["cidr:2001:db8:1::/64", "ip:2001:db8:1::5/64"]);
    assert!(with(used, "http://10.1.2.3/").contains(&"cidr:10.1.2.0/24".into()));
}

#[test]
fn names_and_parents() {
    for typed in ["a.b.example.co.uk", "A.B.Example.CO.UK.", "a.b.example[.]co[.]uk:443", "*.a.b.example.co.uk"] {
        let all = all(typed);
        assert_eq!(all[..3], ["domain:a.b.example.co.uk", "domain:b.example.co.uk", "domain:example.co.uk"], "{typed}");
        assert!(!all.contains(&"domain:co.uk".into()));
    }
    // A private suffix belongs to nobody either; asked for by name it is looked up.
    assert!(!all("evil.github.io").contains(&"domain:github.io".into()));
    has("co.uk", &["domain:co.uk"]);
    has("c2.example.net|8080", &["domain:c2.example.net", "domain:example.net"]);
    has("bad.example.net|1.2.3.4", &["domain:bad.example.net", "ip:1.2.3.4"]);
    has("_dmarc.a_b.example.com", &["domain:_dmarc.a_b.example.com", "domain:example.com"]);
}

#[test]
fn names_beyond_ascii() {
    for typed in ["BÜCHER.example", "www.bücher.example"] {
        has(typed, &["domain:xn--bcher-kva.example", "domain:bücher.example"]);
    }
    has("www.xn--bcher-kva.example", &["domain:bücher.example", "domain:xn--bcher-kva.example"]);
    has("evil\u{3002}com", &["domain:evil.com"]);
    has("http://bücher.example/ü", &["url:http://xn--bcher-kva.example/ü", "domain:xn--bcher-kva.example"]);
    // Also a subject line.
    has("你好\u{3002}世界", &["email-subject:你好\u{3002}世界"]);
}

#[test]
fn a_name_or_a_file() {
    assert_eq!(all("invoice.exe")[0], "filename:invoice.exe");
    has("invoice.exe", &["domain:invoice.exe", "mutex:invoice.exe"]);
    assert_eq!(all("update.com")[0], "domain:update.com");
    has("update.com", &["filename:update.com", "url:update.com"]);
    has("com.example.app", &["mobile-application-id:com.example.app"]);
    has("Loader.PDB", &["pdb:Loader.PDB"]);
}

#[test]
fn onions() {
    has("www.EXPYUZZ4WQQYQHJN.onion", &["onion-address:expyuzz4wqqyqhjn.onion", "domain:www.expyuzz4wqqyqhjn.onion"]);
    has("http://expyuzz4wqqyqhjn.onion/x", &["onion-address:expyuzz4wqqyqhjn.onion"]);
}

#[test]
fn urls() {
    let typed = "HXXP://u:P@WWW.Evil[.]com:80/Path/?Q=A#F";
    assert_eq!(
        all(typed),
        [
            "url:http://u:P@WWW.Evil.com:80/Path/?Q=A#F",
            "url:http://u:P@www.evil.com/Path/?Q=A#F",
            "url:http://u:P@WWW.Evil.com:80/Path/?Q=A",
            "url:http://u:P@www.evil.com/Path/?Q=A",
            "url:http://www.evil.com/Path/?Q=A",
            "url:u:P@www.evil.com/Path/?Q=A",
            "url:www.evil.com/Path/?Q=A",
            "url:/Path/?Q=A",
            "url:/Path/",
            "domain:www.evil.com",
            "domain:evil.com",
            &format!("url:{typed}"),
        ]
    );
    has(
        "HTTP://a.example",
        &["url:HTTP://a.example", "url:http://a.example/", "url:http://a.example", "url:a.example"],
    );
    has("http://a.example/x", &["url:http://a.example/x/", "url:a.example/x/", "url:/x"]);
    has("https://a.example:443/x/", &["url:https://a.example/x"]);
    has("https://a.example.:80/", &["url:https://a.example:80/", "domain:a.example"]);
    has("http://[2001:DB8::1]:80/x", &["url:http://[2001:db8::1]/x", "ip:2001:db8::1"]);
    has("http://1.2.3.4:8080/a|b", &["url:http://1.2.3.4:8080/a|b", "ip:1.2.3.4"]);
    has("WWW.evil.com/a", &["url:WWW.evil.com/a", "url:http://www.evil.com/a", "domain:evil.com", "url:/a"]);
    has("1.2.3.4/gate.php", &["url:http://1.2.3.4/gate.php", "ip:1.2.3.4"]);
    has("/Path?x", &["url:/Path?x"]);
    has("not a url", &["url:not a url"]);
    has("http://a.example/😀", &["url:http://a.example/😀", "url:http://a.example/?"]);
    // A run of codes that is no text stays, and so does what follows a lone percent sign.
    has("http://a.example/%FF%C3%BC/%", &["url:http://a.example/%FF%C3%BC/%"]);
    has("http://a.example/%C3%BC%2f%20%+f", &["url:http://a.example/ü%2f %+f"]);
    has("http://XN--BCHER-kva.example/", &["url:http://bücher.example/"]);
}

#[test]
fn mail() {
    for typed in ["User@Mail.EXAMPLE.com", "user[at]mail[.]example[.]com", "A Name <User@mail.example.com>"] {
        has(typed, &["email:user@mail.example.com", "domain:mail.example.com", "domain:example.com"]);
    }
    assert_eq!(all("mailto:User@example.com")[..2], ["email:user@example.com", "email:User@example.com"]);
    has(
        "<4c.1@mail.example.com>",
        &["email-message-id:<4c.1@mail.example.com>", "email-message-id:4c.1@mail.example.com"],
    );
    has("user@[1.2.3.4]", &["ip:1.2.3.4"]);
    has("Bot/1.0 <bot@example.com>", &["user-agent:Bot/1.0 <bot@example.com>", "email:bot@example.com"]);
}

#[test]
fn windows() {
    let run = "\\Software\\Run\\x";
    for typed in ["HKLM", "hklm", "HKEY_LOCAL_MACHINE", "Computer\\HKEY_LOCAL_MACHINE", "\\REGISTRY\\MACHINE", "HKLM:"]
    {
        let typed = format!("{typed}{run}");
        has(
            &typed,
            &[&format!("regkey:{typed}"), &format!("regkey:HKLM{run}"), &format!("regkey:HKEY_LOCAL_MACHINE{run}")],
        );
    }
    has("HKCU\\Run\\x|C:\\a b.exe", &["regkey:HKCU\\Run\\x"]);
    has("\\\\.\\PIPE\\evil", &["named-pipe:\\\\.\\PIPE\\evil", "named-pipe:\\\\.\\pipe\\evil", "named-pipe:evil"]);
    has("\\evil", &["named-pipe:\\\\.\\pipe\\evil", "named-pipe:evil", "windows-scheduled-task:\\evil"]);
    has("C:\\Users\\x\\Bad.EXE", &["filename:C:\\Users\\x\\Bad.EXE", "filename:Bad.EXE"]);
    has("/tmp/.x/bad", &["url:/tmp/.x/bad", "filename:/tmp/.x/bad", "filename:bad"]);
    assert_eq!(all("Global\\{1A-2b}")[0], "mutex:Global\\{1A-2b}");
    has("evil[.]exe", &["filename:evil[.]exe", "filename:evil.exe"]);
    assert_eq!(all("Mozilla/5.0 (Windows NT 10.0; x)")[0], "user-agent:Mozilla/5.0 (Windows NT 10.0; x)");
    has("a|b", &["mutex:a|b", "user-agent:a|b", "filename:a|b"]);
}

#[test]
fn small_shapes() {
    for typed in ["AS9009", "as 9009", "ASN9009", "9009"] {
        has(typed, &["as:9009"]);
    }
    has("1.10", &["as:65546"]);
    for typed in ["00-1B-44-11-3A-B7", "001b.4411.3ab7", "001B44113AB7", "001b44-113ab7", "00:1b:44:11:3a:b7"] {
        has(typed, &["mac-address:00:1b:44:11:3a:b7"]);
    }
    has("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", &["btc:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"]);
    has("BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", &["btc:bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"]);
    let xmr = format!("4{}", "A".repeat(94));
    has(&xmr, &[&format!("xmr:{xmr}")]);
    has("-1234567", &["favicon-mmh3:-1234567"]);
    has("1:LQU9qZlK+B5F3KDmev6m5PMibrg=", &["community-id:1:LQU9qZlK+B5F3KDmev6m5PMibrg="]);
    has("abcdefghijklmnopabcdefghijklmnop", &["chrome-extension-id:abcdefghijklmnopabcdefghijklmnop"]);
    has("localhost", &["domain:localhost", "mutex:localhost"]);
}

#[test]
fn a_namespace_that_the_caller_names() {
    assert_eq!(within(Namespace::Domain, "A.Example.COM."), ["a.example.com", "A.Example.COM."]);
    assert_eq!(within(Namespace::Domain, "LOCALHOST"), ["localhost", "LOCALHOST"]);
    assert_eq!(within(Namespace::Md5, "MD5=ABCD"), ["md5=abcd", "MD5=ABCD"]);
    assert_eq!(within(Namespace::X509, "AA:bb")[0], "aabb");
    assert_eq!(within(Namespace::Ip, "[2001:DB8::1]:443")[0], "2001:db8::1");
    assert_eq!(within(Namespace::Cidr, "10.1.2.3/8"), ["10.0.0.0/8", "10.1.2.3/8"]);
    assert_eq!(within(Namespace::Asn, "AS1"), ["1", "AS1"]);
    assert_eq!(within(Namespace::Mac, "001B44113AB7")[0], "00:1b:44:11:3a:b7");
    assert_eq!(within(Namespace::Email, "User@Example.com"), ["user@example.com", "User@Example.com"]);
    assert_eq!(within(Namespace::Mutex, " http://x/ "), ["http://x/"]);
    assert_eq!(within(Namespace::Filename, "1.2.3.4"), ["1.2.3.4"]);
}

#[test]
fn nothing_to_ask_for() {
    assert_eq!(all(" \t "), [""; 0]);
    assert_eq!(all(&"x".repeat(MAX_VALUE + 1)), [""; 0]);
    assert!(!all(&"x".repeat(MAX_VALUE)).is_empty());
}

/// The longest honest lists fit whole.
#[test]
fn the_limit() {
    let every = Held::with_networks(Networks::from_lengths(0..=32, 0..=128));
    let mapped = candidates("http://u@[::ffff:1.2.3.4]:80/x/#y", &every);
    let held = mapped.iter().filter(|c| c.namespace == Namespace::Cidr).count();
    assert_eq!(held, 33 + 129);
    assert!(mapped.len() < MAX_CANDIDATES);
    let deep = format!("{}com", "a.".repeat(125));
    has(&deep, &["domain:a.com"]);
    // As many in two alphabets; one that is as long as a name can be.
    let deep = format!("xn--tda.{}com", "a.".repeat(121));
    has(&deep, &["domain:a.com", &format!("domain:ü.{}com", "a.".repeat(121))]);
    // An endless one ends.
    let many = candidates(&format!("http://{}onion/", "a.".repeat(120)), &every);
    assert!(many.len() <= MAX_CANDIDATES);
}

fn check(value: &str, list: &[Candidate]) {
    assert!(list.len() <= MAX_CANDIDATES, "{value:?}");
    for (i, c) in list.iter().enumerate() {
        assert!(!c.value.is_empty() && !list[..i].contains(c), "{value:?}: {c:?}");
    }
}

proptest! {
    /// Whatever was typed: no panic, no end of questions, none twice.
    #[test]
    fn any_text(value in "(?s).{0,60}|[a-cA-C0-9.:/|@=#?%\\\\\\[\\]<>(){} \"üxhptT-]{0,60}|(https?://)?[a-z0-9@:.\\[\\]]{0,20}[/?#|]{0,2}.{0,10}",
                code in 0u8..53) {
        let networks = Held::parse(Some(b"4:32,24,8,0;6:128,64,0"), None);
        check(&value, &candidates(&value, &networks));
        let namespace = Namespace::from_code(code).unwrap();
        let list = candidates_in(namespace, &value);
        check(&value, &list);
        prop_assert!(list.iter().all(|c| c.namespace == namespace));
    }

    /// Whatever the loader keeps is found by who says where, as MISP shows it.
    #[test]
    fn what_is_kept_is_found(code in 0u8..88, value in "\\PC{0,40}|[0-9a-f.:/|]{0,60}|(?s).{0,30}") {
        let _ = split(MispType::from_code(code).unwrap(), &value, |namespace, kept| {
            let wanted = Candidate { namespace, value: kept.to_owned() };
            assert!(candidates_in(namespace, kept).contains(&wanted), "{wanted:?}");
        });
    }

    #[test]
    fn ipv4_in_awkward_forms(bits: u32, port: u16, length in 0u8..=32) {
        let ip = Ipv4Addr::from_bits(bits);
        let [a, b, c, d] = ip.octets();
        let mapped = ip.to_ipv6_mapped();
        let hex = format!("::ffff:{:04X}:{:04x}", bits >> 16, bits & 0xffff);
        let long = format!("0000:0:0:0:0:FFFF:{ip}");
        let all = [format!("{ip}"), format!("{ip}:{port}"), format!("{ip}|{port}"), format!("{a}[.]{b}(.){c}[dot]{d}"),
            format!("{mapped}"), hex, long, format!("[{mapped}]:{port}"), format!("hxxp://{ip}:{port}/x"), format!("x@[{ip}]")];
        let networks = Held::with_networks(Networks::from_lengths([length], []));
        let network = ipnet::IpNet::new(IpAddr::V4(ip), length).unwrap().trunc().to_string();
        for typed in all {
            let list = candidates(&typed, &networks);
            for (namespace, value) in [(Namespace::Ip, ip.to_string()), (Namespace::Cidr, network.clone())] {
                prop_assert!(list.contains(&Candidate { namespace, value }), "{}", typed);
            }
        }
    }

    #[test]
    fn ipv6_in_awkward_forms(bits: u128, keep: u128, port: u16, length in 0u8..=128) {
        // Half of the groups are zero, so that there is something to compress.
        let ip = Ipv6Addr::from_bits(bits & keep.wrapping_mul(0xffff_0000_0000_ffff_ffff));
        let groups = ip.segments().map(|s| format!("{s:04X}")).join(":");
        let networks = Held::with_networks(Networks::from_lengths([], [length]));
        let network = ipnet::IpNet::new(IpAddr::V6(ip), length).unwrap().trunc().to_string();
        for typed in [ip.to_string(), groups.clone(), format!("[{groups}]:{port}"), format!("{groups}%eth0"),
            format!("{groups}:{port}"), format!("{ip}|{port}"), format!("<{}>", ip.to_string().to_uppercase()),
            format!("https://[{groups}]/")] {
            let list = candidates(&typed, &networks);
            for (namespace, value) in [(Namespace::Ip, ip.to_string()), (Namespace::Cidr, network.clone())] {
                prop_assert!(list.contains(&Candidate { namespace, value }), "{}", typed);
            }
        }
    }

    #[test]
    fn names_in_awkward_forms(host in "[a-z0-9_-]{1,12}(\\.[a-z0-9-]{1,9}){0,4}", tld in "com|co\\.uk|example|de|zzz", port: u16) {
        let name = format!("{host}.{tld}");
        let upper = name.to_uppercase();
        for typed in [name.clone(), format!("{upper}."), format!("{upper}:{port}"), upper.replace('.', "[.]"),
            format!("*.{upper}"), format!("HXXPS://{upper}:{port}/x?y"), format!("\"{upper}\""), format!("Someone@{upper}")] {
            let list = candidates(&typed, &Held::default());
            let mut parent = name.as_str();
            loop {
                let wanted = Candidate { namespace: Namespace::Domain, value: parent.to_owned() };
                let public = psl::suffix(parent.as_bytes()).is_some_and(|s| s.as_bytes() == parent.as_bytes());
                prop_assert_eq!(list.contains(&wanted), parent == name || !public, "{} {}", typed, parent);
                let Some((_, rest)) = parent.split_once('.') else { break };
                parent = rest;
            }
        }
    }

    #[test]
    fn hashes_in_upper_case(seed in "[0-9a-f]{128}", name in 0usize..6) {
        let (namespace, digits) = [(Namespace::Md5, 32), (Namespace::Imphash, 32), (Namespace::Sha1, 40),
            (Namespace::Sha256, 64), (Namespace::Sha384, 96), (Namespace::Sha512, 128)][name];
        let value = seed[..digits].to_owned();
        let upper = value.to_uppercase();
        let wanted = Candidate { namespace, value };
        for typed in [upper.clone(), format!(" '{upper}'\n"), format!("{}={upper},X=1", namespace.name().to_uppercase()),
            format!("a.exe|{upper}")] {
            prop_assert!(candidates(&typed, &Held::default()).contains(&wanted), "{}", typed);
        }
    }

    #[test]
    fn urls_as_misp_shows_them(host in "[a-zA-Z]{1,9}\\.(com|Example)(:[1-9][0-9]{0,3})?", path in "(/[!-~]{0,20})?") {
        let url = format!("http://{host}{path}");
        // What the trimming and refanging of both sides would change is left out.
        prop_assume!(refang::refang(&url) == url);
        let list = candidates(&url, &Held::default());
        prop_assert_eq!((list[0].namespace, &list[0].value), (Namespace::Url, &url));
    }
}
