//! What the demo's MISP knows: a made-up campaign on documentation addresses and
//! names, large enough that one deleted event is a small share of it.

use super::event::{Attribute, Event};
use super::world::World;
use sha2::{Digest, Sha256};

/// The ids that the demo's later steps change.
#[derive(Debug, Clone, Copy)]
pub struct Story {
    /// The event of the command-and-control servers.
    pub servers: u64,
    /// The attribute of [`OLD_SERVER`].
    pub server: u64,
    /// An event that turns out to be a false alarm.
    pub false_alarm: u64,
}

/// The address that an analyst corrects.
pub const OLD_SERVER: &str = "203.0.113.77";
/// What it is corrected to.
pub const NEW_SERVER: &str = "203.0.113.78";
/// The domain of the event that is deleted.
pub const FALSE_ALARM: &str = "cdn.false-alarm.example";
/// The host that the campaign's loader talks to.
pub const DOMAIN: &str = "update-check.example";
/// A network that is listed as a whole.
pub const NETWORK: &str = "198.51.100.0/26";

/// A hash that belongs to the sample of this number.
pub fn sha256(sample: u32) -> String {
    Sha256::digest(format!("sample {sample}").as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

/// Fills a world, `now` being MISP's clock.
pub fn fill(world: &mut World, now: u64) -> Story {
    let weeks_ago = |n: u64| now - n * 7 * 86_400;
    let mut loader = Event::new("Loader wave, week 46: documents with macros");
    for sample in 0..12 {
        loader = loader.with(Attribute::new("sha256", &sha256(sample)));
    }
    for sample in 12..16 {
        loader = loader.with(Attribute::new("filename|sha256", &format!("Invoice {sample}.docm|{}", sha256(sample))));
    }
    world.add_event(loader, weeks_ago(3));

    let servers = Event::new("Command and control of the loader")
        .with(Attribute::new("ip-dst", OLD_SERVER))
        .with(Attribute::new("ip-dst|port", "203.0.113.80|8443"))
        .with(Attribute::new("ip-dst", "2001:db8:66::80"))
        .with(Attribute::new("ip-src", "198.51.100.200"))
        .with(Attribute::new("ip-dst", NETWORK))
        .with(Attribute::new("domain", DOMAIN))
        .with(Attribute::new("domain|ip", "telemetry-sync.example|203.0.113.81"))
        .with(Attribute::new("hostname", "mail.telemetry-sync.example"))
        .with(Attribute::new("url", "http://update-check.example/gate.php?id=1"));
    let servers = world.add_event(servers, weeks_ago(2));

    let mut phishing = Event::new("Phishing kit behind the documents");
    for page in 1..=6 {
        phishing = phishing.with(Attribute::new("url", &format!("https://login{page}.portal-verify.example/Sign-In")));
    }
    // The same server, seen by somebody else: one key, two events.
    phishing = phishing.with(Attribute::new("ip-dst", "2001:db8:66::80"));
    world.add_event(phishing, weeks_ago(1));

    let alarm = Event::new("Beaconing to a content network (to be checked)")
        .with(Attribute::new("domain", FALSE_ALARM))
        .with(Attribute::new("ip-dst", "192.0.2.55"));
    let false_alarm = world.add_event(alarm, weeks_ago(1));

    let server =
        world.event(servers).and_then(|e| e.attributes.iter().find(|a| a.value == OLD_SERVER)).map_or(0, |a| a.id);
    Story { servers, server, false_alarm }
}
