//! What shall go wrong, and when.

use std::sync::Mutex;
use std::time::Duration;

use super::seen::Seen;

/// On which side of the server's work something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// The server has not seen the request.
    Before,
    /// The server has answered, the client has not read it.
    After,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operator that sent it is killed (SIGKILL) and gone.
    Kill(Moment),
    /// The connection is closed.
    Cut(Moment),
    /// The proxy answers instead of the server.
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// It is held back this long, then goes on.
    Delay(Duration),
    /// It is held back until another request whose key contains this has been answered with 200.
    Behind(&'static str),
}

/// Whether a rule is meant: the request, and the operator that sent it.
type Matches = Box<dyn Fn(&Seen, &str) -> bool + Send>;

struct Rule {
    matches: Matches,
    skip: usize,
    left: usize,
    fault: Fault,
}

/// The rules in force. The first one that matches wins.
#[derive(Default)]
pub struct Faults(Mutex<Vec<Rule>>);

impl Faults {
    /// The next request that matches.
    pub fn once(&self, fault: Fault, matches: impl Fn(&Seen, &str) -> bool + Send + 'static) {
        self.nth(0, 1, fault, matches);
    }

    /// Every request that matches, until [`Self::clear`].
    pub fn always(&self, fault: Fault, matches: impl Fn(&Seen, &str) -> bool + Send + 'static) {
        self.nth(0, usize::MAX, fault, matches);
    }

    /// After `skip` requests that match, the next `left`.
    pub fn nth(
        &self,
        skip: usize,
        left: usize,
        fault: Fault,
        matches: impl Fn(&Seen, &str) -> bool + Send + 'static,
    ) {
        let rule = Rule {
            matches: Box::new(matches),
            skip,
            left,
            fault,
        };
        self.0.lock().expect("no holder panics").push(rule);
    }

    /// No faults from now on.
    pub fn clear(&self) {
        self.0.lock().expect("no holder panics").clear();
    }

    /// Rules that have not come true, or not as often as they shall.
    pub fn waiting(&self) -> usize {
        let rules = self.0.lock().expect("no holder panics");
        rules
            .iter()
            .filter(|rule| rule.left > 0 && rule.left < usize::MAX)
            .count()
    }

    /// What happens to this request.
    pub fn take(&self, seen: &Seen, operator: &str) -> Option<Fault> {
        let mut rules = self.0.lock().expect("no holder panics");
        for rule in rules.iter_mut().filter(|rule| rule.left > 0) {
            if !(rule.matches)(seen, operator) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            if rule.left < usize::MAX {
                rule.left -= 1;
            }
            return Some(rule.fault.clone());
        }
        None
    }
}

impl Fault {
    /// An answer in the form of a Kubernetes `Status`.
    pub fn api_status(status: u16, reason: &str) -> Self {
        let body = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": format!("the rig says {status}"), "reason": reason, "code": status,
        });
        Self::Answer {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_string(),
        }
    }

    /// An answer in the form of a registry's error.
    pub fn registry_error(status: u16, code: &str) -> Self {
        let body =
            serde_json::json!({ "errors": [{ "code": code, "message": "the rig says so" }] });
        Self::Answer {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_string(),
        }
    }

    /// The same answer with one more header.
    pub fn with_header(self, name: &'static str, value: &str) -> Self {
        match self {
            Self::Answer {
                status,
                mut headers,
                body,
            } => {
                headers.push((name, value.to_owned()));
                Self::Answer {
                    status,
                    headers,
                    body,
                }
            }
            other => other,
        }
    }
}
