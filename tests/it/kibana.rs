//! `kibana` as users meet it: what it prints with which configuration.

use crate::support::program::run;
use serde_json::Value;

/// A directory with a configuration that names this MISP, which nobody asks.
fn configured(misp: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("misp2memcached.yaml");
    std::fs::write(&file, format!("misp:\n{misp}")).unwrap();
    let file = file.display().to_string();
    (directory, file)
}

#[test]
fn the_links_lead_to_the_misp_of_the_configuration() {
    let (_directory, file) = configured("  url: https://misp.example/base/\n");
    for version in ["7", "8", "9"] {
        let finished = run(&["--config", &file, "kibana", "--version", version, "--index", "logs-windows*"], &[]);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        let view: Value = serde_json::from_str(finished.stdout.lines().next().unwrap()).unwrap();
        assert_eq!(view["attributes"]["title"], "logs-windows*");
        let formats = view["attributes"]["fieldFormatMap"].as_str().unwrap();
        assert!(formats.contains(r#""urlTemplate":"https://misp.example/base/events/view/{{value}}""#), "{formats}");
    }
    let plain = run(&["--config", &file, "kibana"], &[]).stdout;
    assert_eq!(plain, run(&["--config", &file, "kibana", "--version", "8"], &[]).stdout);
}

#[test]
fn without_a_misp_there_are_no_links() {
    let (_directory, file) = configured("  timeframe: 365d\n");
    let finished = run(&["--config", &file, "kibana"], &[]);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(78), ""));
    assert!(finished.stderr.contains("misp.url"), "{}", finished.stderr);
    let finished = run(&["--config", &file, "kibana", "--version", "6"], &[]);
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
}
