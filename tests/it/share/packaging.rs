//! `packaging/flowmon/misp_integration_script.bash`, as Flowmon starts it.

use super::{Site, finish, golden, values};
use crate::support::KEY;
use misp2memcached::demo::Fault;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// The script in a directory of its own, beside the program.
fn installed(site: &Site) -> Command {
    let directory = site.path("misp");
    fs::create_dir_all(directory.join("filters")).unwrap();
    let script = directory.join("misp_integration_script.bash");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/flowmon/misp_integration_script.bash"), &script)
        .unwrap();
    let _ = symlink(env!("CARGO_BIN_EXE_misp2memcached"), directory.join("misp2memcached"));
    let mut command = Command::new("bash");
    command.arg(&script).env_remove("MISP_KEY").env_remove("MISP_URL").env("STATE_DIRECTORY", site.path("state"));
    command.current_dir(site.directory.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(File::open(golden("flowmon.txt")).unwrap());
    command
}

/// The parameters of Flowmon's guide, in its order.
fn parameters<'a>(server: &'a str, key: &'a str, filters: &'a str) -> Vec<&'a str> {
    let eight = [
        ("misp_server", server),
        ("misp_api_key", key),
        ("misp_tag", "Flowmon ADS, ours"),
        ("misp_ids", "1"),
        ("misp_distribution", "2"),
        ("flowmon_filters", filters),
        ("flowmon_user", "admin"),
        ("flowmon_pass", "S3CRET"),
    ];
    eight.into_iter().flat_map(|(name, value)| [name, value]).collect()
}

/// The arguments of every process that may be looked at.
fn all_arguments() -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path().join("cmdline"));
    processes
        .filter_map(|file| fs::read(file).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .collect()
}

#[test]
fn the_parameters_of_the_guide_do_what_it_says() {
    let site = Site::new();
    fs::create_dir_all(site.path("misp/filters")).unwrap();
    fs::write(site.path("misp/filters/Our public range"), "# Prague\n185.220.101.40-185.220.101.49\n").unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = seen.clone();
    site.misp.set_fault(Box::new(move |_, _| {
        into.lock().unwrap().extend(all_arguments());
        Fault::None
    }));
    let server = site.misp.url();
    let finished =
        finish(installed(&site).args(parameters(&server, KEY, "Our public range, 2a0b::/16 ,45.155.205.233")));
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let world = site.misp.world();
    let all: Vec<&str> = world.events().flat_map(values).collect();
    for excluded in ["185.220.101.47", "185.220.101.48", "2a0b:f4c2:2::12", "45.155.205.233"] {
        assert!(!all.contains(&excluded), "{excluded}");
    }
    assert!(all.contains(&"185.220.101.53") && world.events().count() == 6, "{all:?}");
    for event in world.events() {
        assert_eq!(
            (event.tags.as_slice(), event.distribution, event.published),
            (&["Flowmon ADS, ours".to_owned()][..], 2, true)
        );
        assert!(event.attributes.iter().all(|a| a.to_ids && a.kind != "target-user"));
    }
    let seen = seen.lock().unwrap();
    let ours: Vec<&String> = seen.iter().filter(|a| a.contains("--from flowmon") && a.contains(&server)).collect();
    assert!(!ours.is_empty(), "the program was seen at work");
    for arguments in ours {
        assert!(!arguments.contains(KEY) && !arguments.contains("S3CRET"), "{arguments}");
    }
}

#[test]
fn the_key_from_a_file_and_names_with_dashes() {
    let site = Site::new();
    fs::write(site.path("key"), format!("{KEY}\n")).unwrap();
    let (server, key) = (site.misp.url(), site.path("key").display().to_string());
    let finished = finish(installed(&site).args([
        "--misp_server",
        &server,
        "-misp_api_key",
        &key,
        "misp_tag",
        "",
        "flowmon_filters",
        "",
    ]));
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(site.misp.world().events().count(), 8);
}

/// Nothing leaves where a filter is not understood, and no message shows the key.
#[test]
fn what_is_wrong_is_told() {
    let site = Site::new();
    let server = site.misp.url();
    for (arguments, code, why) in [
        (parameters(&server, KEY, "LAN"), 64, "--exclude: found \"LAN\""),
        (parameters(&server, KEY, "../filters/LAN"), 64, "--exclude: found"),
        (vec!["misp_server", &server, "misp_api_key"], 64, "parameter 2 has no value"),
        (vec!["misp_server", "misp_api_key", KEY, "x"], 64, "parameter 2 has a name that is not known"),
        (vec!["misp_server", &server, "misp_api_key", "/nonexistent/key"], 64, "misp_api_key cannot be read"),
        (vec!["misp_server", &server], 78, "MISP2MEMCACHED_MISP_TOKEN"),
    ] {
        let finished = finish(installed(&site).args(&arguments));
        assert_eq!(finished.code, Some(code), "{arguments:?}: {}", finished.stderr);
        assert!(finished.stderr.contains(why), "{}", finished.stderr);
    }
    assert!(site.misp.requests().is_empty());
}
