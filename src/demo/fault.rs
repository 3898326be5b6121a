//! Answers that go wrong on purpose: what a network, a proxy or a tired server
//! makes of a good one.
//!
//! It decides what goes over the wire, and leaves sockets and waiting to the server.

use super::answer::html;
use super::http::{Request, Response};
use std::time::Duration;

/// What becomes of one answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Fault {
    /// The right answer.
    #[default]
    None,
    /// Another status, with these headers and this body.
    Status(u16, Vec<(String, String)>, Vec<u8>),
    /// So many bytes of the body, then the end; Content-Length announces all of it.
    TruncateBody(usize),
    /// A whole HTTP answer whose JSON ends after so many bytes.
    CutJson(usize),
    /// The connection is reset without an answer.
    Reset,
    /// No answer for so long, then the end of the connection.
    Hang(Duration),
    /// The right answer, so much later.
    Delay(Duration),
    /// Status 200 and a page for people: a login page, a proxy's notice.
    Html,
    /// This answer instead.
    Replace(Response),
    /// The right answer, its body spread in small pieces over this time.
    SlowDrip(Duration),
}

/// Decides the fault of a request; the number counts the requests on its path, from 1.
/// It runs before the world is looked at, so it may also change the world.
pub type Hook = Box<dyn Fn(&Request, usize) -> Fault + Send + Sync>;

/// Pieces of a body that drips.
const DRIPS: usize = 20;

/// What the server does for one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Waited first.
    pub(super) wait: Duration,
    /// The answer; `None`: the connection ends without one.
    pub(super) answer: Option<Response>,
    /// Bytes of the body that are sent.
    pub(super) body: usize,
    /// Whether the connection may be used again.
    pub(super) keep: bool,
    /// The body goes in pieces of so many bytes with such a pause behind each.
    pub(super) pieces: Option<(usize, Duration)>,
}

impl Plan {
    /// What `fault` makes of the right answer, which is worked out only where it is needed.
    pub(super) fn new(fault: Fault, right: impl FnOnce() -> Response) -> Plan {
        let whole = |response: Response| {
            let body = response.body.len();
            Plan { wait: Duration::ZERO, answer: Some(response), body, keep: true, pieces: None }
        };
        match fault {
            Fault::None => whole(right()),
            Fault::Status(status, headers, body) => whole(Response { status, headers, body }),
            Fault::Replace(response) => whole(response),
            Fault::Html => whole(html(200, "Please log in")),
            Fault::Delay(wait) => Plan { wait, ..whole(right()) },
            Fault::TruncateBody(bytes) => {
                let plan = whole(right());
                Plan { body: bytes.min(plan.body), keep: false, ..plan }
            }
            Fault::CutJson(bytes) => {
                let mut response = right();
                response.body.truncate(bytes);
                whole(response)
            }
            Fault::SlowDrip(time) => {
                let plan = whole(right());
                let piece = plan.body.div_ceil(DRIPS).max(1);
                Plan { pieces: Some((piece, time / DRIPS as u32)), ..plan }
            }
            Fault::Reset => Plan { wait: Duration::ZERO, answer: None, body: 0, keep: false, pieces: None },
            Fault::Hang(wait) => Plan { wait, answer: None, body: 0, keep: false, pieces: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right() -> Response {
        Response { status: 200, headers: Vec::new(), body: b"0123456789".to_vec() }
    }

    #[test]
    fn what_goes_over_the_wire() {
        let sent = |fault| {
            let plan = Plan::new(fault, right);
            let announced = plan.answer.map_or(0, |a| a.body.len());
            (announced, plan.body, plan.keep)
        };
        assert_eq!(sent(Fault::None), (10, 10, true));
        assert_eq!(sent(Fault::TruncateBody(4)), (10, 4, false));
        assert_eq!(sent(Fault::TruncateBody(40)), (10, 10, false));
        assert_eq!(sent(Fault::CutJson(4)), (4, 4, true));
        assert_eq!(sent(Fault::Status(503, Vec::new(), b"no".to_vec())), (2, 2, true));
        assert_eq!(sent(Fault::Reset), (0, 0, false));
        assert_eq!(Plan::new(Fault::SlowDrip(Duration::from_secs(2)), right).pieces, Some((1, DRIPS_PAUSE)));
    }

    const DRIPS_PAUSE: Duration = Duration::from_millis(100);
}
