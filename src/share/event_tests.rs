//! No event holds an address that must not leave, whatever form it came in.

use super::*;
use crate::share::exclude::Exclude;
use crate::share::input::{From, detection};
use proptest::prelude::*;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a detection says besides, and may say.
const PUBLIC: &str = "185.220.101.47";

/// A reserved IPv4 address, by another opinion than the table's.
fn is_reserved_v4(a: Ipv4Addr) -> bool {
    let [first, second, ..] = a.octets();
    a.is_private()
        || a.is_loopback()
        || a.is_link_local()
        || a.is_multicast()
        || a.is_documentation()
        || a.is_broadcast()
        || a.is_unspecified()
        || first == 0
        || first >= 224
        || first == 100 && (64..128).contains(&second)
        || first == 198 && (18..20).contains(&second)
}

fn is_reserved(address: IpAddr) -> bool {
    let a = match address {
        IpAddr::V4(a) => return is_reserved_v4(a),
        IpAddr::V6(a) => a,
    };
    let s = a.segments();
    let low = Ipv4Addr::from((u32::from(s[6]) << 16) | u32::from(s[7]));
    let six_to_four = Ipv4Addr::from((u32::from(s[1]) << 16) | u32::from(s[2]));
    match s[0] {
        0 => s[..6] != [0, 0, 0, 0, 0, 0xffff] || is_reserved_v4(low),
        0x64 => s[..6] != [0x64, 0xff9b, 0, 0, 0, 0] || is_reserved_v4(low),
        0x2001 => s[1] < 0x200 || s[1] == 0xdb8,
        0x2002 => is_reserved_v4(six_to_four),
        0x2000..=0x3fff => (s[4] & 0xfdff, s[5]) == (0, 0x5efe) && is_reserved_v4(low),
        _ => true,
    }
}

/// Every address in a text, found otherwise than the program does.
fn addresses(text: &str) -> Vec<IpAddr> {
    let of_address = |c: char| c.is_ascii_hexdigit() || c == ':' || c == '.';
    let words = text.split(|c| !of_address(c));
    let trimmed = words.flat_map(|w| [w, w.trim_matches('.'), w.trim_matches(['.', ':']), w.trim_end_matches(':')]);
    let parts = trimmed.flat_map(|w| [w, w.rsplit_once(':').map_or(w, |(a, _)| a), w.rsplit(':').next().unwrap_or(w)]);
    parts.filter_map(|part| part.parse().ok()).collect()
}

fn terms() -> Terms {
    let mut exclude = Exclude::default();
    exclude.add("45.155.205.0/24, 2a0c::/32").unwrap();
    Terms { withheld: Withheld::new(exclude), ..Terms::default() }
}

/// The ways in which a sensor or a person may write an address.
fn spellings(address: IpAddr) -> Vec<String> {
    let mut all = vec![address.to_string()];
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            let (high, low) = (u32::from(v4) >> 16, u32::from(v4) & 0xffff);
            all.extend([
                format!("::ffff:{v4}"),
                format!("::FFFF:{high:X}:{low:X}"),
                format!("0:0:0:0:0:ffff:{high:x}:{low:x}"),
                format!("64:ff9b::{v4}"),
                format!("64:ff9b::{high:x}:{low:x}"),
                format!("2002:{high:x}:{low:x}::1"),
                format!("2a0b::5efe:{v4}"),
                format!("{v4}/32"),
                format!("{a}[.]{b}[.]{c}[.]{d}"),
            ]);
        }
        IpAddr::V6(v6) => {
            let long = v6.segments().map(|s| format!("{s:04x}")).join(":");
            all.extend([long.to_uppercase(), long, format!("{v6}%eth0"), format!("{v6}/128")]);
        }
    }
    all
}

/// Lines of every form that have `address` as source, as target and in their texts.
fn lines(address: &str) -> Vec<(From, String)> {
    let said = format!("seen {address}, from [{address}]:443 and http://{address}/x; also {PUBLIC}");
    let json = |value: Value| (From::Flowmon, value.to_string());
    vec![
        (From::Flowmon, format!("1\t{address}\t \tX\t{said}\t \t \t{said}\tLow\t{said}\t \t \t{address}\t \t{PUBLIC}, {address}\t \t{address}")),
        (From::Flowmon, format!("1\t2026-11-20 10:13:00\t \tX\tx\tp\tLow\t{said}\t \t \t{PUBLIC}\t \t{address}, {PUBLIC}\t \t ")),
        (From::Flowmon, format!("1\t2026-11-20\t \t{PUBLIC}\t \t{address}\t \t \t \t{said}\teth0\t{address}\tc\t2")),
        (From::Flowmon, format!("x CEF:0|a|b|c|X|{address}|6|src={PUBLIC} c6a2={address} msg={said} cs4={address}, {PUBLIC} cs6={address}")),
        json(serde_json::json!({"id": "1", "type": "X", "detail": said, "source": address, "targets": PUBLIC})),
        json(serde_json::json!({"id": "1", "srcIp": address, "dstIp": PUBLIC, "signatureName": said, "category": said})),
        (
            From::Json,
            serde_json::json!({"info": said, "tags": [said], "attributes": [
                {"type": "ip-dst", "value": PUBLIC, "comment": said, "category": address},
                {"type": "ip-src", "value": address}, {"type": "ip-dst|port", "value": format!("{address}|80")},
                {"type": "domain|ip", "value": format!("bad.org|{address}")}, {"type": "url", "value": format!("http://[{address}]/")},
                {"type": "text", "value": said}, {"type": "hostname", "value": address}, {"type": address, "value": "x"},
            ]})
            .to_string(),
        ),
    ]
}

fn reserved_address() -> impl Strategy<Value = IpAddr> {
    let v4 = prop_oneof![
        any::<u32>().prop_map(|n| 0x0a00_0000 | n >> 8),
        any::<u32>().prop_map(|n| 0xac10_0000 | n >> 12),
        any::<u32>().prop_map(|n| 0xc0a8_0000 | n >> 16),
        any::<u32>().prop_map(|n| 0x7f00_0000 | n >> 8),
        any::<u32>().prop_map(|n| 0xa9fe_0000 | n >> 16),
        any::<u32>().prop_map(|n| 0xe000_0000 | n >> 3),
        any::<u32>().prop_map(|n| 0xc633_6400 | n >> 24),
        any::<u32>(),
    ];
    let v6 = prop_oneof![
        any::<u128>().prop_map(|n| 0xfc << 120 | n >> 7),
        any::<u128>().prop_map(|n| 0xfe80 << 112 | n >> 10),
        any::<u128>().prop_map(|n| 0xff << 120 | n >> 8),
        any::<u128>().prop_map(|n| 0x2001_0db8 << 96 | n >> 32),
        any::<u128>().prop_map(|n| 0xfe80 << 112 | n >> 112),
        any::<u128>(),
    ];
    prop_oneof![v4.prop_map(|n| Ipv4Addr::from(n).into()), v6.prop_map(|n| Ipv6Addr::from(n).into())]
        .prop_filter("reserved", |address: &IpAddr| is_reserved(*address))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_reserved_address_leaves(address in reserved_address()) {
        for spelling in spellings(address) {
            for (from, line) in lines(&spelling) {
                let built = terms().build(detection(from, &line, true).unwrap().unwrap());
                let draft = built.draft.expect("the public address is left");
                let body = String::from_utf8(draft.body().unwrap()).unwrap();
                for found in addresses(&body) {
                    prop_assert!(!is_reserved(found), "{spelling} in {line}\n-> {found} in {body}");
                }
                prop_assert!(!body.contains(&spelling), "{spelling} in {body}");
                prop_assert!(draft.attributes.iter().any(|a| a.value == PUBLIC) && body.matches(PUBLIC).count() > 1);
                prop_assert!(!built.left_out.is_empty());
            }
        }
    }
}

fn build(line: &str) -> Built {
    terms().build(detection(From::Json, line, false).unwrap().unwrap())
}

#[test]
fn nothing_left_is_no_event() {
    let built = build(
        r#"{"info": "x", "attributes": [{"type": "ip-dst", "value": "10.0.0.1"}, {"type": "ip-src", "value": "45.155.205.9"},
        {"type": "hostname", "value": "printer"}, {"type": "ip-dst", "value": "no address"}, {"type": "target-user", "value": "jane"}]}"#,
    );
    assert!(built.draft.is_none());
    let why: Vec<&str> = built.left_out.iter().map(|l| l.why).collect();
    assert_eq!(why, ["private (RFC 1918)", "excluded", "a name of local networks (RFC 6761, RFC 6762)", NO_ADDRESS]);
}

#[test]
fn values_as_misp_takes_them() {
    let line = r#"{"info": "x", "attributes": [{"type": "hostname", "value": "a.bad.org."},
        {"type": "ip-dst", "value": "::ffff:185.220.101.47"}, {"type": "ip-src", "value": "185[.]220[.]101[.]48/32"},
        {"type": "ip-src", "value": "2A0B:F4C2:2:0::12"}, {"type": "ip-src", "value": "185.220.102.9/24"}]}"#;
    let draft = build(line).draft.unwrap();
    let values: Vec<&str> = draft.attributes.iter().map(|a| a.value.as_str()).collect();
    assert_eq!(values, ["a.bad.org", PUBLIC, "185.220.101.48", "2a0b:f4c2:2::12", "185.220.102.0/24"]);
}

/// The half of an address that a shortened text ends with is not one that anything finds.
#[test]
fn a_text_is_not_cut_within_what_must_not_leave() {
    for padding in (150..200).chain(950..1000) {
        for secret in
            ["192.168.10.254", "10[.]20[.]30[.]40", "printer.ours.local", "0c:70:4a:00:11:22", "fd00:aaaa:bbbb::1"]
        {
            let detail = format!("{} {secret}, and {}", "x".repeat(padding), "y".repeat(1100 - padding));
            let line = serde_json::json!({"id": 1, "type": "A", "detail": detail, "source": PUBLIC, "timestamp": "2026-11-20"});
            let built = terms().build(detection(From::Flowmon, &line.to_string(), false).unwrap().unwrap());
            let body = String::from_utf8(built.draft.unwrap().body().unwrap()).unwrap();
            let found = [&secret[..6], "printer"].into_iter().find(|part| body.contains(part));
            assert_eq!(found, None, "{padding} {secret}");
        }
    }
}

/// Whoever has an event's UUID could try all private addresses.
#[test]
fn no_uuid_depends_on_what_must_not_leave() {
    let of = |source: &str| {
        let line = format!("CEF:0|a|b|c|X|x|6|src={source} start=Nov 03 2025 15:10:43 msg=from {source} dst={PUBLIC}");
        terms().build(detection(From::Flowmon, &line, false).unwrap().unwrap()).draft.unwrap().uuid
    };
    assert_eq!(of("10.1.2.3"), of("192.168.9.9"));
    assert_ne!(of("10.1.2.3"), of("185.220.101.50"));
}

#[test]
fn the_flags() {
    let attribute = r#"{"type": "ip-dst", "value": "185.220.101.47"}"#;
    let line = format!(
        r#"{{"info": "x\n\ty", "date": "2026-11-20", "attributes": [{attribute}, {attribute}, {{"type": "text", "value": "t"}}], "tags": ["b", "a"]}}"#
    );
    let more = Terms {
        ids: true,
        distribution: 4,
        sharing_group: Some("7".into()),
        level: Some(ThreatLevel::Medium),
        tags: vec!["a".into()],
        ..terms()
    };
    let draft = more.build(detection(From::Json, &line, false).unwrap().unwrap()).draft.unwrap();
    let to_ids: Vec<bool> = draft.attributes.iter().map(|a| a.to_ids).collect();
    let tags: Vec<&str> = draft.tags.iter().map(|t| t.name.as_str()).collect();
    assert_eq!((to_ids, tags, draft.info.as_str()), (vec![true, false], vec!["a", "b"], "x y"));
    assert_eq!((draft.threat_level_id, draft.distribution, draft.sharing_group_id.as_deref()), (2, 4, Some("7")));
}

#[test]
fn one_event_for_a_detection_or_a_day() {
    let line = |id: u32, day: u32| {
        format!("{id}\t2026-11-{day} 10:13:00\t \tX\tx\tp\tLow\td {id}\t \t \t{PUBLIC}\t \t \t \t ")
    };
    let uuid = |terms: &Terms, id, day| {
        terms.build(detection(From::Flowmon, &line(id, day), false).unwrap().unwrap()).draft.unwrap().uuid
    };
    let (each, daily) = (terms(), Terms { per_day: true, ..terms() });
    assert_eq!(uuid(&each, 1, 20), uuid(&each, 1, 21), "an update comes later");
    assert_ne!(uuid(&each, 1, 20), uuid(&each, 2, 20));
    assert_eq!(uuid(&daily, 1, 20), uuid(&daily, 2, 20));
    assert_ne!(uuid(&daily, 1, 20), uuid(&daily, 1, 21));
    let other = Terms { sensor: "b".into(), ..terms() };
    assert_ne!(uuid(&each, 1, 20), uuid(&other, 1, 20));
}
