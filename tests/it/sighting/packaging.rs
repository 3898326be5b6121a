//! The wrapper for Flowmon ADS: which values it takes from which form, and where the
//! key is seen.

use super::{domains, noted, site, world};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const KEY: &str = crate::support::KEY;

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/flowmon/misp_sighting_script.bash")
}

fn run(program: &Path, flags: &str, parameters: &[&str], input: &str) -> Output {
    let mut command = Command::new("bash");
    command.arg(script()).args(parameters);
    for name in ["MISP_URL", "MISP_KEY", "MISP2MEMCACHED_MISP_TOKEN", "MISP2MEMCACHED_CONFIG"] {
        command.env_remove(name);
    }
    command.env("MISP2MEMCACHED", program).env("MISP2MEMCACHED_FLAGS", flags);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A script that ends at its parameters reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// A program in the place of ours, which tells how it was called.
fn teller(directory: &Path) -> PathBuf {
    let path = directory.join("teller");
    let text = "#!/bin/sh\ntr '\\0' ' ' < /proc/$$/cmdline\necho\necho \"$MISP_URL $MISP2MEMCACHED_MISP_TOKEN\"\ncat\n";
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A line with these fields, counted from 0; the others are one blank.
fn tabs(count: usize, fields: &[(usize, &str)]) -> String {
    let mut all = vec![" "; count];
    fields.iter().for_each(|(at, text)| all[*at] = text);
    all.join("\t") + "\n"
}

fn every_form() -> String {
    [
        tabs(17, &[(0, "1"), (9, "detail 192.0.2.99"), (12, "203.0.113.1"), (14, "203.0.113.2, 2001:db8::3")]),
        tabs(15, &[(0, "2"), (10, "203.0.113.4"), (12, "203.0.113.5")]),
        tabs(14, &[(0, "3"), (3, "203.0.113.6"), (5, "203.0.113.7"), (9, "a signature")]),
        r#"{"id":"4","timestamp":"8/28/2023 10:13","detail":"to \"198.51.100.9\"","source":"203.0.113.8","targets":"203.0.113.9, 203.0.113.10"}"#
            .to_owned() + "\n",
        r#"{"id": "5", "firstSeen": "x", "srcIp": "203.0.113.11", "dstIp": "203.0.113.12"}"#.to_owned() + "\r\n",
        tabs(17, &[(12, "$(id)"), (14, "n/a")]),
        "nonsense\n".to_owned(),
    ]
    .concat()
}

#[test]
fn values_of_every_form_and_a_key_that_no_list_shows() {
    let directory = tempfile::tempdir().unwrap();
    let teller = teller(directory.path());
    let file = directory.path().join("key");
    fs::write(&file, format!("{KEY}\n")).unwrap();
    let addresses: Vec<String> =
        [1, 2].map(|n| format!("203.0.113.{n}")).into_iter().chain(["2001:db8::3".to_owned()]).collect();
    let addresses: Vec<String> = addresses.into_iter().chain((4..=12).map(|n| format!("203.0.113.{n}"))).collect();
    for key in [KEY, file.to_str().unwrap()] {
        let parameters = ["misp_server", "https://misp.example", "misp_api_key", key, "source", "ADS of Brno"];
        let output = run(&teller, "--quiet", &parameters, &every_form());
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with("--quiet sighting --source ADS of Brno - ") && !lines[0].contains(KEY), "{text}");
        assert_eq!(lines[1], format!("https://misp.example {KEY}"));
        assert_eq!(lines[2..], addresses);
    }
    for (parameters, said) in [
        (&["misp_server"][..], "has no value"),
        (&["misp_sever", "x"], "unknown parameter misp_sever"),
        (&["misp_api_key", "/nonexistent/key"], "/nonexistent/key"),
    ] {
        let output = run(&teller, "", parameters, "");
        assert!(!output.status.success());
        let said_so = String::from_utf8(output.stderr).unwrap();
        assert!(said_so.contains(said), "{said_so}");
    }
}

#[test]
fn from_an_event_of_ads_to_a_sighting_in_misp() {
    let site = site(world());
    site.pass(&[]);
    let flags = format!("--config {}", site.config.directory().join("misp2memcached.yaml").display());
    let program = Path::new(env!("CARGO_BIN_EXE_misp2memcached"));
    let parameters = ["misp_server", &site.misp.url(), "misp_api_key", KEY, "source", "ads"];
    let event = tabs(17, &[(12, "10.0.0.1"), (14, "203.0.113.7, 192.0.2.200")]);
    let output = run(program, &flags, &parameters, &event);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = BTreeMap::from([("203.0.113.7 ads 0".to_owned(), 2), ("192.0.2.0/24 ads 0".to_owned(), 1)]);
    assert_eq!(noted(&site), expected);
    // The parameters count, not what the configuration has.
    let other = super::site(domains(1));
    let elsewhere = ["misp_server", &other.misp.url(), "misp_api_key", "WrongKey", "source", "x"];
    assert_eq!(run(program, &flags, &elsewhere, &event).status.code(), Some(77));
    assert_eq!(noted(&site).values().sum::<usize>(), 3);
}
