//! What Wazuh's queue takes: one datagram, `1:LOCATION:TEXT`.

use super::INTEGRATION;
use super::alert::Agent;

/// Most bytes of a datagram with its header: analysisd reads no more.
pub const MAX_DATAGRAM: usize = 65_535;

/// Most bytes of an agent's name or address; Wazuh's own limit for a name is 128.
const MAX_PART: usize = 256;

/// What stands before the text: the queue's number, and where the message is from.
/// The manager's own have no agent in it.
pub fn header(agent: &Agent) -> String {
    if agent.id == "000" {
        return format!("1:{INTEGRATION}:");
    }
    let part = |text: &str| escape(&text.chars().filter(|c| !c.is_control()).take(MAX_PART).collect::<String>());
    format!("1:[{}] ({}) {}->{INTEGRATION}:", part(&agent.id), part(&agent.name), part(&agent.ip))
}

/// The queue ends a location at its first `:`, so those of an IPv6 address are escaped.
fn escape(text: &str) -> String {
    text.replace('|', "||").replace(':', "|:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(id: &str, name: &str, ip: &str) -> String {
        header(&Agent { id: id.into(), name: name.into(), ip: ip.into() })
    }

    #[test]
    fn headers() {
        assert_eq!(of("000", "manager", "any"), "1:misp:");
        assert_eq!(of("001", "win", "10.0.0.5"), "1:[001] (win) 10.0.0.5->misp:");
        assert_eq!(of("002", "a|b:c", "2001:db8::1"), "1:[002] (a||b|:c) 2001|:db8|:|:1->misp:");
        assert_eq!(of("003", "a\nb\0", "any"), "1:[003] (ab) any->misp:");
        assert!(of("004", &"x".repeat(70_000), &":".repeat(70_000)).len() < 1000);
    }
}
